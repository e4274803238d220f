"""Metrics of a stratified sample of rows: every row of a rare class, and some rows of the others, with weights.

A window of a million rows with a rate of 0.1 % has a thousand events. A uniform sample of 50,000 rows has 50 of them;
all events and 50,000 other rows say nearly as much as all rows. A row of a stratum represents ``rows / sampled rows``
rows.

The rows of a window are themselves a sample of a world, so the variance of a metric has two parts: that of the window's
rows, and that of drawing some of them within each stratum (two-phase sampling).

References
----------
Neyman (1938), Contribution to the theory of sampling human populations, JASA 33, 101-116 (two-phase sampling).
Särndal, Swensson & Wretman (1992), Model Assisted Survey Sampling, chapter 9 (stratified second phase).
Satterthwaite (1946), An approximate distribution of estimates of variance components, Biometrics Bulletin 2, 110-114.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, stdtrit

from core.metrics.bootstrap import MIN_ROWS, Estimate, influence_interval
from core.metrics.metrics import METRICS, Floats, measures

EXACT = 1e12
"""Number of rows that represents a population."""


@dataclass(frozen=True, eq=False)
class Strata:
    """How many rows of a window each sampled row represents.

    Parameters
    ----------
    codes
        Stratum of each sampled row, shape (n,), int64, from 0.
    sizes
        Rows of each stratum in the window, shape (n_strata,), float64, at least the number of its sampled rows.
    """

    codes: npt.NDArray[np.int64]
    sizes: Floats

    @property
    def sampled(self) -> Floats:
        """Number of sampled rows of each stratum, shape (n_strata,), float64."""
        return np.bincount(self.codes, minlength=len(self.sizes)).astype("float64")

    @property
    def weights(self) -> Floats:
        """Number of rows that each sampled row represents, shape (n,), float64."""
        weights: Floats = (self.sizes / np.maximum(self.sampled, 1.0))[self.codes]
        return weights

    @property
    def n_rows(self) -> float:
        """Number of rows that all sampled rows represent."""
        return float(self.sizes[self.sampled > 0].sum())

    def kept(self, mask: npt.NDArray[np.bool_]) -> Strata:
        """Return the strata of some of the sampled rows; each row represents as many rows as before."""
        left = np.bincount(self.codes[mask], minlength=len(self.sizes))
        return Strata(self.codes[mask], self.sizes * left / np.maximum(self.sampled, 1.0))

    def mean_variance(self, values: Floats) -> Floats:
        """Return each row's part of the variance of the weighted mean of values, shape (n,); they add up to it.

        Parameters
        ----------
        values
            Shape (n,), float64, with weighted mean zero.
        """
        sampled, total = np.maximum(self.sampled, 1.0), self.n_rows
        share, drawn = self.sizes / total, 1 - sampled / np.maximum(self.sizes, sampled)
        means = np.bincount(self.codes, values, len(self.sizes)) / sampled
        first = (share / (total * sampled))[self.codes] * values**2
        second = (share**2 * drawn / (sampled * np.maximum(sampled - 1, 1)))[self.codes]
        parts: Floats = first + second * (values - means[self.codes]) ** 2
        return parts


def standardised(y: npt.NDArray[np.int64], rate: float) -> Strata:
    """Return strata that give two classes the shares of a population: ``rate`` for class 1.

    Average precision depends on the rate of the events: with half of them it is about half as large in the same
    ranking. At the same rate, windows and holdouts can be compared, and only the ranking counts.

    References
    ----------
    Siblini et al. (2020), Master your metrics with calibration, IDA (metrics at a reference prior).
    """
    return Strata(y, np.array([1 - rate, rate]) * EXACT)


def stratified_estimate(
    y: npt.NDArray[Any], output: Floats, metric: str, strata: Strata, confidence: float
) -> Estimate:
    """Compute a metric of a stratified sample with its interval.

    The interval is Student's on an unbounded scale. Its degrees of freedom are those of the variance, estimated from
    the rows' parts of it: few if few rows decide.

    Average precision is too high if few other rows with high scores are sampled: by half a standard error with 2,000
    other rows of weight 5, by a sixth with 10,000.

    Parameters
    ----------
    y
        Class codes, int64, shape (n,).
    output
        Predicted probabilities, shape (n, k), finite.
    metric
        Name of a classification metric.
    strata
        Strata of the rows.
    confidence
        Share of intervals that should cover the truth, above 0 and below 1.
    """
    (measure,) = measures(y, output, (metric,))
    weights, scale = strata.weights, METRICS[metric].scale
    value = float(measure.scores(weights[None, :])[metric][0])
    bounded = 0 < value < 1 if scale == "unit" else np.isfinite(value)
    if not bounded or len(y) < MIN_ROWS:
        return Estimate(value, None, None)
    parts = strata.mean_variance(measure.influences(weights)[metric])
    error = float(np.sqrt(parts.sum()))
    if not error > 1e-12 * max(1.0, abs(value)):
        return Estimate(value, None, None)
    quantile = float(stdtrit(_freedom(parts), (1 + confidence) / 2))
    # The interval takes a confidence: that of a normal quantile as large as Student's.
    return Estimate(value, *influence_interval(value, error, scale, min(2 * float(ndtr(quantile)) - 1, 1 - 1e-15)))


def _freedom(parts: Floats) -> float:
    """Return Satterthwaite's degrees of freedom of a sum of independent parts, from 1 to the rows less one."""
    variance, n = float(parts.sum()), len(parts)
    spread = float((parts**2).sum()) - variance**2 / n
    return float(np.clip(2 * variance**2 / max(spread, 1e-300), 1.0, n - 1.0))
