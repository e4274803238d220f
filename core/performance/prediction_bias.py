"""Whether predicted probabilities still match the observed frequency of events.

Ranking metrics do not show this: if events become five times as frequent, an AUC can rise although every probability is
far too low.

Two measures are judged. The difference of observed frequency and mean probability shows common events; for rare ones
it is always small. Their ratio, standardised by the ratio on the holdout, shows rare events. Given both
numbers of events, the window's number is binomial if the two ratios are equal (Przyborowski & Wilenski), so its
interval is exact for rare events; for others the numbers are scaled to the variance of the probabilities.

Both measures take the holdout as uncertain as well: one with 60 events knows its own ratio within a quarter, one with
100 rows its own difference within 13 points. The null hypothesis for the difference is that it is no larger than on
the holdout in absolute value; the variance of the two is the sum of both (Newcombe, method 10, for equal ends).

References
----------
Przyborowski & Wilenski (1940), Homogeneity of results in testing samples from Poisson series, Biometrika 31, 313-323.
Newcombe (1998), Interval estimation for the difference between independent proportions, Statistics in Medicine 17,
873-890.
Breslow & Day (1987), Statistical Methods in Cancer Research II, section 3.4 (ratio of standardised ratios).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import betaincinv, ndtri

from core.metrics.calibration import event_chance, event_scale
from core.metrics.clusters import Clusters, design_effect, stretch
from core.metrics.metrics import Floats
from core.metrics.strata import Strata
from core.text import percent_text

NEEDED_ROWS = 200
"""Minimum rows for the frequency of a rare event to be nearly normal."""


@dataclass(frozen=True)
class EventLevel:
    """Observed and predicted frequency of an event on some rows.

    Parameters
    ----------
    observed, predicted
        Observed frequency and mean probability, 0 to 1.
    n_rows
        Number of rows, at least 1.
    dispersion
        Variance of the number of events by its mean, given the probabilities, 0 to 1: near 1 for rare events.
    drawing
        Relative variance of ``predicted`` because only some of the rows were scored.
    """

    observed: float
    predicted: float
    n_rows: float
    dispersion: float = 1.0
    drawing: float = 0.0

    @property
    def bias(self) -> float:
        """Observed minus predicted, -1 to 1."""
        return self.observed - self.predicted

    @property
    def ratio(self) -> float:
        """Observed by predicted; infinite if nothing is predicted."""
        return self.observed / self.predicted if self.predicted > 0 else math.inf

    @property
    def of_others(self) -> EventLevel:
        """The level of the rows without the event."""
        variance = self.dispersion * self.predicted
        others = 1 - self.predicted
        return EventLevel(1 - self.observed, others, self.n_rows, variance / others if others > 0 else 1.0, 0.0)

    @property
    def variance(self) -> float:
        """Variance of the bias, at least 0; the larger of both frequencies is conservative."""
        return self.dispersion * max(self.predicted, self.observed) / self.n_rows + self.drawing * self.predicted**2

    def counts(self) -> tuple[float, float]:
        """Return observed and expected numbers of events with the variance of Poisson counts."""
        observed, expected = (share * self.n_rows for share in (self.observed, self.predicted))
        variance = self.dispersion / max(observed, 1.0) + self.drawing
        scale = 1 / (variance * max(observed, 1.0))
        return observed * scale, expected * scale


@dataclass(frozen=True)
class PredictionBias:
    """Observed frequency and mean predicted probability of the positive class (binary) or of the most probable class.

    Parameters
    ----------
    observed, predicted
        Observed frequency and mean probability, 0 to 1.
    low, high
        Ends of the interval of observed minus predicted, -1 to 1.
    reference
        Observed minus predicted on the holdout, -1 to 1.
    tolerated
        By how much the difference may be larger than on the holdout, 0 to 1: the configured bound in proportion to the
        standard deviation of the event; in verdicts from before, the bound itself.
    harmed
        Whether the difference is larger by more than that and beyond chance; None if there are too few rows.
    n_rows
        Number of labelled rows.
    reason
        One sentence for people.
    ratio, ratio_low, ratio_high
        Observed by predicted frequency, divided by the same ratio on the holdout, and its interval; the upper end is
        None if there is none. All are None in verdicts from before, and if nothing was predicted or observed.
    """

    observed: float
    predicted: float
    low: float
    high: float
    reference: float
    tolerated: float
    harmed: bool | None
    n_rows: int
    reason: str
    ratio: float | None = None
    ratio_low: float | None = None
    ratio_high: float | None = None

    def excludes_harm(self, max_ratio: float) -> bool:
        """Whether the intervals exclude a difference and a ratio that are harm, see :func:`prediction_bias`."""
        if self.harmed is not False or max(-self.low, self.high) > abs(self.reference) + self.tolerated:
            return False
        if self.ratio_low is None:
            return True
        return 1 / max_ratio <= self.ratio_low and self.ratio_high is not None and self.ratio_high <= max_ratio


def prediction_bias(
    y: npt.NDArray[Any],
    output: Floats,
    reference: EventLevel,
    *,
    tolerated: float,
    max_ratio: float,
    confidence: float,
    clusters: Clusters | None = None,
    strata: Strata | None = None,
) -> PredictionBias | None:
    """Compare predicted probabilities with the observed frequency; None for regression and without rows.

    It is harm if the difference is larger than on the holdout by more than ``tolerated``, or the ratio farther from 1
    by more than ``max_ratio``, and this is beyond chance.

    Parameters
    ----------
    y
        Class codes, shape (n,), int64.
    output
        Predicted probabilities, shape (n, k), 0 to 1; regression: shape (n,).
    reference
        The level on the holdout, from :func:`reference_level`.
    tolerated
        By how much the difference may be larger than on the holdout at a base rate of 50 %, at least 0; at others in
        proportion to the standard deviation of the event on the holdout, as in the gate.
    max_ratio
        By how much the ratio of the rarer outcome may be farther from 1 than on the holdout, at least 1.
    confidence
        Confidence of the interval, above 0 and below 1.
    clusters
        Clusters of the rows, by which the intervals are widened; None for independent rows.
    strata
        How many rows each row represents; None is one each.
    """
    if output.ndim == 1 or not len(y):
        return None
    chance, event = event_chance(y, output)
    strata = strata or Strata(np.zeros(len(y), dtype=np.int64), np.array([float(len(y))]))
    level, tolerated = event_level(chance, event, strata), tolerated * _scale(reference)
    weights = strata.weights / strata.weights.mean()
    effect = design_effect(weights * (event - chance - level.bias), clusters)
    widening = 1.0 if effect is None else stretch(effect, np.inf, confidence)
    quantile, error = widening * float(ndtri((1 + confidence) / 2)), _error(level, event - chance, strata)
    half, half_before = quantile * error, quantile * math.sqrt(reference.variance)
    larger = abs(level.bias) - abs(reference.bias) > max(tolerated, math.hypot(half, half_before))
    sides = (level, reference) if level.predicted <= 0.5 else (level.of_others, reference.of_others)
    ratio = _Ratio.of(*sides, confidence, widening)
    farther = ratio is not None and ratio.is_harm(sides[0].ratio, sides[1].ratio, max_ratio)
    bias = PredictionBias(
        observed=level.observed,
        predicted=level.predicted,
        low=level.bias - half,
        high=level.bias + half,
        reference=reference.bias,
        tolerated=tolerated,
        harmed=larger or farther if len(y) >= NEEDED_ROWS else None,
        n_rows=len(y),
        reason="",
    )
    if ratio is not None:
        bias = replace(bias, ratio=ratio.value, ratio_low=ratio.low, ratio_high=ratio.high)
    return replace(bias, reason=_reason(bias, level, half_before, confidence, max_ratio))


def _scale(reference: EventLevel) -> float:
    # One row with the event and one without it are added: a holdout without the event would tolerate nothing.
    return event_scale((reference.observed * reference.n_rows + 1) / (reference.n_rows + 2))


def event_level(chance: Floats, event: npt.NDArray[np.bool_], strata: Strata) -> EventLevel:
    """Return the level of an event on weighted rows.

    Parameters
    ----------
    chance
        Predicted probability of the event, shape (n,), 0 to 1.
    event
        Whether it occurred, shape (n,), bool.
    strata
        How many rows each row represents.
    """
    weights = strata.weights
    observed, predicted = (float(np.average(part, weights=weights)) for part in (event, chance))
    variance = float(np.average(chance * (1 - chance), weights=weights))
    parts = strata.mean_variance(chance - predicted)
    whole = float((weights / strata.n_rows**2 * (chance - predicted) ** 2).sum())
    drawing = max(float(parts.sum()) - whole, 0.0)
    return EventLevel(
        observed=observed,
        predicted=predicted,
        n_rows=strata.n_rows,
        dispersion=variance / predicted if predicted > 0 else 1.0,
        drawing=drawing / predicted**2 if predicted > 0 else 0.0,
    )


def _error(level: EventLevel, differences: Floats, strata: Strata) -> float:
    """Return the standard error of the bias.

    Without bias the variance is that of the probabilities; with it, that of the rows. The larger is conservative.
    """
    expected = level.dispersion * level.predicted / level.n_rows
    seen = float(strata.mean_variance(differences - level.bias).sum())
    return math.sqrt(max(expected, seen))


@dataclass(frozen=True)
class _Ratio:
    """The window's ratio of observed to predicted by the holdout's, with its exact interval."""

    value: float
    low: float
    high: float | None

    @classmethod
    def of(cls, level: EventLevel, reference: EventLevel, confidence: float, widening: float) -> _Ratio | None:
        # In clusters the counts say as much as fewer independent ones; the holdout is taken to have such too.
        now, expected_now, before, expected_before = (
            count / widening**2 for side in (level, reference) for count in side.counts()
        )
        if not (now + before > 0 and expected_now > 0 and expected_before > 0):
            return None
        tail, scale = (1 - confidence) / 2, expected_before / expected_now
        low = float(betaincinv(now, before + 1, tail)) if now > 0 else 0.0
        high = float(betaincinv(now + 1, before, 1 - tail)) if before > 0 else 1.0
        value = now / before * scale if before > 0 else math.inf
        return cls(value, low / (1 - low) * scale, high / (1 - high) * scale if high < 1 else None)

    def is_harm(self, now: float, before: float, bound: float) -> bool:
        """Whether a ratio is farther from 1 than before by more than a bound, and differs from it beyond chance."""
        distance = [abs(math.log(ratio)) if 0 < ratio < math.inf else math.inf for ratio in (now, before)]
        beyond = self.low > 1 or (self.high is not None and self.high < 1)
        return beyond and distance[0] > distance[1] + math.log(bound)


def _reason(bias: PredictionBias, level: EventLevel, half_before: float, confidence: float, max_ratio: float) -> str:
    rows = f"{bias.n_rows:,} labelled rows"
    stands = f" that represent {level.n_rows:,.0f}" if round(level.n_rows) > bias.n_rows else ""
    digits = 1 if min(level.observed, level.predicted) >= 0.02 else 3
    shares = [f"{share:.{digits}%}" for share in (level.observed, level.predicted)]
    signed = [f"{share:+.{digits}%}" for share in (bias.low, bias.high, bias.reference)]
    text = (
        f"observed frequency {shares[0]}, mean probability {shares[1]} on {rows}{stands} "
        f"({percent_text(confidence)} interval of the difference {signed[0]} to {signed[1]}); "
        f"the difference was {signed[2]} on the holdout (± {half_before:.{digits}%}), "
        f"and {bias.tolerated:.{digits}%} more is tolerated"
    )
    if bias.ratio is None or bias.ratio_low is None or not math.isfinite(bias.ratio):
        return text
    high = "no upper end" if bias.ratio_high is None else f"{bias.ratio_high:.3g}"
    outcome = "observed by predicted" if level.predicted <= 0.5 else "observed by predicted rest"
    return (
        f"{text}; {outcome} is {bias.ratio:.3g} times that of the holdout "
        f"(interval {bias.ratio_low:.3g} to {high}), and {1 / max_ratio:.3g} to {max_ratio:.3g} is tolerated"
    )


def reference_level(evaluation: Mapping[str, Any]) -> EventLevel | None:
    """Return the level on the holdout, from the calibration bins in an evaluation's document; None for regression."""
    calibration = evaluation.get("calibration")
    if calibration is None:
        return None
    bins = calibration["bins"]
    n_rows = sum(part["n_rows"] for part in bins)
    observed, predicted = (
        sum(part["n_rows"] * part[name] for part in bins) / n_rows for name in ("observed", "mean_predicted")
    )
    variance = sum(part["n_rows"] * part["mean_predicted"] * (1 - part["mean_predicted"]) for part in bins) / n_rows
    return EventLevel(observed, predicted, n_rows, variance / predicted if predicted > 0 else 1.0)
