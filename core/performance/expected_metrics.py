"""Metrics of rows whose labels are known only as probabilities.

A row with probability p of a class counts as p rows with that label, so the metric is that of weighted rows, see
:mod:`core.metrics.metrics`, and no labels are drawn. It is computed directly, because a copy of each row per class
would not fit in memory, together with the influence of each possible label of each row. The standard errors of the
metric, and its derivative by the probabilities, follow from the influence.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from core.metrics.metrics import Floats

_RANKING_RULES = ("roc_auc", "average_precision")


@dataclass(frozen=True, eq=False)
class ExpectedMetric:
    """Value of a metric with probabilities as labels.

    Parameters
    ----------
    value
        Value of the metric; NaN if the probabilities leave it undefined.
    influence
        First-order change of the metric per row and possible label, shape (n, k), float64; its mean over rows and
        probabilities is zero.
    chances
        Probabilities of the labels, shape (n, k), 0 to 1, each row summing to 1.
    """

    value: float
    influence: Floats
    chances: Floats

    @cached_property
    def by_row(self) -> Floats:
        """Mean influence of each row over its labels, shape (n,)."""
        mean: Floats = (self.chances * self.influence).sum(axis=1)
        return mean

    @property
    def error(self) -> float:
        """Standard error over rows and labels: of the metric of such rows once they are labelled."""
        return float(np.sqrt((self.chances * self.influence**2).sum()) / max(1, len(self.chances)))

    @property
    def row_error(self) -> float:
        """Standard error over rows only: of the expected metric of other such rows."""
        return float(np.sqrt((self.by_row**2).sum()) / max(1, len(self.chances)))


def expected_metric(chances: Floats, output: Floats, metric: str) -> ExpectedMetric:
    """Compute a classification metric from probabilities of the labels.

    Parameters
    ----------
    chances
        Probabilities of the labels, shape (n, k), 0 to 1, each row summing to 1.
    output
        Probabilities predicted by the model, shape (n, k), which rank the rows and decide the predicted class.
    metric
        Name of a classification metric in :data:`core.metrics.metrics.METRICS`.

    Examples
    --------
    >>> output = np.array([[0.9, 0.1], [0.4, 0.6]])
    >>> round(expected_metric(np.array([[0.8, 0.2], [0.5, 0.5]]), output, "accuracy").value, 12)
    0.65
    """
    if not len(output) or not (np.isfinite(output).all() and np.isfinite(chances).all()):
        return ExpectedMetric(np.nan, np.zeros(output.shape), chances)
    if metric in _RANKING_RULES:
        value, influence = _expected_ranking(chances, output, metric)
    elif metric == "f1":
        value, influence = _expected_f1(chances, output)
    else:
        score = _label_scores(output, metric)
        value = float((chances * score).sum() / len(output))
        influence = score - value
    return ExpectedMetric(value, influence if np.isfinite(value) else np.zeros(output.shape), chances)


def _label_scores(output: Floats, metric: str) -> Floats:
    """Return the contribution of each row, by label, to a metric that is a mean over rows."""
    if metric == "log_loss":
        smallest = np.finfo(np.float64).eps
        losses: Floats = -np.log(np.clip(output, smallest, 1 - smallest))
        return losses
    if metric == "brier":
        squares: Floats = (output**2).sum(axis=1, keepdims=True) - 2 * output + 1
        return squares / 2 if output.shape[1] == 2 else squares
    if metric == "accuracy":
        return _chosen(output)
    raise ValueError(f"expected a metric of classification, found {metric!r}")


def _chosen(output: Floats) -> Floats:
    chosen: Floats = np.eye(output.shape[1])[output.argmax(axis=1)]
    return chosen


def _expected_f1(chances: Floats, output: Floats) -> tuple[float, Floats]:
    chosen = _chosen(output)
    hits, calls = 2 * (chances * chosen).sum(axis=0), (chances + chosen).sum(axis=0)
    judged = calls > 0
    judged[0] &= output.shape[1] > 2
    if not judged.any():
        return np.nan, np.zeros(output.shape)
    size = np.where(judged, calls, 1.0)
    scores = np.where(judged, hits / size, 0.0)
    as_label = np.where(judged, (2 * chosen - scores) / size, 0.0)
    as_call = (chosen * scores / size).sum(axis=1, keepdims=True)
    return float(scores.sum() / judged.sum()), (as_label - as_call) * len(output) / judged.sum()


def _expected_ranking(chances: Floats, output: Floats, metric: str) -> tuple[float, Floats]:
    """Return the mean over the classes' rankings; binary: the positive class only."""
    n_classes = output.shape[1]
    value, defined, influence = 0.0, 0, np.zeros(output.shape)
    for code in [1] if n_classes == 2 else range(n_classes):
        ranking = _SoftRanking(output[:, code], chances[:, code])
        if not ranking.defines(metric):
            continue
        score, of_event, of_other = ranking.auc() if metric == "roc_auc" else ranking.average_precision()
        influence += of_other[:, None]
        influence[:, code] += of_event - of_other
        value, defined = value + score, defined + 1
    return (value / defined, influence / defined) if defined else (np.nan, influence)


class _SoftRanking:
    """Rows by descending score as in :class:`core.metrics.metrics.Ranking`, with probabilities of events.

    Parameters
    ----------
    score, chance
        Scores, and probabilities of the event, shape (n,) each.
    """

    def __init__(self, score: Floats, chance: Floats) -> None:
        order = np.argsort(-score, kind="stable")
        falling = score[order]
        first_of_step = np.append(True, falling[1:] != falling[:-1])
        self._step = np.empty(len(score), dtype=np.int64)
        self._step[order] = np.cumsum(first_of_step) - 1
        starts = np.flatnonzero(first_of_step)
        events = np.append(0.0, np.cumsum(chance[order]))
        self._first, self._last = starts, np.append(starts[1:], len(score))
        self._above, self._upto = events[self._first], events[self._last]
        self._n_events, self._n_others = events[-1], float((1 - chance).sum())

    def defines(self, metric: str) -> bool:
        """Return whether there are events and, for the AUC, other rows."""
        return bool(self._n_events > 0 and (self._n_others > 0 or metric != "roc_auc"))

    def auc(self) -> tuple[float, Floats, Floats]:
        """Return the value, and the influence of each row as an event and as no event."""
        in_step, n = self._upto - self._above, len(self._step)
        passed = self._first - self._above + self._last - self._upto
        beaten = 1 - passed / (2 * self._n_others)
        beaten_by = (self._above + self._upto) / (2 * self._n_events)
        auc = float((in_step * beaten).sum() / self._n_events)
        of_event, of_other = (beaten - auc) * n / self._n_events, (beaten_by - auc) * n / self._n_others
        return auc, of_event[self._step], of_other[self._step]

    def average_precision(self) -> tuple[float, Floats, Floats]:
        """Return the value, and the influence of each row as an event and as no event."""
        in_step, n = self._upto - self._above, len(self._step)
        precision = self._upto / self._last
        gained, lost = (np.cumsum((in_step * share / self._last)[::-1])[::-1] for share in (1 - precision, precision))
        average = float((in_step * precision).sum() / self._n_events)
        of_event, of_other = (precision + gained - average) * n / self._n_events, -lost * n / self._n_events
        return average, of_event[self._step], of_other[self._step]
