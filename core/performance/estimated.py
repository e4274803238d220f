"""Whether a window's performance is worse than the holdout's, estimated without labels; and when there is no answer.

An estimate answers one of three things. *Harmed*: the loss is above the tolerance and beyond chance. *Not harmed*: a
loss above the tolerance is excluded, at :data:`EXCLUSION`. Otherwise there is *no answer*, also if the interval of the
loss is wider than the tolerance. An estimate is withheld altogether, without a value, if there is a reason not to
believe it: scores that say too little (:func:`score_doubts`), rows unlike those that the estimate was made on
(:mod:`core.performance.support`), or labels that contradict it (:mod:`core.performance.label_check`).

References
----------
Schuirmann (1987), A comparison of the two one-sided tests procedure and the power approach for assessing the
equivalence of average bioavailability, J. Pharmacokinetics and Biopharmaceutics 15, 657-680: no difference is shown by
an interval within the tolerance, never by a test that finds nothing.
Brown, Cai & DasGupta (2001), Interval estimation for a binomial proportion, Statistical Science 16, 101-133 (ten events
and ten other rows as the least for a normal interval).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from core.metrics.bootstrap import MIN_ROWS, Estimate
from core.metrics.metrics import METRICS, Floats
from core.performance.cbpe import CbpeReference, CbpeWindow, interval_of, window_cbpe
from core.performance.loss import (
    Performance,
    change_text,
    compared_performance,
    ends_text,
    loss_between,
    number_text,
    quantile_of,
    rows_text,
    unjudged,
)
from core.text import percent, percent_text

EXCLUSION = 0.95
"""Confidence with which "not harmed" excludes a loss above the tolerance: of windows with such a loss at most 5 % are
called not harmed, if features and target are related as on the holdout."""

MIN_EVENTS = 10
"""Minimum number of rows of each class, and of errors that the chances expect, in a window and in the holdout."""

BY_CLASS = ("roc_auc", "average_precision", "f1")
"""Metrics of classes, which are undefined or arbitrary with few rows of one."""

MIN_DISTINCT = 10
"""Minimum number of distinct scores of a window: rows of one score may differ in all other ways."""

MAX_OUTSIDE_SCORES = 0.05
"""Maximum share of the rows with a score outside the range of the holdout's, where the calibration is a guess."""


def estimated_performance(
    output: Floats, cbpe: CbpeReference, *, max_loss: float, confidence: float, doubts: Sequence[str] = ()
) -> Performance:
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
        As in :func:`core.performance.loss.realised_performance`.
    doubts
        Reasons to withhold the estimate, in addition to those that the scores give.
    """
    window, metric = window_cbpe(output, cbpe), cbpe.metric
    shown = interval_of(metric, window.value, window.error, window.n_rows, confidence)
    loss, bound = (_cbpe_loss(window, cbpe, at) for at in (confidence, 2 * EXCLUSION - 1))
    reference = cbpe.estimate(confidence)
    found = compared_performance("estimated", metric, shown, reference, loss, max_loss, len(output))
    return answered(found, bound.high, confidence, (*score_doubts(output, cbpe), *doubts))


def answered(found: Performance, bound: float | None, confidence: float, doubts: Sequence[str]) -> Performance:
    """Decide what an estimate says: harmed, not harmed, or no answer.

    Parameters
    ----------
    found
        The estimate, compared with the holdout.
    bound
        Upper end of the one-sided interval of the loss at :data:`EXCLUSION`; None if there is none.
    confidence
        Confidence of the shown intervals, above 0 and below 1.
    doubts
        Reasons to withhold the estimate; with any, the answer has no value.
    """
    if problem := unjudged(found):
        return replace(found, harmed=None, reason=problem)
    if doubts:
        return withheld(found, doubts)
    if not found.harmed:
        found = replace(found, harmed=False if bound is not None and bound <= found.tolerated else None)
    return replace(found, reason=_reason(found, bound, confidence))


def score_doubts(output: Floats, cbpe: CbpeReference) -> tuple[str, ...]:
    """Return why a window's scores say too little to estimate a metric from them; empty if they say enough.

    Parameters
    ----------
    output
        Probabilities predicted by the champion, shape (n, k), finite or not.
    cbpe
        The estimate on the holdout, with the maps.
    """
    if not len(output) or not np.isfinite(output).all():
        return ()
    # The AUC of equal scores is one half, whatever the labels.
    distinct = len(np.unique(output, axis=0))
    if distinct == 1 and cbpe.metric == "roc_auc":
        return ()
    doubts = [*_extreme_scores(output, cbpe), *_few_events(output, cbpe)]
    if distinct < MIN_DISTINCT:
        doubts.append(f"they have only {distinct} distinct scores")
    return tuple(doubts)


def _few_events(output: Floats, cbpe: CbpeReference) -> list[str]:
    """Return a doubt about the class of which the fewest rows are expected, or about rows that are all certain."""
    chances = cbpe.calibration.raw_chances(output)
    maps = cbpe.calibration.maps
    known = min(_fewer(sum(c * n for c, n in zip(one.chance, one.n_rows, strict=True)), one.n_rows) for one in maps)
    expected = min(_fewer(float(one.sum()), (len(one),)) for one in chances.T)
    uncertain = float((chances * (1 - chances)).sum())
    by_class = cbpe.metric in BY_CLASS
    if by_class and known < MIN_EVENTS:
        return [f"the holdout has only {known:.0f} rows of one of the classes"]
    if by_class and expected < MIN_EVENTS:
        return [f"only {expected:.1f} rows of one of the classes are expected among them"]
    if uncertain < MIN_EVENTS:
        return [f"nearly all chances are 0 or 1 ({uncertain:.1f} are uncertain), which only labels can confirm"]
    return []


def _fewer(events: float, n_rows: Sequence[int]) -> float:
    return min(events, sum(n_rows) - events)


def _extreme_scores(output: Floats, cbpe: CbpeReference) -> list[str]:
    pairs = zip(output.T[list(cbpe.calibration.codes)], cbpe.calibration.maps, strict=True)
    share = float(np.mean(np.any([(score < one.low[0]) | (score > one.high[-1]) for score, one in pairs], axis=0)))
    if share <= MAX_OUTSIDE_SCORES:
        return []
    return [f"{percent(share)} of them have a score beyond the holdout's lowest or highest"]


def _cbpe_loss(window: CbpeWindow, cbpe: CbpeReference, confidence: float) -> Estimate:
    error = _row_error(window, cbpe)
    here = interval_of(cbpe.metric, window.value, error, window.n_rows, confidence)
    there = interval_of(cbpe.metric, cbpe.value, cbpe.row_error, cbpe.n_rows, confidence)
    sides = _exact_if_even(there, cbpe.n_rows), _exact_if_even(here, window.n_rows)
    return loss_between(cbpe.metric, *sides, quantile_of(confidence) * window.map_error)


def _row_error(window: CbpeWindow, cbpe: CbpeReference) -> float:
    """Return the standard error over rows; for average precision, pooled with the holdout's, scaled to these rows."""
    # Average precision has a small error where its value is low: 2.6 % of windows of 200 rows without loss were called
    # harmed.
    if cbpe.metric != "average_precision" or not window.row_error:
        return window.row_error
    return math.sqrt((window.row_error**2 + cbpe.row_error**2 * cbpe.n_rows / window.n_rows) / 2)


