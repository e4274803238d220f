"""Whether a window's performance is worse than the holdout's: realised from labels, or estimated from scores.

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
from core.metrics.calibration import wilson_interval
from core.metrics.metrics import METRICS, Floats
from core.performance.cbpe import CbpeReference, CbpeWindow, interval_of, window_cbpe
from core.text import percent_text

NO_ESTIMATE = "performance of a regression cannot be estimated without labels: its predictions have no probabilities"
"""Why a regression has no estimated performance."""

NEEDED = {"realised": MIN_ROWS, "estimated": 200}
"""Minimum rows to judge a loss. In windows of 100 rows, 1.5 % of those without loss were estimated to have one."""

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
        Value and interval on the holdout.
    loss
        By how much the window is worse, in units of the metric; negative if it is better.
    loss_low, loss_high
        Ends of the interval of the loss; None if there is none.
    tolerated
        Largest loss that is tolerated, in units of the metric.
    harmed
        Whether the loss is beyond chance and above the tolerance; None if this is unknown.
    n_rows
        Number of rows of the window that were evaluated.
    reason
        One sentence for people.
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
) -> Performance:
    """Evaluate the champion's predictions on a window with labels, and compare the metric with the holdout's.

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
    """
    found = _realised(y, output, metric, confidence, seed)
    stretched = _stretched(reference, _quantile(confidence) / _quantile(reference_confidence))
    loss = _loss(metric, stretched, found)
    return _performance("realised", metric, found, stretched, loss, max_loss, len(y), confidence)


def estimated_performance(output: Floats, cbpe: CbpeReference, *, max_loss: float, confidence: float) -> Performance:
    """Compare the estimate of a metric on a window without labels with the same estimate on the holdout.

    ``low`` and ``high`` are the interval of the metric once the rows are labelled. The interval of the loss is
    narrower, because it compares two expected values, which do not include the chance of the labels.

    Parameters
    ----------
    output
        Probabilities predicted by the champion, shape (n, k); n may be 0.
    cbpe
        The estimate on the holdout, from the champion's bundle.
    max_loss, confidence
        As in :func:`realised_performance`.
    """
    window, metric = window_cbpe(output, cbpe), cbpe.metric
    shown = interval_of(metric, window.value, window.error, window.n_rows, confidence)
    error = _row_error(window, cbpe)
    here = _exact_if_even(interval_of(metric, window.value, error, window.n_rows, confidence), len(output))
    there = _exact_if_even(interval_of(metric, cbpe.value, cbpe.row_error, cbpe.n_rows, confidence), cbpe.n_rows)
    loss = _loss(metric, there, here, _quantile(confidence) * window.map_error)
    reference = cbpe.estimate(confidence)
    return _performance("estimated", metric, shown, reference, loss, max_loss, len(output), confidence)


def _row_error(window: CbpeWindow, cbpe: CbpeReference) -> float:
    """Return the standard error over rows; for average precision, pooled with the holdout's, scaled to these rows."""
    # Average precision has a small error where its value is low: 2.6 % of windows of 200 rows without loss were called
    # harmed.
    if cbpe.metric != "average_precision" or not window.row_error:
        return window.row_error
    return math.sqrt((window.row_error**2 + cbpe.row_error**2 * cbpe.n_rows / window.n_rows) / 2)


