"""The guardrails of a release: one check each, with its numbers and a sentence.

``breached`` needs proof of harm: the lower bound of the harm exceeds its limit. The bound holds over all looks
together, so one more look never costs a good challenger its release. ``ok`` needs evidence too: the upper bound of the
harm is below the limit. It also holds over all looks of a stage, at the confidence of the plan; it is not divided by
stages, because a challenger whose harm exceeds a limit must pass every stage by luck. ``doubtful`` is in between,
``unknown`` is without enough data to say anything.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from core.drift.divergence import psi
from core.metrics.metrics import METRICS, Floats, measures
from core.release.observed import Counts, Observed
from core.release.plan import Plan, Stage
from core.release.sequences import (
    Bounds,
    asymptotic_radius,
    greatest_rise,
    least_rise,
    norm_radius,
    quantile_bounds,
    samples_for_upper,
)
from core.text import number, percent, significant

State = Literal["ok", "unknown", "doubtful", "breached"]
CheckName = Literal["error_rate", "latency", "predictions", "performance"]

CHECKED_QUANTILES = (0.5, 0.95, 0.99)
"""Quantiles of the latency that must be shown to be in bounds."""

BREACHED_QUANTILES = (*CHECKED_QUANTILES, 0.995)
"""Quantiles that can breach. If only the slowest percent of the requests gets slower, p99 is at the jump between those
and the others, and need not move; p99.5 does."""

MIN_EXPECTED = 5.0
"""Fewest expected predictions of a bin in the smaller sample; rarer bins are counted as one. The approximation of the
multinomial distribution by a normal one needs them."""

MIN_ROWS_OF_CLASS = 10
"""Fewest labelled rows of the rarest class, where the metric depends on it."""

MIN_LABELLED = 100
"""Fewest labelled rows of each variant: the sequence for metrics is valid for many rows only."""

MOST_REQUESTS = 10**9
"""Largest number of missing requests that is estimated."""

_BY_CLASS = ("roc_auc", "average_precision", "f1")


@dataclass(frozen=True)
class Check:
    """One guardrail at one look.

    Parameters
    ----------
    name
        The guardrail.
    state
        ``ok``: shown to be within the limit. ``breached``: shown to exceed it. ``doubtful``: neither. ``unknown``: no
        data, too little or not usable.
    champion, challenger
        What was measured of each; None if it is not defined.
    estimate
        The harm: a difference of shares, a ratio, a PSI or a loss; None if it is not defined.
    lower, upper
        One-sided bounds of the harm, each over all looks: ``lower`` at the release's confidence divided over stages and
        guardrails, ``upper`` at the confidence. None if there is none.
    limit
        Largest harm that is allowed.
    sentence
        The numbers, for people.
    required
        Whether a stage is left only if the state is ``ok``.
    needs
        About how many more requests (performance: labelled rows) of the challenger would show that it is within the
        limit; None if that cannot be told.
    """

    name: CheckName
    state: State
    champion: float | None
    challenger: float | None
    estimate: float | None
    lower: float | None
    upper: float | None
    limit: float
    sentence: str
    required: bool = True
    needs: int | None = None


def error_rate_check(plan: Plan, stage: Stage, champion: Observed, challenger: Observed) -> Check | None:
    """Check the rise of the share of failed requests; None if it is not watched.

    The bounds are exact at any number of requests. They hold for rates that move over time, such as an outage that hits
    both variants, because both answer in the same period.

    Parameters
    ----------
    plan, stage
        The plan and the present stage.
    champion, challenger
        What the two did in it.
    """
    limit = plan.guardrails.error_rate
    if limit is None:
        return None
    before, after = champion.failure_rate, challenger.failure_rate
    if before is None or after is None:
        return _unknown("error_rate", limit, f"error rate: {_silent(champion)}", before, after)
    counts = (*_independent(challenger), *_independent(champion))
    ratios = _planned_ratios(plan, stage, champion)
    lower = least_rise(*counts, alpha=plan.alpha, ratios=ratios)
    upper = greatest_rise(*counts, alpha=1 - plan.confidence, ratios=ratios)
    rise = after - before
    check = _judged("error_rate", before, after, rise, Bounds(lower, upper), limit)
    said = f"error rate {percent(after)} of {challenger.n_requests:,} requests, champion {percent(before)}"
    ends = f"rise {_points(rise)}, at least {_points(lower)}, at most {_points(upper)}"
    needs = _missing(check, challenger.n_requests)
    return replace(check, sentence=f"{said}: {ends} (limit {_points(limit)})", needs=needs)


def _independent(one: Observed) -> tuple[float, float]:
    """Failures and requests, divided by the design effect of repeated subjects."""
    return one.n_failures / one.effect, one.n_requests / one.effect


def latency_check(plan: Plan, champion: Observed, challenger: Observed) -> Check | None:
    """Check the ratio of latency quantiles; None if it is not watched.

    The check shows the quantile that decides: of those that breach the worst, else the one least certain.

    Parameters
    ----------
    plan
        The plan.
    champion, challenger
        What the two did in the present stage.
    """
    limit = plan.guardrails.latency_ratio
    if limit is None:
        return None
    missing = _missing_latencies(champion, "champion") or _missing_latencies(challenger, "challenger")
    if missing:
        return _unknown("latency", limit, f"latency: {missing}")
    sides = (np.sort(champion.latencies_ms), np.sort(challenger.latencies_ms))
    effects = (champion.effect, challenger.effect)
    alpha = plan.alpha / len(BREACHED_QUANTILES)
    checks = [_quantile_check(share, sides, effects, limit, alpha, 1 - plan.confidence) for share in BREACHED_QUANTILES]
    breached = [check for check in checks if check.state == "breached"]
    if breached:
        return max(breached, key=lambda check: check.lower or 0.0)
    return max(checks[: len(CHECKED_QUANTILES)], key=lambda check: (_ORDER[check.state], check.upper or math.inf))


_ORDER: dict[State, int] = {"ok": 0, "doubtful": 1, "unknown": 2, "breached": 3}


def _missing_latencies(one: Observed, who: str) -> str | None:
    if not len(one.latencies_ms):
        return f"none of the {who} yet"
    n_bad = int(np.count_nonzero(~np.isfinite(one.latencies_ms)))
    n_missing = n_bad + max(0, one.n_requests - one.n_failures - len(one.latencies_ms))
    return f"{n_missing:,} of the {who} are missing" if n_missing else None


def _quantile_check(
    share: float,
    sides: tuple[Floats, Floats],
    effects: tuple[float, float],
    limit: float,
    alpha: float,
    ok_alpha: float,
) -> Check:
    before, after = (float(side[math.ceil(share * len(side)) - 1]) for side in sides)
    lower, upper = (_ratio_bounds(share, sides, effects, level) for level in (alpha, ok_alpha))
    ratio = after / before if before else math.inf
    bounds = Bounds(lower.lower, upper.upper)
    check = _judged("latency", before, after, ratio, bounds, limit)
    said = f"p{number(100 * share)} {significant(after, 3)} ms, champion {significant(before, 3)} ms"
    ends = f"ratio {significant(ratio, 3)}, {_ends(bounds, 'times')}"
    needs = _missing_of_quantile(check, share, len(sides[1]), effects[1], ok_alpha)
    return replace(check, sentence=f"latency {said}: {ends} (limit {number(limit)})", needs=needs)


def _ratio_bounds(share: float, sides: tuple[Floats, Floats], effects: tuple[float, float], alpha: float) -> Bounds:
    before, after = (
        quantile_bounds(side, share, alpha / 2, effect) for side, effect in zip(sides, effects, strict=True)
    )
    # Few requests have a lower bound of minus infinity.
    lower = max(after.lower, 0.0) / before.upper if before.upper > 0 else 0.0
    upper = after.upper / before.lower if before.lower > 0 else math.inf
    return Bounds(lower, upper)


def _missing_of_quantile(check: Check, share: float, n: int, effect: float, alpha: float) -> int | None:
    if check.upper is not None and check.estimate and check.estimate > 0:
        on_scale = replace(
            check, estimate=math.log(check.estimate), upper=math.log(check.upper), limit=math.log(check.limit)
        )
        return _missing(on_scale, n)
    return max(samples_for_upper(share, alpha / 2, effect) - n, 1)


def predictions_check(plan: Plan, champion: Observed, challenger: Observed) -> Check | None:
    """Check the PSI between the predictions of the two variants over the reference's bins; None if it is not watched.

    Near equality PSI is the squared distance of the two samples in units of the noise of one prediction. So the root of
    the true PSI lies within a normal boundary of the root of the measured one: for the lower bound the length of the
    noise in all directions, for the upper bound its part in one direction. The estimate has the bias of PSI without a
    difference subtracted, ``(bins - 1) (1 / n + 1 / m)``. Rare bins are counted as one, by the counts of both together.

    Parameters
    ----------
    plan
        The plan.
    champion, challenger
        What the two did in the present stage.

    References
    ----------
    Yurdakul, Naranjo (2020), Statistical properties of the population stability index, Journal of Risk Model Validation
    14(4): the bias and the distribution without a difference.
    """
    limit = plan.guardrails.prediction_psi
    if limit is None:
        return None
    before, after = champion.predictions, challenger.predictions
    if not before.sum() or not after.sum():
        return _unknown(
            "predictions", limit, f"predictions: none of the {'challenger' if before.sum() else 'champion'} yet"
        )
    if len(before) != len(after):
        return _unknown("predictions", limit, f"predictions: counted in {len(before)} and {len(after)} bins")
    n, m = before.sum() / champion.effect, after.sum() / challenger.effect
    before, after = _without_rare_bins(before, after, min(n, m))
    if len(before) < 2:
        return _few_predictions(limit, int(challenger.predictions.sum()), min(n, m), champion, challenger)
    size, dimensions = 1 / (1 / n + 1 / m), len(before) - 1
    root = math.sqrt(psi(before, after))
    lower = max(root - norm_radius(size, dimensions, plan.alpha), 0.0) ** 2
    upper = (root + asymptotic_radius(1 / math.sqrt(size), size, 1 - plan.confidence)) ** 2
    estimate = max(root**2 - dimensions / size, 0.0)
    check = _judged("predictions", None, None, estimate, Bounds(lower, upper), limit)
    ends = f"at least {significant(lower, 2)}, at most {significant(upper, 2)}"
    said = f"PSI of the predictions {significant(estimate, 2)} on {int(after.sum()):,} of the challenger"
    return replace(
        check, sentence=f"{said}: {ends} (limit {number(limit)})", needs=_missing_psi(check, int(after.sum()))
    )


def _without_rare_bins(before: Counts, after: Counts, smaller: float) -> tuple[Counts, Counts]:
    pooled = before + after
    ascending = np.argsort(pooled, kind="stable")
    expected = np.cumsum(pooled[ascending]) * (smaller / pooled.sum())
    single = pooled[ascending] * (smaller / pooled.sum()) >= MIN_EXPECTED
    # The fewest bins from the rarest on that together are expected often enough; the others are each.
    first = int(np.argmax(single)) if single.any() else len(pooled)
    while 0 < first < len(pooled) and 0 < expected[first - 1] < MIN_EXPECTED:
        first += 1
    rare, kept = ascending[:first], ascending[first:]
    merged = [np.append(counts[kept], counts[rare].sum()) for counts in (before, after)]
    occupied = merged[0] + merged[1] > 0
    return merged[0][occupied], merged[1][occupied]


def _few_predictions(limit: float, n: int, effective: float, champion: Observed, challenger: Observed) -> Check:
    occupied = np.count_nonzero(champion.predictions + challenger.predictions)
    if occupied > 1:
        needs = max(math.ceil(n * (2 * MIN_EXPECTED * occupied / max(effective, 1.0) - 1)), 1)
        check = _unknown("predictions", limit, f"predictions: {n:,} of the challenger are too few for their bins")
        return replace(check, needs=needs)
    check = _judged("predictions", None, None, 0.0, Bounds(0.0, 0.0), limit)
    return replace(check, sentence="all predictions of both variants are in one bin of the reference")


def _missing_psi(check: Check, n: int) -> int | None:
    if check.estimate is None or check.upper is None:
        return None
    roots = replace(
        check, estimate=math.sqrt(check.estimate), upper=math.sqrt(check.upper), limit=math.sqrt(check.limit)
    )
    return _missing(roots, n)


def performance_check(plan: Plan, stage: Stage, champion: Observed, challenger: Observed) -> Check | None:
    """Check the loss of the gate's metric on labelled rows.

    None if it is not watched, and without ``min_labels`` also if there are too few labels to say anything. The error of
    the loss comes from the rows' influences, for the AUC those of DeLong; in the shadow stage rows are paired.

    Parameters
    ----------
    plan, stage
        The plan and the present stage.
    champion, challenger
        What the two did in it.

    Raises
    ------
    ValueError
        The metric does not fit the scores.

    References
    ----------
    DeLong, DeLong, Clarke-Pearson (1988), Comparing the areas under two or more correlated receiver operating
    characteristic curves, Biometrics 44, 837-845.
    """
    limit = plan.guardrails.performance_loss
    if limit is None or plan.metric is None:
        return None
    _check_fit(plan.metric, champion)
    _check_fit(plan.metric, challenger)
    few = _few_labels(plan, plan.metric, champion, challenger)
    if few is not None:
        check = _unknown("performance", limit, f"performance: {few}")
        missing = max(plan.min_labels, MIN_LABELLED) - len(challenger.labels)
        return replace(check, needs=missing if missing > 0 else None) if plan.min_labels else None
    check = _loss_check(plan, plan.metric, limit, stage, champion, challenger)
    return replace(check, required=plan.min_labels > 0)


def _check_fit(metric: str, one: Observed) -> None:
    if len(one.labels) and ("regression" in METRICS[metric].tasks) != (one.scores.ndim == 1):
        raise ValueError(f"expected scores that fit {metric}, found shape {one.scores.shape}")


def _few_labels(plan: Plan, metric: str, champion: Observed, challenger: Observed) -> str | None:
    for who, one, fewest in (
        ("champion", champion, MIN_LABELLED),
        ("challenger", challenger, max(plan.min_labels, MIN_LABELLED)),
    ):
        if len(one.labels) < fewest:
            return f"{len(one.labels):,} labelled rows of the {who}, at least {fewest:,} are needed"
        if not (np.isfinite(one.labels).all() and np.isfinite(one.scores).all()):
            return f"labels or predictions of the {who} are missing or not finite"
        rarest = int(np.unique(one.labels, return_counts=True)[1].min()) if metric in _BY_CLASS else fewest
        if metric in _BY_CLASS and (rarest < MIN_ROWS_OF_CLASS or len(np.unique(one.labels)) < 2):
            return f"{rarest} labelled rows of the rarest class of the {who}, {MIN_ROWS_OF_CLASS} of two are needed"
    return None


def _loss_check(plan: Plan, metric: str, limit: float, stage: Stage, champion: Observed, challenger: Observed) -> Check:
    label = METRICS[metric].label
    (before, of_champion), (after, of_challenger) = (_influence(one, metric) for one in (champion, challenger))
    loss = METRICS[metric].loss(before, after)
    paired = stage.kind == "shadow" and np.array_equal(champion.labels, challenger.labels)
    if paired:
        error, n = _error(of_challenger - of_champion, challenger.effect), float(len(of_champion))
    else:
        error = math.hypot(_error(of_champion, champion.effect), _error(of_challenger, challenger.effect))
        n = 1 / (1 / len(of_champion) + 1 / len(of_challenger))
    if not math.isfinite(loss) or not math.isfinite(error) or (error == 0 and not paired):
        return _unknown("performance", limit, f"performance: {label} or its error is not defined on the labelled rows")
    lower = loss - asymptotic_radius(error, n, plan.alpha)
    upper = loss + asymptotic_radius(error, n, 1 - plan.confidence)
    check = _judged("performance", before, after, loss, Bounds(lower, upper), limit)
    rows = f"{len(challenger.labels):,} labelled rows"
    said = f"{label} {significant(after, 3)} on {rows}, champion {significant(before, 3)}"
    ends = f"loss {significant(loss, 2)}, at least {significant(lower, 2)}, at most {significant(upper, 2)}"
    sentence = f"{said}: {ends} (limit {number(limit)})"
    return replace(check, sentence=sentence, needs=_missing(check, len(challenger.labels)))


def _influence(one: Observed, metric: str) -> tuple[float, Floats]:
    (measure,) = measures(one.labels, one.scores, (metric,))
    value = float(measure.scores(np.ones((1, len(one.labels))))[metric][0])
    return value, measure.influences()[metric]


def _error(influence: Floats, effect: float) -> float:
    return float(np.sqrt(effect * (influence**2).sum()) / len(influence))


def _planned_ratios(plan: Plan, stage: Stage, champion: Observed) -> tuple[float, ...]:
    """Return the champion's requests per request of the challenger, as far as they are known before the stage.

    In the bake the predecessor's number is known, and the challenger's will be ``min_requests`` or many times that.
    """
    if stage.kind == "step":
        return ((100 - stage.share) / stage.share,)
    most = max(champion.n_requests, 1) / plan.min_requests
    return (most, most / 6, most / 36, most / 216) if stage.kind == "bake" else (1.0,)


def _judged(
    name: CheckName, champion: float | None, challenger: float | None, estimate: float, bounds: Bounds, limit: float
) -> Check:
    lower, upper = (end if math.isfinite(end) else None for end in (bounds.lower, bounds.upper))
    state: State = "doubtful"
    if lower is not None and lower > limit:
        state = "breached"
    elif upper is not None and upper < limit:
        state = "ok"
    elif upper is None:
        state = "unknown"
    value = estimate if math.isfinite(estimate) else None
    return Check(name, state, champion, challenger, value, lower, upper, limit, "")


def _unknown(
    name: CheckName, limit: float, sentence: str, champion: float | None = None, challenger: float | None = None
) -> Check:
    return Check(name, "unknown", champion, challenger, None, None, None, limit, sentence)


def _missing(check: Check, n: int) -> int | None:
    """Estimate how many are missing if the distance of the upper bound from the estimate falls with their root."""
    if check.state == "ok" or check.estimate is None or check.upper is None or check.estimate >= check.limit:
        return None
    needed = n * ((check.upper - check.estimate) / (check.limit - check.estimate)) ** 2 - n
    return min(math.ceil(max(needed, 1.0)), MOST_REQUESTS)


def _silent(champion: Observed) -> str:
    return "the champion answered no request" if not champion.n_requests else "the challenger was asked no request"


def _points(share: float) -> str:
    text = significant(100 * share, 2)
    return f"{text} point" if text.lstrip("-") == "1" else f"{text} points"


def _ends(bounds: Bounds, unit: str) -> str:
    upper = (
        f"at most {significant(bounds.upper, 3)} {unit}" if math.isfinite(bounds.upper) else "without upper bound yet"
    )
    return f"at least {significant(bounds.lower, 3)} {unit}, {upper}"
