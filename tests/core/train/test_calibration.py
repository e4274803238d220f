"""Recalibration by folds: when it happens, what it makes better, and that it is stored and served as it is."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import skops.io
from sklearn.base import BaseEstimator, clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from core.feature_contract import FeatureContract
from core.metrics.calibration import calibration
from core.metrics.metrics import Floats, metric_values
from core.train.calibration import Calibrate, Recalibration, recalibrated, refitted, seems_miscalibrated
from core.train.fitting import EncodedFold
from core.train.trust import TRUSTED_TYPES
from tests.core.samples import binary_sample

N_HELD = 3_000
BALANCED = LogisticRegression(class_weight="balanced")


def contract_of(n_classes: int) -> FeatureContract:
    """Build a contract of that many classes."""
    task = "binary" if n_classes == 2 else "multiclass" if n_classes else "regression"
    return FeatureContract(task, "y", tuple(map(str, range(n_classes))), ("a", "b", "c"), (), (), ())


def drawn(n: int, seed: int, n_classes: int = 2) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Draw features, and classes that follow them: 12 % are of the second of two."""
    generator = np.random.default_rng(seed)
    X = generator.normal(size=(n, 3)).astype("float32")
    odds = X @ np.linspace(-1, 1, 3 * n_classes).reshape(3, n_classes) + np.linspace(1.2, -1.2, n_classes)
    chances = np.exp(odds) / np.exp(odds).sum(axis=1, keepdims=True)
    return X, (generator.random((n, 1)) > chances.cumsum(axis=1)[:, :-1]).sum(axis=1)


def folds_of(X: npt.NDArray[Any], y: npt.NDArray[Any], n_folds: int = 4) -> list[EncodedFold]:
    """Split the rows, which have no order."""
    places = np.arange(len(y)) % n_folds
    return [(X[places != k], y[places != k], X[places == k], y[places == k]) for k in range(n_folds)]


def made(
    estimator: BaseEstimator, calibrate: Calibrate, n: int = 3_000, seed: int = 1, n_classes: int = 2, **given: Any
) -> tuple[Recalibration, npt.NDArray[Any], npt.NDArray[Any]]:
    """Fit and recalibrate on n rows; return the held-out ones too."""
    X, y = drawn(n + N_HELD, seed, n_classes)
    model = clone(estimator).fit(X[:n], y[:n])
    found = recalibrated(model, folds_of(X[:n], y[:n]), contract_of(n_classes), calibrate, **given)
    return found, X[n:], y[n:]


def ece(y: npt.NDArray[Any], output: Floats) -> float:
    """Return the expected calibration error."""
    found = calibration(y, output, 0.95)
    assert found is not None
    return found.ece


@pytest.mark.parametrize(("n_classes", "in_time_order"), [(2, False), (2, True), (3, False)])
def test_class_weights_are_undone(n_classes: int, in_time_order: bool) -> None:
    """Balanced weights inflate the probabilities of rare classes; the map brings them back, and ranks no worse."""
    found, X, y = made(BALANCED, "auto", n_classes=n_classes, in_time_order=in_time_order)
    before, after = found.model.estimator.predict_proba(X), found.model.predict_proba(X)
    assert found.method == "sigmoid"
    assert found.reason == "recalibrated by sigmoid on 3,000 rows"
    assert ece(y, after) < 0.6 * ece(y, before)
    losses, ranks = ([metric_values(y, output, (name,))[name] for output in (before, after)] for name in _SCORED)
    assert losses[1] < losses[0]
    assert ranks[1] == pytest.approx(ranks[0]) if n_classes == 2 else ranks[1] > ranks[0] - 0.01


_SCORED = ("log_loss", "roc_auc")


def test_calibrated_models_are_left_alone() -> None:
    """Of 30 models of the truth auto recalibrates at most two, and gives the others back as they are."""
    plain = LogisticRegression()
    found = [made(plain, "auto", n=600, seed=seed)[0] for seed in range(30)]
    assert sum(one.method != "none" for one in found) <= 2
    kept = next(one for one in found if one.method == "none")
    assert isinstance(kept.model, LogisticRegression)
    assert "no better beyond chance (gain in Brier score " in kept.reason


@pytest.mark.parametrize("method", ["sigmoid", "isotonic"])
def test_a_named_method_is_used(method: Calibrate) -> None:
    """Without asking whether it is needed."""
    found, X, y = made(LogisticRegression(), method)
    assert (found.method, found.model.method) == (method, method)
    assert ece(y, found.model.predict_proba(X)) < 0.03


