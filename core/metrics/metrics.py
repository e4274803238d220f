"""The metrics of each task, as functionals of weighted rows.

A metric is computed for one weighting of the rows (its value: every row once) or for many at once (bootstrap
resamples), and has an influence function (for intervals with many rows). Values equal scikit-learn's.

The shape of the predictions decides the task: probabilities (n, 2) are binary with the positive class second, (n, k)
multiclass, values (n,) regression. The predicted class is the most probable one, the first of equals: in a binary task
the positive class above one half.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Scale = Literal["unit", "positive", "below_one"]

CLASSIFICATION = ("binary", "multiclass")


@dataclass(frozen=True)
class Metric:
    """A metric of predictions.

    Parameters
    ----------
    name
        Name in model files.
    label
        Name for people.
    greater_is_better
        Whether a larger value is better.
    tasks
        Tasks that it fits.
    scale
        Range of its values: ``unit`` [0, 1], ``positive`` [0, inf), ``below_one`` (-inf, 1].
    """

    name: str
    label: str
    greater_is_better: bool
    tasks: tuple[str, ...]
    scale: Scale

    def value(self, y: npt.NDArray[Any], output: Floats) -> float:
        """Return the value for one set of predictions; NaN if it is undefined on the rows.

        Parameters
        ----------
        y
            Class codes, int64, or numbers, float64, shape (n,).
        output
            Predicted probabilities, shape (n, k), or values, shape (n,).
        """
        return metric_values(y, output, (self.name,))[self.name]

    def loss(self, better: float, worse: float) -> float:
        """Return the loss from ``better`` to ``worse``, in units of the metric; negative if it is a gain."""
        return better - worse if self.greater_is_better else worse - better

    def reaches(self, value: float, floor: float) -> bool:
        """Return whether a value is at least as good as a floor."""
        return value >= floor if self.greater_is_better else value <= floor


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("roc_auc", "ROC AUC", True, CLASSIFICATION, "unit"),
        Metric("average_precision", "average precision", True, CLASSIFICATION, "unit"),
        Metric("log_loss", "log loss", False, CLASSIFICATION, "positive"),
        Metric("brier", "Brier score", False, CLASSIFICATION, "positive"),
        Metric("accuracy", "accuracy", True, CLASSIFICATION, "unit"),
        Metric("f1", "F1", True, CLASSIFICATION, "unit"),
        Metric("rmse", "RMSE", False, ("regression",), "positive"),
        Metric("mae", "MAE", False, ("regression",), "positive"),
        Metric("r2", "R²", True, ("regression",), "below_one"),
    )
}
"""Every metric by name. Multiclass: AUC one-vs-rest, average precision and F1 are means over the classes that occur;
the Brier score is the sum over classes, in [0, 2]."""


def task_metrics(task: str) -> tuple[str, ...]:
    """Return the names of the metrics that fit a task."""
    return tuple(name for name, metric in METRICS.items() if task in metric.tasks)


def metric_values(y: npt.NDArray[Any], output: Floats, names: Sequence[str]) -> dict[str, float]:
    """Compute metrics by name, equal to scikit-learn's; NaN if undefined.

    Parameters
    ----------
    y
        Class codes, int64, or numbers, float64, shape (n,).
    output
        Predicted probabilities, shape (n, k), or values, shape (n,).
    names
        Names of metrics that fit the shape of ``output``.

    Examples
    --------
    >>> metric_values(np.array([1.0, 2.0, 4.0]), np.array([1.0, 2.0, 3.0]), ["mae"])
    {'mae': 0.3333333333333333}
    """
    once = np.ones((1, len(y)))
    found: dict[str, float] = {}
    for measure in measures(y, output, names):
        found.update({name: float(scores[0]) for name, scores in measure.scores(once).items()})
    return {name: found[name] for name in names}


class Measure(Protocol):
    """Metrics of one sample that share their intermediate results."""

    def scores(self, weights: Floats) -> dict[str, Floats]:
        """Return each metric by weighting, shape (b,) for weights of shape (b, n), float64; NaN if undefined."""

    def influences(self, weights: Floats | None = None) -> dict[str, Floats]:
        """Return the first-order change of each metric per row, shape (n,), float64, with (weighted) mean zero.

        The variance of a metric is about ``mean(influence ** 2) / n``. Weights of shape (n,), float64, above 0, say how
        many rows each row represents; None is one each.
        """


def measures(y: npt.NDArray[Any], output: Floats, names: Sequence[str]) -> list[Measure]:
    """Prepare a sample for the computation of metrics.

    Parameters
    ----------
    y
        Class codes, int64, or numbers, float64, shape (n,).
    output
        Predicted probabilities, shape (n, k), or values, shape (n,).
    names
        Names of metrics that fit the shape of ``output``.
    """
    if output.ndim == 1:
        return [Errors(y, output)]
    prepared: list[Measure] = []
    if {"roc_auc", "average_precision"} & set(names):
        prepared.append(Rankings(y, output))
    if set(names) - {"roc_auc", "average_precision"}:
        prepared.append(Labels(y, output))
    return prepared


@dataclass(frozen=True, eq=False)
class Terms:
    """A metric that is a function of weighted means of the rows.

    Parameters
    ----------
    columns
        Values to average, shape (n, c), float64.
    value
        Function from weighted means, shape (b, c), to the metric, shape (b,).
    """

    columns: Floats
    value: Callable[[Floats], Floats]


class Errors:
    """RMSE, MAE and R² of values, shape (n,); R² is undefined if the target is constant."""

    def __init__(self, y: npt.NDArray[Any], output: Floats) -> None:
        error = y - output
        centred = y - y.mean()
        self._columns = np.column_stack([error**2, np.abs(error), centred, centred**2])

    def terms(self) -> dict[str, Terms]:
        """Return the terms of each metric."""
        return {
            "rmse": Terms(self._columns[:, :1], lambda means: np.sqrt(means[:, 0])),
            "mae": Terms(self._columns[:, 1:2], lambda means: means[:, 0]),
            "r2": Terms(self._columns[:, [0, 2, 3]], _explained),
        }

    def scores(self, weights: Floats) -> dict[str, Floats]:
        """See :class:`Measure`."""
        return _weighted(self.terms(), weights)

    def influences(self, weights: Floats | None = None) -> dict[str, Floats]:
        """See :class:`Measure`."""
        squared, absolute, centred, second = self._columns.T
        mse, mae, mean = (np.average(column, weights=weights) for column in (squared, absolute, centred))
        second = second if weights is None else (centred - mean) ** 2
        spread = np.average(second, weights=weights)
        share = _ratio(mse, spread)
        return {
            "rmse": (squared - mse) / (2 * np.sqrt(mse) or 1.0),
            "mae": absolute - mae,
            "r2": -_ratio(squared - share * second, spread),
        }


class Labels:
    """Log loss, Brier score, accuracy and F1 of probabilities, shape (n, k)."""

    def __init__(self, y: npt.NDArray[Any], output: Floats) -> None:
        n_classes = output.shape[1]
        truth = np.eye(n_classes)[y]
        chosen = np.eye(n_classes)[output.argmax(axis=1)]
        smallest = np.finfo(np.float64).eps
        log_loss = -np.log(np.clip(output[np.arange(len(y)), y], smallest, 1 - smallest))
        brier = ((output - truth) ** 2).sum(axis=1) / (2 if n_classes == 2 else 1)
        self._means = np.column_stack([log_loss, brier, (truth * chosen).sum(axis=1)])
        judged = slice(1, None) if n_classes == 2 else slice(None)
        self._hits = 2 * (truth * chosen)[:, judged]
        self._calls = (truth + chosen)[:, judged]

    def terms(self) -> dict[str, Terms]:
        """Return the terms of each metric."""
        names = ("log_loss", "brier", "accuracy")
        plain = {name: Terms(self._means[:, [column]], lambda means: means[:, 0]) for column, name in enumerate(names)}
        return {**plain, "f1": Terms(np.column_stack([self._hits, self._calls]), _mean_f1)}

    def scores(self, weights: Floats) -> dict[str, Floats]:
        """See :class:`Measure`."""
        return _weighted(self.terms(), weights)

    def influences(self, weights: Floats | None = None) -> dict[str, Floats]:
        """See :class:`Measure`."""
        log_loss, brier, accuracy = (self._means - np.average(self._means, axis=0, weights=weights)).T
        hits, calls = (np.average(part, axis=0, weights=weights) for part in (self._hits, self._calls))
        by_class = _ratio(self._hits - _ratio(hits, calls) * self._calls, calls)
        return {"log_loss": log_loss, "brier": brier, "accuracy": accuracy, "f1": _mean_of_defined(by_class)}


class Rankings:
    """ROC AUC and average precision of probabilities, shape (n, k); multiclass: the mean over one ranking per class."""

    def __init__(self, y: npt.NDArray[Any], output: Floats) -> None:
        codes = [1] if output.shape[1] == 2 else range(output.shape[1])
        self._codes = [code for code in codes if (y == code).any()]
        self._y, self._output = y, output

    def scores(self, weights: Floats) -> dict[str, Floats]:
        """See :class:`Measure`."""
        scores = np.array([ranking.scores(weights) for ranking in self._rankings()])
        auc, precision = scores.reshape(-1, 2, len(weights)).transpose(1, 2, 0)
        return {"roc_auc": _mean_of_defined(auc), "average_precision": _mean_of_defined(precision)}

    def influences(self, weights: Floats | None = None) -> dict[str, Floats]:
        """See :class:`Measure`."""
        found = np.array(
            [(ranking.auc_influence(weights), ranking.precision_influence(weights)) for ranking in self._rankings()]
        )
        auc, precision = found.reshape(-1, 2, len(self._y)).transpose(1, 2, 0)
        return {"roc_auc": _mean_of_defined(auc), "average_precision": _mean_of_defined(precision)}

    def _rankings(self) -> Iterator[Ranking]:
        # Sorted again at each use: the sorted rows of a hundred classes would take more memory than the probabilities.
        return (Ranking(self._output[:, code], self._y == code) for code in self._codes)


class Ranking:
    """Rows by descending score, with equal scores as one step, and cumulative counts at the steps.

    Parameters
    ----------
    score
        Scores, shape (n,), float64.
    event
        Whether the row is an event, shape (n,), bool, with at least one True.
    """

    def __init__(self, score: Floats, event: npt.NDArray[np.bool_]) -> None:
        self._order = np.argsort(-score, kind="stable")
        falling = score[self._order]
        self._event = event[self._order]
        first_of_step = np.append(True, falling[1:] != falling[:-1])
        self._step = np.cumsum(first_of_step) - 1
        self._starts = np.flatnonzero(first_of_step)
        self._ends = np.append(self._starts[1:], len(score))

    def scores(self, weights: Floats) -> tuple[Floats, Floats]:
        """Return AUC and average precision under each weighting, shape (b,) each for weights of shape (b, n).

        Only steps with events contribute to the sums, so the cumulative counts are read only at these steps.
        """
        with_event = np.unique(self._step[self._event])
        starts, ends = self._starts[with_event], self._ends[with_event]
        events_before = np.append(0, np.cumsum(self._event))
        rows = _running(weights[:, self._order])
        events = _running(weights[:, self._order[self._event]])
        above, upto = events[:, events_before[starts]], events[:, events_before[ends]]
        in_step, n_events = upto - above, events[:, -1]
        precision = _ratio((in_step * _ratio(upto, rows[:, ends], empty=0.0)).sum(axis=1), n_events)
        others = rows[:, -1] - n_events
        passed = rows[:, starts] - above + rows[:, ends] - upto
        wins = (in_step * (others[:, None] - passed / 2)).sum(axis=1)
        return _ratio(wins, n_events * others), precision

    def auc_influence(self, weights: Floats | None = None) -> Floats:
        """Return the influence of each row on the AUC, scaled so that the variance is DeLong's, shape (n,), float64.

        Weights as in :meth:`Measure.influences`.

        References
        ----------
        DeLong, DeLong & Clarke-Pearson (1988), Comparing the areas under two or more correlated receiver operating
        characteristic curves, Biometrics 44, 837-845.
        """
        starts, rows, above, upto, weight = self._steps(weights)
        n, n_events = rows[-1], upto[-1]
        others = n - n_events
        beaten = 1 - _ratio(starts - above + rows - upto, 2 * others)
        beaten_by = (above + upto) / (2 * n_events)
        placement = np.where(self._event, beaten[self._step], beaten_by[self._step])
        auc = np.average(placement[self._event], weights=weight[self._event])
        size = np.where(self._event, n_events, others)
        found = np.where(self._event, self._event.sum(), (~self._event).sum())
        corrected = np.sqrt(found / np.maximum(found - 1.0, 1.0))
        return self._by_row((placement - auc) * n / size * corrected)

    def precision_influence(self, weights: Floats | None = None) -> Floats:
        """Return the influence of each row on the average precision, shape (n,), float64.

        It is the derivative of ``sum(events * precision) / n_events`` by the row's weight: a row contributes at its own
        step (if it is an event) and changes the precision at every step below. Weights as in
        :meth:`Measure.influences`.
        """
        _, rows, above, upto, _ = self._steps(weights)
        n_events, in_step, precision = upto[-1], upto - above, upto / rows
        gained = np.cumsum((in_step / rows)[::-1])[::-1]
        lost = np.cumsum((in_step * precision / rows)[::-1])[::-1]
        average = (in_step * precision).sum() / n_events
        own = precision - average + gained
        influence = np.where(self._event, own[self._step], 0.0) - lost[self._step]
        return self._by_row(influence * rows[-1] / n_events)

    def _steps(self, weights: Floats | None) -> tuple[Floats, Floats, Floats, Floats, Floats]:
        """Return rows above each step, rows and events up to its ends, and the weights in order."""
        weight = np.ones(len(self._event)) if weights is None else weights[self._order]
        rows, events = (np.append(0.0, np.cumsum(part)) for part in (weight, weight * self._event))
        return rows[self._starts], rows[self._ends], events[self._starts], events[self._ends], weight

    def _by_row(self, sorted_values: Floats) -> Floats:
        values = np.empty_like(sorted_values)
        values[self._order] = sorted_values
        return values


def _explained(means: Floats) -> Floats:
    squared, first, second = means.T
    share: Floats = 1 - _ratio(squared, second - first**2)
    return share


def _mean_f1(means: Floats) -> Floats:
    hits, calls = np.split(means, 2, axis=1)
    return _mean_of_defined(_ratio(hits, calls))


def _weighted(terms: dict[str, Terms], weights: Floats) -> dict[str, Floats]:
    total = weights.sum(axis=1, keepdims=True)
    return {name: part.value(weighted_sums(weights, part.columns) / total) for name, part in terms.items()}


def weighted_sums(weights: Floats, columns: Floats) -> Floats:
    """Sum columns, shape (n, c), under each weighting, shape (b, n), to shape (b, c).

    ``einsum`` instead of a matrix product: its result does not depend on the number of BLAS threads, and it does not
    compete for cores.
    """
    sums: Floats = np.einsum("bn,cn->bc", weights, np.ascontiguousarray(columns.T))
    return sums


def _running(weights: Floats) -> Floats:
    totals = np.zeros((weights.shape[0], weights.shape[1] + 1))
    np.cumsum(weights, axis=1, out=totals[:, 1:])
    return totals


def _ratio(numerator: Any, denominator: Any, empty: float = np.nan) -> Any:
    defined = np.asarray(denominator) > 0
    return np.where(defined, numerator / np.where(defined, denominator, 1.0), empty)


def _mean_of_defined(values: Floats) -> Floats:
    """Return the mean over the last axis ignoring NaN; NaN if there is nothing else, without NumPy's warning."""
    defined = ~np.isnan(values)
    mean: Floats = _ratio(np.where(defined, values, 0.0).sum(axis=-1), defined.sum(axis=-1))
    return mean