def _performance(
    kind: Literal["realised", "estimated"],
    metric: str,
    found: Estimate,
    reference: Estimate,
    loss: Estimate,
    max_loss: float,
    n_rows: int,
    confidence: float,
) -> Performance:
    tolerated = max_loss * abs(reference.value)
    performance = Performance(
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
    return replace(performance, reason=_reason(performance, confidence))


def _realised(
    y: npt.NDArray[Any], output: Floats, metric: str, confidence: float, seed: int | Sequence[int]
) -> Estimate:
    # A ranking would sort NaN to its end and still return a number.
    if not len(y) or not np.isfinite(output).all():
        return Estimate(math.nan, None, None)
    tries = min(max(RESAMPLES[0], math.ceil(2 * TAIL / (1 - confidence))), RESAMPLES[1])
    found = estimates(y, output, (metric,), resamples=tries, confidence=confidence, seed=seed)[metric]
    known = found.low is not None or len(y) < MIN_ROWS or METRICS[metric].scale != "unit"
    return found if known or math.isnan(found.value) else _share(y, found.value, metric, confidence)


def _share(y: npt.NDArray[Any], value: float, metric: str, confidence: float) -> Estimate:
    """Return the interval of a metric without variation between rows (for example no hit): that of a share of rows."""
    counts = np.unique(y, return_counts=True)[1]
    if metric == "accuracy":
        return Estimate(value, *wilson_interval(value, len(y), confidence))
    # With rows of one class only, such a metric is a constant and has no interval.
    return Estimate(
        value, *(wilson_interval(value, int(counts.min()), confidence) if len(counts) > 1 else (None, None))
    )


def _exact_if_even(estimate: Estimate, n_rows: int) -> Estimate:
    """Give an estimate without variation an interval of zero width: rows of one score have one expected value."""
    even = estimate.low is None and n_rows >= MIN_ROWS and math.isfinite(estimate.value)
    return Estimate(estimate.value, estimate.value, estimate.value) if even else estimate


def _harmed(loss: Estimate, tolerated: float, enough: bool) -> bool | None:
    if not enough or not math.isfinite(loss.value):
        return None
    if not loss.value > tolerated:
        return False
    # A loss above the tolerance that may be chance is neither harm nor no harm.
    return True if loss.low is not None and loss.low > 0 else None


def _loss(metric: str, reference: Estimate, found: Estimate, extra: float = 0.0) -> Estimate:
    """Return by how much the found value is worse, with its interval; both ends include the half-width ``extra``."""
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


def _quantile(confidence: float) -> float:
    return float(ndtri((1 + confidence) / 2))


def _reason(performance: Performance, confidence: float) -> str:
    label, rows = METRICS[performance.metric].label, _rows(performance)
    if performance.n_rows < (needed := NEEDED[performance.kind]):
        return f"{rows} are too few to judge {label}: {needed} are needed"
    if not math.isfinite(performance.value):
        return (
            f"{label} is not defined on {rows}: check whether they have only one class, or scores that are not finite"
        )
    if not math.isfinite(performance.reference):
        return f"{label} is not defined on the holdout, so there is nothing to compare {rows} with"
    verb = "is" if performance.kind == "realised" else "is estimated at"
    value = _number(performance.value) + _ends(performance.low, performance.high, confidence)
    same = "" if performance.kind == "realised" else "estimated in the same way "
    compared = f"{_number(performance.reference)} {same}on the holdout"
    return f"{label} {verb} {value} on {rows}, {compared}: {_loss_text(performance, confidence)}"


def _loss_text(performance: Performance, confidence: float) -> str:
    if not performance.loss > 0:
        return "no loss"
    ends = _ends(performance.loss_low, performance.loss_high, confidence, 3)
    loss = f"a loss of {_number(performance.loss, 3)}{ends}"
    tolerated = f"{_number(performance.tolerated, 3)} is tolerated"
    if performance.loss <= performance.tolerated:
        return f"{loss}, {tolerated}"
    if performance.loss_low is None:
        return f"{loss}, {tolerated}; whether it is chance is unknown"
    return f"{loss}, {tolerated}" if performance.harmed else f"{loss}, which may be chance; {tolerated}"


def _rows(performance: Performance) -> str:
    noun = "row" if performance.n_rows == 1 else "rows"
    if performance.kind == "realised":
        return f"{performance.n_rows:,} labelled {noun}"
    return f"{performance.n_rows:,} {noun} without labels"


def _ends(low: float | None, high: float | None, confidence: float, digits: int = 4) -> str:
    if low is None or high is None:
        return ""
    return f" ({percent_text(confidence)} interval {_number(low, digits)} to {_number(high, digits)})"


def _number(value: float, digits: int = 4) -> str:
    return f"{value:,.0f}" if abs(value) >= 10**digits else f"{value:.{digits}g}"
