"""Whether a window's performance is worse than the holdout's: realised from labels, or estimated from scores.

Window and holdout share no rows, so their values are independent, and the interval of the loss follows from the two
intervals (MOVER): unlike a normal interval of the difference it keeps their skewness, near 1 and for losses near 0.
The holdout's part does not shrink with the window's rows: a champion judged on few holdout rows was never known better.

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

NO_ESTIMATE = "performance cannot be estimated without labels: predicted numbers carry no probability to be wrong"
"""Why a regression has no estimated performance."""

NEEDED = {"realised": MIN_ROWS, "estimated": 200}
"""Rows that can tell a loss. In windows of 100 rows, 1.5 % of those without loss were estimated to have one."""

RESAMPLES = (500, 4_000)
"""Fewest and most bootstrap resamples of a window."""

TAIL = 5
"""Resamples wanted beyond each end of an interval."""


@dataclass(frozen=True)
class Performance:
    """How well a champion does on a window, beside how well it did on its holdout.

    Parameters
    ----------
    kind
        ``realised`` from labels, ``estimated`` from calibrated scores.
    metric
        Name, as in model files.
    value
        On the window; NaN where its rows leave the metric undefined.
    low, high
        Ends of its interval; None where the rows allow none.
    reference, reference_low, reference_high
        The same on the holdout.
    loss
        By how much the window is worse, in units of the metric: positive is worse.
    loss_low, loss_high
        Ends of the loss's interval.
    tolerated
        Largest loss that counts as none.
    harmed
        Whether the loss is above chance and above what is tolerated; None where that cannot be told.
    n_rows
        Rows of the window that were judged.
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
    """Compare a window's labels with what the champion said of its rows.

    Parameters
    ----------
    y
        Class codes or numbers, shape (n,); n may be 0.
    output
        Probabilities (n, k) or values (n,).
    metric
        Fits the shape of ``output``.
    reference
        The metric on the holdout.
    reference_confidence
        Of the reference's interval, which is stretched to ``confidence``.
    max_loss
        Loss that is tolerated, as a share of the reference's value, at least 0.
    confidence
        Of the window's interval and the loss's: with no loss, the lower end is above zero in (1 - confidence) / 2 of
        the windows.
    seed
        The same seed gives the same intervals.
    """
    found = _realised(y, output, metric, confidence, seed)
    stretched = _stretched(reference, _quantile(confidence) / _quantile(reference_confidence))
    loss = _loss(metric, stretched, found)
    return _performance("realised", metric, found, stretched, loss, max_loss, len(y), confidence)


def estimated_performance(output: Floats, cbpe: CbpeReference, *, max_loss: float, confidence: float) -> Performance:
    """Compare what the champion's scores promise on a window with what they promised on the holdout.

    ``low`` and ``high`` say where the metric will be once the rows are labelled; the loss's interval is narrower, for
    it compares two promises and the luck of the labels is in neither.

    Parameters
    ----------
    output
        What the champion said of the rows, shape (n, k); n may be 0.
    cbpe
        From the champion's bundle.
    max_loss, confidence
        As in :func:`realised_performance`.
    """
    window, metric = window_cbpe(output, cbpe), cbpe.metric
    shown = interval_of(metric, window.value, window.error, window.n_rows, confidence)
    error = _row_error(window, cbpe)
    ours = _exact_if_even(interval_of(metric, window.value, error, window.n_rows, confidence), len(output))
    theirs = _exact_if_even(interval_of(metric, cbpe.value, cbpe.row_error, cbpe.n_rows, confidence), cbpe.n_rows)
    loss = _loss(metric, theirs, ours, _quantile(confidence) * window.map_error)
    reference = cbpe.estimate(confidence)
    return _performance("estimated", metric, shown, reference, loss, max_loss, len(output), confidence)


def _row_error(window: CbpeWindow, cbpe: CbpeReference) -> float:
    """Return the standard error over rows; of the average precision pooled with the holdout's, scaled to these rows."""
    # Its own error is small just where the value is low: 2.6 % of quiet windows of 200 rows were called harmed.
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
    # A ranking would sort NaN to its end and give a number all the same.
    if not len(y) or not np.isfinite(output).all():
        return Estimate(math.nan, None, None)
    tries = min(max(RESAMPLES[0], math.ceil(2 * TAIL / (1 - confidence))), RESAMPLES[1])
    found = estimates(y, output, (metric,), resamples=tries, confidence=confidence, seed=seed)[metric]
    known = found.low is not None or len(y) < MIN_ROWS or METRICS[metric].scale != "unit"
    return found if known or math.isnan(found.value) else _share(y, found.value, metric, confidence)


def _share(y: npt.NDArray[Any], value: float, metric: str, confidence: float) -> Estimate:
    """Interval of a metric whose rows show no spread (no hit at all, say): that of a share of the rows it hangs on."""
    counts = np.unique(y, return_counts=True)[1]
    if metric == "accuracy":
        return Estimate(value, *wilson_interval(value, len(y), confidence))
    # Without a row of the other class such a metric is what it is for want of rows to find.
    return Estimate(
        value, *(wilson_interval(value, int(counts.min()), confidence) if len(counts) > 1 else (None, None))
    )


def _exact_if_even(estimate: Estimate, n_rows: int) -> Estimate:
    """Take an estimate without spread for certain: rows of one score promise one thing, whatever their labels."""
    even = estimate.low is None and n_rows >= MIN_ROWS and math.isfinite(estimate.value)
    return Estimate(estimate.value, estimate.value, estimate.value) if even else estimate


def _harmed(loss: Estimate, tolerated: float, enough: bool) -> bool | None:
    if not enough or not math.isfinite(loss.value):
        return None
    if not loss.value > tolerated:
        return False
    # A loss above what is tolerated that may be chance is not known to be none.
    return True if loss.low is not None and loss.low > 0 else None


def _loss(metric: str, reference: Estimate, found: Estimate, extra: float = 0.0) -> Estimate:
    """By how much the found value is worse, with its interval; ``extra`` is a half-width that both ends share."""
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
        return f"{label} is not defined on {rows}: do they hold one class only, or scores that are no numbers?"
    if not math.isfinite(performance.reference):
        return f"{label} is not defined on the holdout, so there is nothing to compare {rows} with"
    verb = "is" if performance.kind == "realised" else "is estimated at"
    value = _number(performance.value) + _ends(performance.low, performance.high, confidence)
    same = "" if performance.kind == "realised" else "the same way "
    beside = f"{_number(performance.reference)} {same}on the holdout"
    return f"{label} {verb} {value} on {rows}, {beside}: {_loss_text(performance, confidence)}"


def _loss_text(performance: Performance, confidence: float) -> str:
    if not performance.loss > 0:
        return "no loss"
    ends = _ends(performance.loss_low, performance.loss_high, confidence, 3)
    loss = f"a loss of {_number(performance.loss, 3)}{ends}"
    tolerated = f"{_number(performance.tolerated, 3)} is tolerated"
    if performance.loss <= performance.tolerated:
        return f"{loss}, {tolerated}"
    if performance.loss_low is None:
        return f"{loss}, {tolerated}; these rows do not tell whether it is chance"
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
