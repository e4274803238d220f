"""The number of iterations of boosting on time-ordered rows, chosen on rows after those that a model was fitted on.

Early stopping of scikit-learn's boosting validates on a random part of the training rows. Neighbours in time resemble
each other, so such a part is easier to predict than the rows to come, and the number of iterations does not suit them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, clone
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

from core.feature_contract import FeatureContract
from core.metrics.metrics import METRICS, Floats, metric_values
from core.train.fitting import EncodedFolds, fit_estimator

N_CHECKED = 25
"""Numbers of iterations at which the metric is computed: from :data:`FEWEST` to the last, in equal ratios."""

FEWEST = 10
AUTOMATIC_FROM = 10_000
"""Rows above which ``early_stopping: auto`` of histogram gradient boosting is on."""

Curve = dict[int, float]


@dataclass(frozen=True, eq=False)
class Stopped:
    """An estimator whose number of iterations was chosen in time order.

    Parameters
    ----------
    estimator
        A clone, not fitted, that stops at the chosen number of iterations and validates on no part of its rows.
    params
        The parameters that were set, by name.
    outputs
        Predictions for each fold's test rows at the number that was chosen on the folds; None if the boosting is a part
        of the estimator.
    warned
        Distinct warnings of the fits.
    """

    estimator: BaseEstimator
    params: dict[str, Any]
    outputs: list[Floats] | None
    warned: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class _Path:
    """The boosting of one fold, which was fitted until its loss on the test rows no longer fell."""

    fitted: Any
    n_rows: int
    X_test: npt.NDArray[Any]
    y_test: npt.NDArray[Any]

    def output(self, n_iterations: int, contract: FeatureContract) -> Floats:
        last = min(n_iterations, int(self.fitted.n_iter_))
        return next(islice(_stages(self.fitted, self.X_test, contract), last - 1, None))

    def curve(self, contract: FeatureContract, metric: str) -> Curve:
        """Return the metric at some numbers of iterations, the last one included."""
        wanted = set(checked_numbers(int(self.fitted.n_iter_)))
        stages = enumerate(_stages(self.fitted, self.X_test, contract), start=1)
        return {n: metric_values(self.y_test, output, [metric])[metric] for n, output in stages if n in wanted}


def stops_on_random_rows(estimator: BaseEstimator, n_rows: int) -> dict[str, BaseEstimator]:
    """Return the boosting in an estimator that would validate on a random part of its rows, by the prefix of its name.

    Parameters
    ----------
    estimator
        The estimator, not fitted; its own prefix is empty.
    n_rows
        Number of rows it will be fitted on.
    """
    parts = {"": estimator} | {
        f"{name}__": part for name, part in estimator.get_params(deep=True).items() if isinstance(part, BaseEstimator)
    }
    return {prefix: part for prefix, part in parts.items() if _stops_early(part, n_rows)}


def stopped_in_time_order(
    estimator: BaseEstimator, folds: EncodedFolds, contract: FeatureContract, metric: str, n_rows: int
) -> Stopped:
    """Choose the number of iterations by the mean of a metric over folds in time order.

    On each fold the boosting is fitted until its loss on the test rows has not fallen for ``n_iter_no_change``
    iterations. The number with the best mean of the metric is chosen; of equal ones the smallest. A fold that stopped
    before a number counts with its last value. What is set grows with the rows: the folds train on about half of them,
    and a boosting of more rows gains from more iterations.

    Parameters
    ----------
    estimator
        The estimator; it is not changed.
    folds
        Encoded rows of each fold: the test rows come after the training rows. At least one.
    contract
        Task and classes.
    metric
        Metric that decides; where it is undefined on every fold, the largest number of any fold is chosen.
    n_rows
        Number of all training rows.

    Raises
    ------
    TrainingError
        As :func:`~core.train.fitting.fit_estimator`.

    References
    ----------
    Bergmeir and Benítez: On the use of cross-validation for time series predictor evaluation (2012).
    """
    outputs: list[Floats] | None = None
    params: dict[str, Any] = {}
    warned: list[str] = []
    for prefix, part in stops_on_random_rows(estimator, n_rows).items():
        paths, said = _paths(part, folds)
        warned += said
        n_iterations = best_number([path.curve(contract, metric) for path in paths], metric)
        grown = round(n_iterations * n_rows / float(np.mean([path.n_rows for path in paths])))
        params |= {f"{prefix}early_stopping": False, f"{prefix}max_iter": min(grown, part.max_iter)}
        if prefix == "":
            outputs = [path.output(n_iterations, contract) for path in paths]
    return Stopped(clone(estimator).set_params(**params), params, outputs, tuple(dict.fromkeys(warned)))


def checked_numbers(last: int) -> list[int]:
    """Return the numbers of iterations at which the metric is computed, ascending; the last one is always checked.

    Examples
    --------
    >>> checked_numbers(4), checked_numbers(1000)[:4], checked_numbers(1000)[-2:]
    ([4], [10, 12, 15, 18], [825, 1000])
    """
    return sorted({*np.geomspace(min(FEWEST, last), last, N_CHECKED).astype(int).tolist(), last})


def best_number(curves: Sequence[Curve], metric: str) -> int:
    """Return the number of iterations with the best mean of a metric over folds; of equal ones the smallest.

    Parameters
    ----------
    curves
        By fold, the metric by number of iterations, ascending; NaN where it is undefined.
    metric
        Name of the metric.
    """
    numbers = sorted({n for curve in curves for n in curve})
    sign = 1.0 if METRICS[metric].greater_is_better else -1.0
    values = sign * np.array([[_value(curve, n) for n in numbers] for curve in curves])
    known = ~np.isnan(values).all(axis=1)
    if not known.any():
        return numbers[-1]
    return numbers[int(np.argmax(np.nan_to_num(values[known].mean(axis=0), nan=-np.inf)))]


def _stages(fitted: Any, X: npt.NDArray[Any], contract: FeatureContract) -> Iterator[Floats]:
    """Return the predictions after each iteration, as :func:`~core.metrics.evaluation.predict_output` returns them."""
    if contract.task == "regression":
        yield from (np.asarray(values, dtype="float64") for values in fitted.staged_predict(X))
        return
    for probabilities in fitted.staged_predict_proba(X):
        output = np.zeros((len(X), len(contract.classes)))
        output[:, np.asarray(fitted.classes_, dtype="int64")] = probabilities
        yield output


def _value(curve: Mapping[int, float], n: int) -> float:
    """Return the value at the largest number up to ``n``; below the first, the first one's."""
    known = [number for number in curve if number <= n]
    return curve[max(known)] if known else curve[min(curve)]


def _paths(boosting: BaseEstimator, folds: EncodedFolds) -> tuple[list[_Path], list[str]]:
    paths: list[_Path] = []
    warned: list[str] = []
    for (X_train, y_train, X_test, y_test), weights in zip(folds, folds.weights, strict=True):
        fitted = clone(boosting).set_params(early_stopping=True)
        warned += fit_estimator(fitted, X_train, y_train, validation=(X_test, y_test), weights=weights)
        paths.append(_Path(fitted, len(y_train), X_test, y_test))
    return paths, warned


def _stops_early(part: BaseEstimator, n_rows: int) -> bool:
    if not isinstance(part, HistGradientBoostingClassifier | HistGradientBoostingRegressor):
        return False
    return part.early_stopping is True or (part.early_stopping == "auto" and n_rows > AUTOMATIC_FROM)
