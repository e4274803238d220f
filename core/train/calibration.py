"""Recalibration: map a classifier's scores to probabilities, by its scores for rows that it was not fitted on.

Class weights, few iterations and regularisation give scores that rank rows well and are no probabilities. The map is
fitted on the folds of cross-validation, each scored by a clone that was fitted on the other rows, so that it does not
learn how sure the model is of rows it knows. The model itself is fitted on all training rows.

References
----------
Platt (1999), Probabilistic outputs for support vector machines and comparisons to regularized likelihood methods
(sigmoid). Zadrozny & Elkan (2002), Transforming classifier scores into accurate multiclass probability estimates, KDD
(isotonic; several classes one against the rest).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator

from core.feature_contract import FeatureContract
from core.metrics.calibration import calibration_change
from core.metrics.evaluation import predict_output
from core.metrics.metrics import Floats
from core.metrics.paired import paired_gain
from core.text import number
from core.train.fitting import EncodedFold, fit_estimator
from core.train.weights import Weights

Calibrate = Literal["auto", "none", "sigmoid", "isotonic"]
"""``training.calibrate`` of a model file."""

AUTO_ERROR = 0.02
"""Expected calibration error up to which ``auto`` changes nothing, at a base rate of 50 %; at others in proportion to
the standard deviation of the event."""

CONFIDENCE = 0.95

MIN_PER_CLASS = 20
"""Fewest rows of each class in all folds; with fewer, a map of two parameters follows single rows."""


@dataclass(frozen=True, eq=False)
class Recalibration:
    """A model, recalibrated or not.

    Parameters
    ----------
    model
        Fitted on all training rows; in a ``CalibratedClassifierCV`` if it was recalibrated.
    method
        How it was recalibrated; ``none`` if it was not.
    reason
        A sentence for people.
    """

    model: BaseEstimator
    method: Literal["none", "sigmoid", "isotonic"]
    reason: str


@dataclass(frozen=True, eq=False)
class _Part:
    """One fold's test rows: probabilities and scores by a clone that was fitted on other rows."""

    output: Floats
    scores: Floats
    y: npt.NDArray[Any]


class _Replayed(ClassifierMixin, BaseEstimator):  # type: ignore[misc] # scikit-learn ships no types
    """A classifier whose rows are its scores, so that scikit-learn fits a map on scores of other models."""

    def fit(self, _scores: Floats, y: npt.NDArray[Any]) -> Self:
        self.classes_ = np.unique(y)
        return self

    def predict(self, scores: Floats) -> npt.NDArray[Any]:
        chosen = scores.argmax(axis=1) if scores.shape[1] > 1 else (scores[:, 0] > 0).astype(int)
        return np.asarray(self.classes_[chosen])

    def decision_function(self, scores: Floats) -> Floats:
        return scores[:, 0] if scores.shape[1] == 1 else scores


def seems_miscalibrated(y: npt.NDArray[Any], output: Floats) -> str:
    """Return why probabilities of rows that no model was fitted on need a map; empty if they do not.

    Null hypothesis: the expected calibration error is at most :data:`AUTO_ERROR`. It is rejected by the lower end of
    the error's interval.

    Parameters
    ----------
    y
        Class codes, shape (n,), int64.
    output
        Predicted probabilities, shape (n, k), 0 to 1.
    """
    found = calibration_change(y, output, output, CONFIDENCE)
    if found is None or found.champion_low is None or not found.champion_low > AUTO_ERROR * found.scale:
        return ""
    return (
        f"the expected calibration error is {found.champion:.4f} on {len(y):,} rows that no fold's model was fitted on"
    )


def recalibrated(
    model: BaseEstimator,
    folds: Iterable[EncodedFold],
    contract: FeatureContract,
    calibrate: Calibrate,
    in_time_order: bool = False,
    weights: Sequence[Weights | None] | None = None,
) -> Recalibration:
    """Map a fitted classifier's scores to probabilities by its scores for the folds' test rows.

    ``auto`` keeps the map only if it makes the Brier score of the folds better beyond chance, where each fold is mapped
    by the other folds (in time order: the earlier ones). Null hypothesis: the map makes no model better.

    Parameters
    ----------
    model
        The classifier, fitted on all training rows.
    folds
        Encoded training and test rows; clones of the classifier are fitted on them.
    contract
        Task and classes.
    calibrate
        ``auto``, ``none``, ``sigmoid`` or ``isotonic``; ``auto`` fits a sigmoid, whose ONNX graph equals scikit-learn.
    in_time_order
        Whether the rows of each fold are newer than those of the folds before it.
    weights
        By fold: weights of its training rows, with which the classifier was fitted; None for equal weights. The map is
        fitted with equal weights, because it states how often events occur.

    Raises
    ------
    TrainingError
        As :func:`core.train.fitting.fit_estimator`.
    """
    if calibrate == "none" or not contract.classes:
        return Recalibration(model, "none", "not recalibrated")
    by_fold = repeat(None) if weights is None else weights
    parts = [_part(clone(model), fold, contract, weight) for fold, weight in zip(folds, by_fold, strict=False)]
    if reason := _too_few(parts, len(contract.classes)):
        return Recalibration(model, "none", reason)
    method: Literal["sigmoid", "isotonic"] = "sigmoid" if calibrate == "auto" else calibrate
    if calibrate == "auto" and (reason := _no_gain(parts, in_time_order)):
        return Recalibration(model, "none", reason)
    scores, y = np.concatenate([part.scores for part in parts]), np.concatenate([part.y for part in parts])
    return Recalibration(
        _assembled(model, _map(scores, y, method)), method, f"recalibrated by {method} on {len(y):,} rows"
    )


