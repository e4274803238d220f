"""Intervals around the metrics of a holdout: by resampling its rows, or for many rows by their influence.

Two methods, chosen by size. Up to ``BOOTSTRAP_CELLS`` rows (times classes, where there are more than two) rows are
drawn with replacement and the interval is the bias-corrected and accelerated one (BCa). The plain percentile interval
was rejected: at 50 rows it covers 92 % for the average precision and 91 % for F1 where 95 % are due, BCa 94 % and 96 %.

Beyond that the variance comes from each row's influence on the metric (the infinitesimal jackknife; for the AUC this is
DeLong's variance), and the interval is the normal one on a scale without bounds: the logit for metrics in [0, 1], the
logarithm for losses. Both methods agree long before the switch; the second costs one sort in place of hundreds.

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
"""Rows x rankings up to which rows are resampled."""

MIN_ROWS = 30
"""Fewer rows get no interval: it would be too short (at 20 rows 95 % intervals of R² cover 90 %, of RMSE 82 %)."""

MIN_DEFINED = 0.9
"""Share of resamples in which a metric must be defined (a resample can lose a rare class)."""

CHUNK_NUMBERS = 100_000
"""Weights held at once: about 1 MB, which stays in a processor's cache (twice as fast as 8 MB)."""


@dataclass(frozen=True)
class Estimate:
    """A metric's value and its interval.

    Parameters
    ----------
    value
        NaN where the rows leave the metric undefined (None in JSON).
    low, high
        Ends of the interval; None where the rows are too few for one or all score alike.
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
    """Values of the named metrics with their intervals.

    Parameters
    ----------
    y
        Class codes or numbers, shape (n,).
    output
        Probabilities (n, k) or values (n,).
    names
        Metrics that fit the shape of ``output``.
    resamples
        Bootstrap resamples, where rows are resampled.
    confidence
        Share of intervals that are to cover the truth.
    seed
        The same seed gives the same intervals.
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
    # Rows that all score alike (no error at all, no event found) say nothing of the spread of others.
    if influence is None or not error > 1e-12 * max(1.0, abs(value)):
        return Estimate(value, None, None)
    if resampled is None:
        return Estimate(value, *influence_interval(value, error, METRICS[name].scale, confidence))
    defined = resampled[~np.isnan(resampled)]
    if len(defined) < MIN_DEFINED * len(resampled):
        return Estimate(value, None, None)
    return Estimate(value, *bca_interval(value, defined, influence, confidence))


def bca_interval(value: float, resampled: Floats, influence: Floats, confidence: float) -> tuple[float, float]:
    """Bias-corrected and accelerated bootstrap interval.

    The acceleration is a sixth of the skewness of the influences; resamples that equal the value count half.

    References
    ----------
    Efron & Tibshirani (1993), An Introduction to the Bootstrap, equations 14.9 to 14.15 and 22.29.
    """
    below = (resampled < value).mean() + (resampled == value).mean() / 2
    bias = ndtri(np.clip(below, 0.5 / len(resampled), 1 - 0.5 / len(resampled)))
    acceleration = (influence**3).sum() / (6 * (influence**2).sum() ** 1.5)
    ends = bias + ndtri([(1 - confidence) / 2, (1 + confidence) / 2])
    # The divisor nears zero only where one row outweighs all others; then the interval ends at the extreme resample.
    levels = ndtr(bias + ends / np.maximum(1 - acceleration * ends, 0.1))
    low, high = np.quantile(resampled, levels)
    return float(low), float(high)


def influence_interval(value: float, error: float, scale: Scale, confidence: float) -> tuple[float, float]:
    """Return the normal interval on the scale where the metric has no bounds, brought back.

    Parameters
    ----------
    value
        Of the metric.
    error
        Its standard error, above zero.
    scale
        Values the metric can take.
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
    """How often each row is drawn: shape (resamples, n_rows), each line summing to n_rows."""
    drawn = generator.integers(0, n_rows, (resamples, n_rows)) + np.arange(resamples)[:, None] * n_rows
    return np.bincount(drawn.ravel(), minlength=resamples * n_rows).reshape(resamples, n_rows).astype("float64")


def _merged(parts: Any) -> dict[str, Floats]:
    return {name: values for part in parts for name, values in part.items()}