def _exact_if_even(estimate: Estimate, n_rows: int) -> Estimate:
    """Give an estimate without variation an interval of zero width: rows of one score have one expected value."""
    even = estimate.low is None and n_rows >= MIN_ROWS and math.isfinite(estimate.value)
    return Estimate(estimate.value, estimate.value, estimate.value) if even else estimate


def withheld(found: Performance, doubts: Sequence[str]) -> Performance:
    """Remove the value, so that no page, metric or sentence can show it as an answer."""
    unknown = math.nan
    reason = f"no answer: {METRICS[found.metric].label} of {rows_text(found)} is not estimated, because"
    return replace(
        found,
        value=unknown,
        low=None,
        high=None,
        loss=unknown,
        loss_low=None,
        loss_high=None,
        harmed=None,
        reason=f"{reason} {'; '.join(doubts)}",
    )


def not_judged(found: Performance, metric: str, confidence: float) -> Performance:
    """Show an estimate of a further metric, which decides nothing.

    Parameters
    ----------
    found
        The estimate, compared with the holdout.
    metric
        Name of the metric that is judged in its place.
    confidence
        Confidence of the shown intervals, above 0 and below 1.
    """
    estimate, change = _estimate_text(found, confidence)
    reason = f"{estimate}: {change}; it is not judged, {METRICS[metric].label} is"
    return replace(found, harmed=None, judged=False, reason=reason)


def _estimate_text(found: Performance, confidence: float) -> tuple[str, str]:
    value = number_text(found.value) + ends_text(found.low, found.high, confidence)
    compared = f"{number_text(found.reference)} estimated in the same way on the holdout"
    estimate = f"{METRICS[found.metric].label} is estimated at {value} on {rows_text(found)}, {compared}"
    return estimate, change_text(found, confidence)


def _reason(found: Performance, bound: float | None, confidence: float) -> str:
    estimate, change = _estimate_text(found, confidence)
    tolerated, at = number_text(found.tolerated, 3), percent_text(EXCLUSION)
    if found.harmed:
        return f"{estimate}: {change}, {tolerated} is tolerated"
    if found.harmed is False:
        excluded = f"a loss above the tolerated {tolerated} is excluded with {at} confidence"
        return f"{estimate}: {change}; {excluded}, unless features and target are related in a new way"
    upto = "unknown" if bound is None else f"up to {number_text(max(bound, 0.0), 3)} at {at} confidence"
    return f"no answer: {estimate}: {change}; the loss may be {upto}, and {tolerated} is tolerated"
