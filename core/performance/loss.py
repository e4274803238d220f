"""Whether a window's performance is worse than the holdout's, from labels; without: :mod:`core.performance.estimated`.

Window and holdout share no rows, so their values are independent, and the interval of the loss follows from the two
intervals (MOVER): unlike a normal interval of the difference it keeps their skewness, near 1 and for losses near 0.
The holdout's part does not shrink with more rows in the window: with few holdout rows the reference stays uncertain.

References
----------
Zou & Donner (2008), Construction of confidence limits about effect measures: a general approach, Statistics in Medicine
27, 1693-1702 (the method of variance estimates recovery).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

from core.metrics.bootstrap import MIN_ROWS, Estimate, estimates
from core.metrics.clusters import Clusters, DesignEffect
from core.metrics.metrics import METRICS, Floats
from core.metrics.strata import Strata, standardised, stratified_estimate
from core.performance.clusters import clustered_estimate, performance_effect
from core.text import percent_text
from core.wilson import wilson_interval

NEEDED = {"realised": MIN_ROWS, "estimated": 200}
"""Minimum rows to judge a loss. In windows of 100 rows, 1.5 % of those without loss were estimated to have one."""

HOLDOUT = "on the holdout"

RESAMPLES = (500, 4_000)
"""Minimum and maximum number of bootstrap resamples of a window."""

TAIL = 5
"""Number of resamples wanted beyond each end of an interval."""


@dataclass(frozen=True)
class Performance:
    """A champion's performance on a window, compared with its performance on the holdout.

    Parameters
    ----------
    kind
        ``realised`` from labels, ``estimated`` from calibrated scores.
    metric
        Name of the metric, as in model files.
    value
        Value on the window; NaN if the metric is undefined on its rows.
    low, high
        Ends of its interval; None if the rows do not allow one.
    reference, reference_low, reference_high
        Value and interval on the holdout, or expected from earlier periods (:mod:`core.performance.history`).
    loss
        By how much the window is worse, in units of the metric; negative if it is better.
    loss_low, loss_high
        Ends of the interval of the loss; None if there is none.
    tolerated
        Largest loss that is tolerated, in units of the metric.
    harmed
        Whether the loss is beyond chance and above the tolerance; None if this is unknown. An estimate without labels
        is False only if a loss above the tolerance is excluded.
    n_rows
        Number of rows of the window that were evaluated.
    reason
        One sentence for people.
    clusters
        Design effect of the clusters in which the rows come, which the intervals include; None if they do not matter.
    source
        Where the reference comes from: the end of a sentence that states its value.
    judged
        Whether it may decide on harm; otherwise it is a further metric, shown beside the one that does.
    """

    kind: Literal["realised", "estimated"]
    metric: str
    value: float
    low: float | None
    high: float | None
    reference: float
    reference_low: float | None
    reference_high: float | None
    loss: float
    loss_low: float | None
    loss_high: float | None
    tolerated: float
    harmed: bool | None
    n_rows: int
    reason: str
    clusters: DesignEffect | None = None
    source: str = HOLDOUT
    judged: bool = True

    @property
    def excludes_harm(self) -> bool:
        """Whether a loss above the tolerance is excluded; a realised loss is called not harmed by its value alone."""
        if self.harmed is not False:
            return False
        return self.kind == "estimated" or (self.loss_high is not None and self.loss_high <= self.tolerated)


def realised_performance(
    y: npt.NDArray[Any],
    output: Floats,
    metric: str,
    reference: Estimate,
    reference_confidence: float,
    *,
    max_loss: float,
    confidence: float,
    seed: int | Sequence[int],
    clusters: Clusters | None = None,
    strata: Strata | None = None,
    rate: float | None = None,
    source: str = HOLDOUT,
) -> Performance:
    """Evaluate the champion's predictions on a window with labels, and compare the metric with the holdout's.

    Average precision of two classes is compared at the holdout's rate of events, because it rises and falls with the
    rate although the ranking is the same; ``value`` is at the window's own rate.

    Parameters
    ----------
    y
        Class codes, int64, or numbers, float64, shape (n,); n may be 0.
    output
        Predicted probabilities, shape (n, k), or values, shape (n,).
    metric
        Name of a metric that fits the shape of ``output``.
    reference
        The metric on the holdout.
    reference_confidence
        Confidence of the reference's interval, above 0 and below 1; the interval is scaled to ``confidence``.
    max_loss
        Tolerated loss as a share of the reference's value, at least 0.
    confidence
        Confidence of the window's interval and of the loss's, above 0 and below 1: without a loss, the lower end is
        above zero in (1 - confidence) / 2 of the windows.
    seed
        Seed of the bootstrap; the same seed gives the same intervals.
    clusters
        Clusters of the rows; None for independent rows. The holdout's rows are taken to come in such clusters too.
    strata
        How many rows of the window each row represents; None is one each.
    rate
        Rate of the positive class on the holdout, 0 to 1; None if there are not two classes.
    source
        Where the reference comes from.
    """
    found = _realised(y, output, metric, confidence, seed, strata)
    same = _at_rate(y, output, metric, confidence, rate)
    effect = performance_effect(y, output, metric, clusters, None if strata is None else strata.weights)
    if effect is not None:
        found = clustered_estimate(found, effect, metric, confidence)
        same = None if same is None else clustered_estimate(same, effect, metric, confidence)
        reference = clustered_estimate(reference, effect, metric, None)
    stretched = _stretched(reference, quantile_of(confidence) / quantile_of(reference_confidence))
    loss = loss_between(metric, stretched, same or found)
    performance = compared_performance("realised", metric, found, stretched, loss, max_loss, len(y))
    performance = replace(performance, source=source, clusters=effect)
    return replace(performance, reason=_reason(performance, confidence, strata, same))


def compared_performance(
    kind: Literal["realised", "estimated"],
    metric: str,
    found: Estimate,
    reference: Estimate,
    loss: Estimate,
    max_loss: float,
    n_rows: int,
) -> Performance:
    """Compare a metric on a window with its value on the holdout; the reason is left empty.

    Parameters
    ----------
    kind, metric, n_rows
        As in :class:`Performance`.
    found, reference
        The metric on the window and on the holdout.
    loss
        By how much ``found`` is worse, with its interval, see :func:`loss_between`.
    max_loss
        Tolerated loss as a share of the reference's value, at least 0.
    """
    tolerated = max_loss * abs(reference.value)
    return Performance(
        kind=kind,
        metric=metric,
        value=found.value,
        low=found.low,
        high=found.high,
        reference=reference.value,
        reference_low=reference.low,
        reference_high=reference.high,
        loss=loss.value,
        loss_low=loss.low,
        loss_high=loss.high,
        tolerated=tolerated,
        harmed=_harmed(loss, tolerated, n_rows >= NEEDED[kind]),
        n_rows=n_rows,
        reason="",
    )


def _realised(
    y: npt.NDArray[Any],
    output: Floats,
    metric: str,
    confidence: float,
    seed: int | Sequence[int],
    strata: Strata | None,
) -> Estimate:
    # A ranking would sort NaN to its end and still return a number.
    if not len(y) or not np.isfinite(output).all():
        return Estimate(math.nan, None, None)
    if strata is not None:
        return stratified_estimate(y, output, metric, strata, confidence)
    tries = min(max(RESAMPLES[0], math.ceil(2 * TAIL / (1 - confidence))), RESAMPLES[1])
    found = estimates(y, output, (metric,), resamples=tries, confidence=confidence, seed=seed)[metric]
    known = found.low is not None or len(y) < MIN_ROWS or METRICS[metric].scale != "unit"
    return found if known or math.isnan(found.value) else _share(y, found.value, metric, confidence)


def _at_rate(
    y: npt.NDArray[Any], output: Floats, metric: str, confidence: float, rate: float | None
) -> Estimate | None:
    """Return average precision at a rate of events; None for other metrics, and if a class has fewer than two rows."""
    if metric != "average_precision" or rate is None or not 0 < rate < 1 or not np.isfinite(output).all():
        return None
    if np.bincount(y, minlength=2).min() < 2:
        return None
    return stratified_estimate(y, output, metric, standardised(y, rate), confidence)


def _share(y: npt.NDArray[Any], value: float, metric: str, confidence: float) -> Estimate:
    """Return the interval of a metric without variation between rows (for example no hit): that of a share of rows."""
    counts = np.unique(y, return_counts=True)[1]
    if metric == "accuracy":
        return Estimate(value, *wilson_interval(value, len(y), confidence))
    # With rows of one class only, such a metric is a constant and has no interval.
    return Estimate(
        value, *(wilson_interval(value, int(counts.min()), confidence) if len(counts) > 1 else (None, None))
    )


def _harmed(loss: Estimate, tolerated: float, enough: bool) -> bool | None:
    if not enough or not math.isfinite(loss.value):
        return None
    if not loss.value > tolerated:
        return False
    # A loss above the tolerance that may be chance is neither harm nor no harm.
    return True if loss.low is not None and loss.low > 0 else None


def loss_between(metric: str, reference: Estimate, found: Estimate, extra: float = 0.0) -> Estimate:
    """Return by how much one value is worse than another, with its interval from the two intervals.

    Parameters
    ----------
    metric
        Name of the metric.
    reference, found
        The two values with their intervals, independent of each other.
    extra
        Half-width of a further independent error, which both ends include.
    """
    loss = METRICS[metric].loss(reference.value, found.value)
    if reference.low is None or reference.high is None or found.low is None or found.high is None:
        return Estimate(loss, None, None)
    up = math.hypot(reference.high - reference.value, found.value - found.low, extra)
    down = math.hypot(reference.value - reference.low, found.high - found.value, extra)
    if not METRICS[metric].greater_is_better:
        up, down = down, up
    return Estimate(loss, loss - down, loss + up)


def _stretched(estimate: Estimate, factor: float) -> Estimate:
    if estimate.low is None or estimate.high is None:
        return estimate
    low, high = (estimate.value + factor * (end - estimate.value) for end in (estimate.low, estimate.high))
    return Estimate(estimate.value, low, high)


def quantile_of(confidence: float) -> float:
    """Return the quantile of the normal distribution at the upper end of a two-sided interval."""
    return float(ndtri((1 + confidence) / 2))


def unjudged(performance: Performance, strata: Strata | None = None) -> str:
    """Return why a loss cannot be judged, a sentence; empty if it can."""
    label, rows = METRICS[performance.metric].label, rows_text(performance, strata)
    if performance.n_rows < (needed := NEEDED[performance.kind]):
        verb = "is" if performance.n_rows == 1 else "are"
        return f"{rows} {verb} too few to judge {label}: {needed} are needed"
    if not math.isfinite(performance.value):
        return (
            f"{label} is not defined on {rows}: check whether they have only one class, or scores that are not finite"
        )
    if not math.isfinite(performance.reference):
        return f"{label} is not defined on the holdout, so there is nothing to compare {rows} with"
    return ""


def _reason(performance: Performance, confidence: float, strata: Strata | None, same: Estimate | None) -> str:
    if problem := unjudged(performance, strata):
        return problem
    label, rows = METRICS[performance.metric].label, rows_text(performance, strata)
    value = number_text(performance.value) + ends_text(performance.low, performance.high, confidence)
    at_rate = "" if same is None else f", {number_text(same.value)} at the holdout's rate of events"
    compared = f"{number_text(performance.reference)} {performance.source}"
    return f"{label} is {value} on {rows}{at_rate}, {compared}: {_loss_text(performance, confidence)}"


def _loss_text(performance: Performance, confidence: float) -> str:
    loss, bound = change_text(performance, confidence), number_text(performance.tolerated, 3)
    if performance.harmed is False and not performance.excludes_harm:
        return f"{loss}; a loss above the tolerated {bound} is neither shown nor excluded"
    if not performance.loss > 0:
        return "no loss"
    tolerated = f"{bound} is tolerated"
    if performance.loss <= performance.tolerated:
        return f"{loss}, {tolerated}"
    if performance.loss_low is None:
        return f"{loss}, {tolerated}; whether it is chance is unknown"
    return f"{loss}, {tolerated}" if performance.harmed else f"{loss}, which may be chance; {tolerated}"


def change_text(performance: Performance, confidence: float) -> str:
    """Write a loss with the interval of the loss, or a gain with the interval of the gain."""
    low, high = performance.loss_low, performance.loss_high
    if performance.loss > 0:
        return f"a loss of {number_text(performance.loss, 3)}{ends_text(low, high, confidence, 3)}"
    ends = "" if low is None or high is None else ends_text(-high, -low, confidence, 3)
    return f"a gain of {number_text(abs(performance.loss), 3)}{ends}"


def rows_text(performance: Performance, strata: Strata | None = None) -> str:
    """Name the rows of a window, for a sentence, and the rows that they represent."""
    noun = "row" if performance.n_rows == 1 else "rows"
    if strata is not None and round(strata.n_rows) > performance.n_rows:
        return f"{performance.n_rows:,} labelled {noun} that represent {strata.n_rows:,.0f}"
    if performance.kind == "realised":
        return f"{performance.n_rows:,} labelled {noun}"
    # Rows that have labels are estimated too.
    return f"{performance.n_rows:,} {noun} (labels unused)"


def ends_text(low: float | None, high: float | None, confidence: float, digits: int = 4) -> str:
    """Return an interval in brackets, for a sentence; empty if there is none.

    Parameters
    ----------
    low, high
        Ends of the interval; None if there is none.
    confidence
        Confidence of the interval, above 0 and below 1.
    digits
        Number of significant digits.
    """
    if low is None or high is None:
        return ""
    return f" ({percent_text(confidence)} interval {number_text(low, digits)} to {number_text(high, digits)})"


def number_text(value: float, digits: int = 4) -> str:
    """Format a value of a metric."""
    return f"{value:,.0f}" if abs(value) >= 10**digits else f"{value:.{digits}g}"
