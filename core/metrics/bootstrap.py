"""Intervals of the metrics of a holdout: by resampling its rows, or for many rows by their influence.

Two methods, chosen by size. Up to ``BOOTSTRAP_CELLS`` rows (times classes, if there are more than two) rows are drawn
with replacement and the interval is the bias-corrected and accelerated one (BCa). The percentile interval was rejected:
at 50 rows a 95 % interval covers 92 % for average precision and 91 % for F1, BCa 94 % and 96 %.

With more rows the variance comes from each row's influence on the metric (the infinitesimal jackknife; for the AUC this
is DeLong's variance), and the interval is the normal one on an unbounded scale: the logit for metrics in [0, 1], the
logarithm for losses. The methods agree already at smaller sizes; the second needs one sort instead of hundreds.

References
----------
Efron & Tibshirani (1993), An Introduction to the Bootstrap, chapters 14 (BCa) and 21-22 (influence, acceleration).
DeLong, DeLong & Clarke-Pearson (1988), Biometrics 44, 837-845.
Boyd, Eng & Page (2013), Area under the precision-recall curve: point estimates and confidence intervals, ECML PKDD
(the logit interval).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import expit, logit, ndtr, ndtri

from core.metrics.metrics import METRICS, Floats, Measure, Scale, measures

BOOTSTRAP_CELLS = 10_000
"""Maximum rows x rankings for resampling."""

MIN_ROWS = 30
"""Minimum rows for an interval: with fewer it is too narrow (at 20 rows 95 % intervals cover 90 % for R², 82 % for
RMSE)."""

MIN_DEFINED = 0.9
"""Minimum share of resamples in which a metric is defined (a resample may have no row of a rare class)."""

CHUNK_NUMBERS = 100_000
"""Number of weights in memory at a time: about 1 MB, which fits in a processor's cache (twice as fast as 8 MB)."""


@dataclass(frozen=True)
class Estimate:
    """A metric's value and its interval.

    Parameters
    ----------
    value
        Value of the metric; NaN if it is undefined on the rows (None in JSON).
    low, high
        Ends of the interval; None if there are too few rows, or if all contribute equally.
    """

    value: float
    low: float | None
    high: float | None


def estimates(
    y: npt.NDArray[Any],
    output: Floats,
    names: Sequence[str],
    *,
    resamples: int,
    confidence: float,
    seed: int | Sequence[int],
) -> dict[str, Estimate]:
    """Compute metrics with their intervals, by name.

    Parameters
    ----------
    y
        Class codes, int64, or numbers, float64, shape (n,).
    output
        Predicted probabilities, shape (n, k), or values, shape (n,).
    names
        Names of metrics that fit the shape of ``output``.
    resamples
        Number of bootstrap resamples, if rows are resampled.
    confidence
        Share of intervals that should cover the truth, above 0 and below 1.
    seed
        Seed of the resampling; the same seed gives the same intervals.
    """
    prepared = measures(y, output, names)
    values = _merged(measure.scores(np.ones((1, len(y)))) for measure in prepared)
    influences = _merged(measure.influences() for measure in prepared) if len(y) >= MIN_ROWS else {}
    resampled = _resampled(prepared, len(y), resamples, seed) if influences and _is_small(output) else {}
    return {
        name: _estimate(name, float(values[name][0]), influences.get(name), resampled.get(name), confidence)
        for name in names
    }


def _estimate(
    name: str, value: float, influence: Floats | None, resampled: Floats | None, confidence: float
) -> Estimate:
    error = 0.0 if influence is None or np.isnan(value) else _standard_error(influence)
    # If all rows contribute equally (no error, no event found), the variance cannot be estimated.
    if influence is None or not error > 1e-12 * max(1.0, abs(value)):
        return Estimate(value, None, None)
    if resampled is None:
        return Estimate(value, *influence_interval(value, error, METRICS[name].scale, confidence))
    defined = resampled[~np.isnan(resampled)]
    if len(defined) < MIN_DEFINED * len(resampled):
        return Estimate(value, None, None)
    return Estimate(value, *bca_interval(value, defined, influence, confidence))