def refitted(model: BaseEstimator, refit: Callable[[BaseEstimator], object]) -> BaseEstimator:
    """Return a clone that ``refit`` has fitted; of a recalibrated model, the map stays as it is.

    A map needs models of its own for each fold; with the old map the refit costs one fit, and ranks rows the same.

    Parameters
    ----------
    model
        The fitted model, recalibrated or not.
    refit
        Function that fits an estimator in place.
    """
    calibrated = isinstance(model, CalibratedClassifierCV) and len(model.calibrated_classifiers_) == 1
    inner = clone(model.estimator if calibrated else model)
    refit(inner)
    if not calibrated:
        return inner
    mapped = copy.copy(model)
    mapped.calibrated_classifiers_ = [copy.copy(mapped.calibrated_classifiers_[0])]
    return _assembled(inner, mapped)


def _part(candidate: BaseEstimator, fold: EncodedFold, contract: FeatureContract, weights: Weights | None) -> _Part:
    X_train, y_train, X_test, y_test = fold
    fit_estimator(candidate, X_train, y_train, weights=weights)
    output = predict_output(candidate, X_test, contract)
    # As CalibratedClassifierCV does it, so that the map fits the scores that it will be given.
    raw = candidate.decision_function(X_test) if hasattr(candidate, "decision_function") else output
    scores = np.asarray(raw, dtype="float64")
    if len(contract.classes) == 2:
        scores = (scores if scores.ndim == 1 else scores[:, 1]).reshape(-1, 1)
    return _Part(output, scores, y_test)


def _too_few(parts: Sequence[_Part], n_classes: int) -> str:
    if not parts:
        return "not recalibrated: there are no folds, set training.cv"
    rarest = int(np.bincount(np.concatenate([part.y for part in parts]), minlength=n_classes).min())
    if rarest >= MIN_PER_CLASS:
        return ""
    return f"not recalibrated: a class has {rarest:,} rows in the folds, {MIN_PER_CLASS} are needed"


def _no_gain(parts: Sequence[_Part], in_time_order: bool) -> str:
    """Return why a sigmoid is not kept; empty if it makes the probabilities of the folds better beyond chance."""
    tested = [
        (part, others)
        for place, part in enumerate(parts)
        if not _too_few(others := _others(parts, place, in_time_order), part.output.shape[1])
    ]
    if not tested:
        return "not recalibrated: there are too few folds to test it"
    y, before = (np.concatenate([getattr(part, name) for part, _ in tested]) for name in ("y", "output"))
    after = np.concatenate([_pooled(others, "sigmoid").predict_proba(part.scores) for part, others in tested])
    gain = paired_gain(y, before, after, "brier", CONFIDENCE)
    if gain.low is not None and gain.low > 0:
        return ""
    shown = "" if gain.gain is None else f" (gain in Brier score {number(gain.gain)} on {len(y):,} rows)"
    return f"not recalibrated: a sigmoid makes the probabilities of the folds no better beyond chance{shown}"


def _others(parts: Sequence[_Part], place: int, in_time_order: bool) -> list[_Part]:
    return [part for other, part in enumerate(parts) if (other < place if in_time_order else other != place)]


def _pooled(parts: Sequence[_Part], method: Literal["sigmoid", "isotonic"]) -> CalibratedClassifierCV:
    return _map(np.concatenate([part.scores for part in parts]), np.concatenate([part.y for part in parts]), method)


def _map(scores: Floats, y: npt.NDArray[Any], method: Literal["sigmoid", "isotonic"]) -> CalibratedClassifierCV:
    replayed = FrozenEstimator(_Replayed().fit(scores, y))
    return CalibratedClassifierCV(replayed, method=method, cv=2, ensemble=False).fit(scores, y)


def _assembled(model: BaseEstimator, mapped: CalibratedClassifierCV) -> CalibratedClassifierCV:
    """Put the model in the place of the replayed scores."""
    mapped.set_params(estimator=model)
    mapped.calibrated_classifiers_[0].estimator = model
    mapped.n_features_in_ = model.n_features_in_
    return mapped