def test_none_and_regression_change_nothing() -> None:
    """No fold is fitted."""
    model = LogisticRegression()
    assert recalibrated(model, iter(()), contract_of(2), "none").model is model
    assert recalibrated(model, iter(()), contract_of(0), "sigmoid").reason == "not recalibrated"


def test_too_little_to_learn_from_is_said() -> None:
    """No folds, or a class with a handful of rows, give no map."""
    model = LogisticRegression()
    none = recalibrated(model, [], contract_of(2), "sigmoid")
    assert (none.model, none.reason) == (model, "not recalibrated: there are no folds, set training.cv")
    X, y = drawn(60, 1)
    few = recalibrated(model, folds_of(X, y, 2), contract_of(2), "sigmoid")
    assert (few.model, few.method) == (model, "none")
    assert "rows in the folds, 20 are needed" in few.reason


def test_the_map_is_that_of_scikit_learn() -> None:
    """On folds that hold each row once it is CalibratedClassifierCV without an ensemble."""
    X, y = drawn(1_000, 2)
    estimator = HistGradientBoostingClassifier(max_iter=20, random_state=0)
    pairs = [(np.flatnonzero(np.arange(1_000) % 4 != k), np.flatnonzero(np.arange(1_000) % 4 == k)) for k in range(4)]
    theirs = CalibratedClassifierCV(clone(estimator), method="sigmoid", cv=pairs, ensemble=False).fit(X, y)
    ours = recalibrated(clone(estimator).fit(X, y), folds_of(X, y), contract_of(2), "sigmoid").model
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), atol=1e-6)


def test_the_folds_are_fitted_with_the_weights_of_the_rows() -> None:
    """Rows that weigh next to nothing are as good as left out."""
    X, y = drawn(900, 3)
    model = LogisticRegression(C=1e6, tol=1e-8).fit(X[:600], y[:600])
    half = [(a[:300], b[:300], c, d) for a, b, c, d in folds_of(X, y)]
    left_out = recalibrated(model, half, contract_of(2), "sigmoid").model.predict_proba(X)
    weights = [np.where(np.arange(len(fold[1])) < 300, 1.0, 1e-9) for fold in folds_of(X, y)]
    found = recalibrated(model, folds_of(X, y), contract_of(2), "sigmoid", weights=weights).model.predict_proba(X)
    np.testing.assert_allclose(found, left_out, atol=1e-4)
    plain = recalibrated(model, folds_of(X, y), contract_of(2), "sigmoid").model.predict_proba(X)
    assert np.abs(plain - left_out).max() > 1e-3


@pytest.mark.parametrize("estimator", [BALANCED, HistGradientBoostingClassifier(max_iter=5), RandomForestClassifier(5)])
@pytest.mark.parametrize("method", ["sigmoid", "isotonic"])
def test_a_recalibrated_model_comes_back_from_disk(estimator: BaseEstimator, method: Calibrate) -> None:
    """Its types are on the list of trusted types."""
    found, X, _ = made(estimator, method, n=500)
    loaded = skops.io.loads(skops.io.dumps(found.model), trusted=list(TRUSTED_TYPES))
    np.testing.assert_array_equal(loaded.predict_proba(X), found.model.predict_proba(X))


def test_a_refit_keeps_the_map() -> None:
    """One fit on other rows ranks as a new model does, and its probabilities are those of the old map."""
    found, X, y = made(BALANCED, "sigmoid")
    again = refitted(found.model, lambda model: model.fit(X, y))
    inner = clone(BALANCED).fit(X, y)
    old = found.model.calibrated_classifiers_[0].calibrators[0]
    expected = old.predict(inner.decision_function(X))
    np.testing.assert_allclose(again.predict_proba(X)[:, 1], expected)
    assert found.model.estimator.coef_.tolist() != again.estimator.coef_.tolist()
    assert isinstance(refitted(inner, lambda model: model.fit(X, y)), LogisticRegression)


def test_bad_probabilities_are_told_from_good_ones() -> None:
    """An error beyond chance and beyond the bound gives a sentence with its size, an unbiased one an empty text."""
    y, good = binary_sample(3_000, 1)
    assert seems_miscalibrated(y, good) == ""
    high = np.clip(good[:, 1] + 0.1, 0, 1)
    said = seems_miscalibrated(y, np.column_stack([1 - high, high]))
    assert said.startswith("the expected calibration error is 0.1")
    assert said.endswith(" on 3,000 rows that no fold's model was fitted on")
    assert seems_miscalibrated(y.astype("float64"), good[:, 1]) == ""