def bca_interval(value: float, resampled: Floats, influence: Floats, confidence: float) -> tuple[float, float]:
    """Return the bias-corrected and accelerated (BCa) bootstrap interval.

    The acceleration is a sixth of the skewness of the influences; resamples that equal the value count half.

    Parameters
    ----------
    value
        Value of the metric.
    resampled
        Values of the metric on the resamples, shape (n_resamples,), float64, without NaN.
    influence
        Influence of each row on the metric, shape (n,), float64, with mean zero.
    confidence
        Confidence of the interval, above 0 and below 1.

    References
    ----------
    Efron & Tibshirani (1993), An Introduction to the Bootstrap, equations 14.9 to 14.15 and 22.29.
    """
    below = (resampled < value).mean() + (resampled == value).mean() / 2
    bias = ndtri(np.clip(below, 0.5 / len(resampled), 1 - 0.5 / len(resampled)))
    acceleration = (influence**3).sum() / (6 * (influence**2).sum() ** 1.5)
    ends = bias + ndtri([(1 - confidence) / 2, (1 + confidence) / 2])
    # The divisor is near zero only if one row dominates all others; then the interval ends at the extreme resample.
    levels = ndtr(bias + ends / np.maximum(1 - acceleration * ends, 0.1))
    low, high = np.quantile(resampled, levels)
    return float(low), float(high)


def influence_interval(value: float, error: float, scale: Scale, confidence: float) -> tuple[float, float]:
    """Return the normal interval on a scale on which the metric is unbounded, transformed back.

    Parameters
    ----------
    value
        Value of the metric, strictly inside its bounds.
    error
        Standard error of the value, above 0, in units of the metric.
    scale
        Bounds of the metric, see :class:`~core.metrics.metrics.Metric`.
    confidence
        Confidence of the interval, above 0 and below 1.
    """
    half = float(ndtri((1 + confidence) / 2)) * error
    if scale == "unit":
        half /= value * (1 - value)
        low, high = expit(logit(value) - half), expit(logit(value) + half)
    elif scale == "positive":
        low, high = value * np.exp(-half / value), value * np.exp(half / value)
    else:
        rest = 1 - value
        low, high = 1 - rest * np.exp(half / rest), 1 - rest * np.exp(-half / rest)
    return float(low), float(high)


def _is_small(output: Floats) -> bool:
    rankings = output.shape[1] if output.ndim == 2 and output.shape[1] > 2 else 1
    return len(output) * rankings <= BOOTSTRAP_CELLS


def _standard_error(influence: Floats) -> float:
    return float(np.sqrt((influence**2).sum()) / len(influence))


def _resampled(prepared: list[Measure], n_rows: int, resamples: int, seed: int | Sequence[int]) -> dict[str, Floats]:
    generator = np.random.default_rng(seed)
    chunk = max(1, CHUNK_NUMBERS // n_rows)
    found: dict[str, list[Floats]] = {}
    for start in range(0, resamples, chunk):
        weights = _draws(generator, min(chunk, resamples - start), n_rows)
        for name, scores in _merged(measure.scores(weights) for measure in prepared).items():
            found.setdefault(name, []).append(scores)
    return {name: np.concatenate(scores) for name, scores in found.items()}


def _draws(generator: np.random.Generator, resamples: int, n_rows: int) -> Floats:
    """Draw how often each row is in each resample, shape (resamples, n_rows), each resample summing to n_rows."""
    drawn = generator.integers(0, n_rows, (resamples, n_rows)) + np.arange(resamples)[:, None] * n_rows
    return np.bincount(drawn.ravel(), minlength=resamples * n_rows).reshape(resamples, n_rows).astype("float64")


def _merged(parts: Any) -> dict[str, Floats]:
    return {name: values for part in parts for name, values in part.items()}
