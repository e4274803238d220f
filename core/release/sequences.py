"""Confidence sequences: bounds that hold at every look together, from counts, however often and whenever one looks.

Each is a mixture of supermartingales that start at 1. By Ville's inequality the mixture reaches ``1 / alpha`` with
probability at most alpha, at any time; what would make it so large is excluded. Counts up to now suffice, so a look
needs no state of earlier looks, and a missed look costs nothing.

Counts may be fractions: outcomes of 0 to 1 are covered, and so are counts divided by a design effect.

References
----------
Ville (1939), Étude critique de la notion de collectif, Gauthier-Villars.
Howard, Ramdas, McAuliffe, Sekhon (2021), Time-uniform, nonparametric, nonasymptotic confidence sequences, Annals of
Statistics 49(2), 1055-1080: mixtures (normal, beta-binomial, gamma-Poisson), and running means of conditional means.
Howard, Ramdas (2022), Sequential estimation of quantiles with applications to A/B testing and best-arm identification,
Bernoulli 28(3), 1704-1728.
Waudby-Smith, Arbour, Sinha, Kennedy, Ramdas (2024), Time-uniform central limit theory and asymptotic confidence
sequences, Annals of Statistics 52(6), 2613-2640.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.optimize import brentq, minimize_scalar
from scipy.special import betaincc, betaln, gammainc, gammaincc, gammaln, lambertw, xlog1py, xlogy

from core.metrics.metrics import Floats

EVENTS = 20.0
"""Number of events at which the bounds of a rate are narrowest: failures, or requests slower than a quantile."""

SAMPLES = 500.0
"""Number of samples at which the bounds of means are narrowest."""

SLOPES = np.geomspace(0.02, 4.0, 48)
"""Logarithms of rate ratios over which the evidence for a difference is averaged: 2 % to 50 times above the limit."""

NUISANCE = 0.1
"""Share of alpha for the base rate, on which only the variance of a difference depends."""


@dataclass(frozen=True)
class Bounds:
    """Lower and upper bound of a number; each alone is wrong at any look with probability alpha at most."""

    lower: float
    upper: float


def precision(v: float, alpha: float) -> float:
    """Return the precision of a normal mixture whose one-sided boundary is narrowest at variance ``v``.

    Parameters ``v`` above 0; ``alpha`` above 0 and below 1/2. The value is ``v / (-W(-(2 alpha)**2 / e) - 1)`` with the
    lower branch of Lambert's W.

    References
    ----------
    Howard, Ramdas, McAuliffe, Sekhon (2021), Proposition 3.
    """
    return float(v / (-lambertw(-((2 * alpha) ** 2) / math.e, -1).real - 1))


def rate_bounds(n_events: float, n: float, alpha: float) -> Bounds:
    """Return bounds of a rate: of the mean so far of the conditional probabilities of the event.

    The rate may move over time and depend on earlier outcomes. With outcomes X_t from 0 to 1 and
    ``E[X_t | past] = p_t``, ``E[q ** X_t | past] <= exp((q - 1) p_t)`` for every q > 0. So
    ``q ** S exp(-(q - 1) (p_1 + ... + p_n))`` is a supermartingale; it is mixed over a gamma distribution of q, above 1
    for the lower bound and below 1 for the upper.

    Parameters
    ----------
    n_events
        Sum S of the outcomes so far, 0 to ``n``.
    n
        Number of outcomes so far, at least 0.
    alpha
        Probability that a bound is wrong at any look, above 0 and below 1/2.

    References
    ----------
    Howard, Ramdas, McAuliffe, Sekhon (2021), gamma-Poisson mixture (Proposition 10), here for both tails.
    """
    if n <= 0:
        return Bounds(0.0, 1.0)
    level, shape = -math.log(alpha), precision(EVENTS, alpha)
    lower = _root_between(lambda mean: level - _above(n_events, mean, shape), 0.0, n_events)
    high = n_events + 1.0
    while _below(n_events, high, shape) < level:
        high *= 2
    upper = _root_between(lambda mean: _below(n_events, mean, shape) - level, n_events, high)
    return Bounds(min(lower / n, 1.0), min(upper / n, 1.0))


def _above(n_events: float, mean: float, shape: float) -> float:
    """Logarithm of the evidence that the expected number of events is above ``mean``; it falls with ``mean``."""
    return _mixture(n_events, mean, shape) + _log(gammaincc(n_events + shape, mean + shape) / gammaincc(shape, shape))


def _below(n_events: float, mean: float, shape: float) -> float:
    """Logarithm of the evidence that it is below ``mean``; it rises with ``mean``."""
    return _mixture(n_events, mean, shape) + _log(gammainc(n_events + shape, mean + shape) / gammainc(shape, shape))


def _mixture(n_events: float, mean: float, shape: float) -> float:
    total = n_events + shape
    return float(mean + shape * math.log(shape) - gammaln(shape) + gammaln(total) - total * math.log(mean + shape))


def least_rise(
    n_events: float, n: float, base_events: float, base_n: float, *, alpha: float, ratios: Sequence[float]
) -> float:
    """Return the lower bound of the rise of a rate over a base rate, in shares, -1 to 1.

    Both are means of conditional probabilities so far, as in :func:`rate_bounds`. For a slope e, with S events and
    expected number L here, and S0 and L0 in the base,
    ``exp(e S - (exp(e) - 1) L - e S0 / ratio + (1 - exp(-e / ratio)) L0)`` is a supermartingale, because it is the
    product of those of the two rates; it is averaged over :data:`SLOPES`. A rise is excluded where the average is
    large for every base rate up to its own upper bound, which takes a tenth of alpha. Compared with the difference of
    two separate bounds, this is narrower by up to a factor of the square root of two.

    If one request gives an outcome in both, its two outcomes must not be negatively correlated.

    Parameters
    ----------
    n_events, n
        Sum of the outcomes, and their number.
    base_events, base_n
        The same of the base.
    alpha
        Probability that the bound is wrong at any look, above 0 and below 1/2.
    ratios
        Planned numbers of base outcomes per outcome, above 0, over which the evidence is averaged too. They must not
        depend on the outcomes; any are valid, and the bound is best where one of them is near the true one.

    References
    ----------
    Howard, Ramdas, McAuliffe, Sekhon (2021), Theorem 1 and section 3.4, for two sub-Poisson processes.
    """
    if n <= 0 or base_n <= 0:
        return -1.0
    most = rate_bounds(base_events, base_n, NUISANCE * alpha).upper
    # The steeper of the two slopes has the whole range.
    slopes, base_slopes = (
        np.concatenate([SLOPES * min(1.0, part) for part in parts]) for parts in (ratios, [1 / one for one in ratios])
    )
    level = math.log(len(slopes)) - math.log((1 - NUISANCE) * alpha)
    constant = slopes * n_events - base_slopes * base_events
    per_rate, per_base = np.expm1(slopes) * n, -np.expm1(-base_slopes) * base_n

    def evidence(base: float, rise: float) -> float:
        return _log_sum(constant - per_rate * max(base + rise, 0.0) + per_base * base)

    def missing(rise: float) -> float:
        return level - _minimum(lambda base: evidence(base, rise), max(0.0, -rise), most)

    return _root_between(missing, -most, 1.0)


def greatest_rise(
    n_events: float, n: float, base_events: float, base_n: float, *, alpha: float, ratios: Sequence[float]
) -> float:
    """Return the upper bound of the rise of a rate over a base rate: the least fall, with the two exchanged.

    Parameters
    ----------
    n_events, n, base_events, base_n, alpha, ratios
        As in :func:`least_rise`.
    """
    return -least_rise(base_events, base_n, n_events, n, alpha=alpha, ratios=[1 / ratio for ratio in ratios])


def _log_sum(logarithms: Floats) -> float:
    largest = float(logarithms.max())
    return largest + math.log(float(np.exp(logarithms - largest).sum()))


def _minimum(convex: Callable[[float], float], low: float, high: float) -> float:
    """Minimum of a convex function; at the high end for nearly all counts, which one step tells."""
    step = 1e-6 * (high - low)
    at_end = convex(high)
    if high <= low or convex(high - step) >= at_end:
        return at_end
    return float(minimize_scalar(convex, bounds=(low, high), method="bounded").fun)


def quantile_bounds(ascending: Floats, share: float, alpha: float, effect: float = 1.0) -> Bounds:
    """Return bounds of a quantile: two order statistics; infinite where there are too few samples.

    The number of samples above the true quantile is a sum of Bernoulli outcomes of known probability; the evidence that
    their rate is larger is a beta-binomial mixture above that probability. A bound is the first order statistic at
    which it reaches ``1 / alpha``. Ties and jumps of the distribution are allowed.

    Parameters
    ----------
    ascending
        Samples in ascending order, shape (n,), float64.
    share
        Share of the distribution up to the quantile, above 0 and below 1.
    alpha
        Probability that a bound is wrong at any look, above 0 and below 1/2.
    effect
        Design effect of the samples, at least 1: counts are divided by it.

    References
    ----------
    Howard, Ramdas (2022), Theorem 1 with the beta-binomial boundary of Howard et al. (2021), Proposition 7.
    """
    n = len(ascending)
    above = _fewest_events(n, 1 - share, alpha, effect)
    upto = _fewest_events(n, share, alpha, effect)
    return Bounds(
        -math.inf if above is None else float(ascending[n - above]),
        math.inf if upto is None else float(ascending[upto - 1]),
    )


@lru_cache(maxsize=256)
def samples_for_upper(share: float, alpha: float, effect: float = 1.0) -> int:
    """Return the number of samples, within 5 %, from which a quantile has an upper bound.

    Parameters
    ----------
    share, alpha, effect
        As in :func:`quantile_bounds`.
    """
    n = 1
    while _fewest_events(n, share, alpha, effect) is None:
        n = math.ceil(1.05 * n)
    return n


@lru_cache(maxsize=4096)
def _fewest_events(n: int, probability: float, alpha: float, effect: float) -> int | None:
    """Smallest number of events among n that excludes a rate of at most ``probability``; None if no number does."""
    level = -math.log(alpha)
    size = precision(max(SAMPLES, EVENTS / min(probability, 1 - probability)), alpha)

    def excludes(n_events: int) -> bool:
        return log_evidence_of_rate(n_events / effect, n / effect, probability, size) >= level

    if n == 0 or not excludes(n):
        return None
    low, high = math.floor(n * probability), n
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if excludes(middle) else (middle, high)
    return high


def log_evidence_of_rate(n_events: float, n: float, probability: float, size: float) -> float:
    """Return the logarithm of the evidence (e-value) that a rate is above a probability.

    A mixture of likelihood ratios over a beta distribution around the probability, cut off below it.

    Parameters
    ----------
    n_events, n
        Number of events and of outcomes.
    probability
        The probability, above 0 and below 1.
    size
        Sum of the parameters of the beta distribution, above 0.
    """
    a, b = size * probability, size * (1 - probability)
    hits, misses = a + n_events, b + n - n_events
    tails = betaincc(hits, misses, probability) / betaincc(a, b, probability)
    likelihood = xlogy(n_events, probability) + xlog1py(n - n_events, -probability)
    return float(betaln(hits, misses) - betaln(a, b) - likelihood) + _log(tails)


def asymptotic_radius(standard_error: float, n: float, alpha: float) -> float:
    """Return the distance from an asymptotically normal estimate to a one-sided bound of an asymptotic sequence.

    ``sd sqrt(2 (n r + 1) / (n^2 r) log(1 + sqrt(n r + 1) / (2 alpha)))`` with ``sd = standard_error sqrt(n)``; r is
    chosen so that it is narrowest at :data:`SAMPLES`. Valid in the limit of many samples before the first look.

    Parameters
    ----------
    standard_error
        Standard error of the estimate, from influence values; at least 0.
    n
        Number of samples, above 0; of two samples ``1 / (1 / n + 1 / m)``.
    alpha
        Probability that the bound is wrong at any look, above 0 and below 1/2.

    References
    ----------
    Waudby-Smith, Arbour, Sinha, Kennedy, Ramdas (2024), Theorem 2.2 and its one-sided form (appendix B).
    """
    scaled = n / precision(SAMPLES, alpha)
    return standard_error * math.sqrt(2 * (1 + 1 / scaled) * math.log1p(math.sqrt(scaled + 1) / (2 * alpha)))


def norm_radius(n: float, dimensions: int, alpha: float) -> float:
    """Return the bound of the length of the mean of standard normal vectors, over all looks.

    ``sqrt((n + r) (2 log(1 / alpha) + d log((n + r) / r))) / n`` from a normal mixture of precision r in d dimensions;
    r is chosen so that it is narrowest at :data:`SAMPLES`.

    Parameters
    ----------
    n
        Number of vectors, above 0; of two samples ``1 / (1 / n + 1 / m)``.
    dimensions
        Dimensions d of the vectors, at least 1.
    alpha
        Probability that the length exceeds the bound at any look, above 0 and below 1.

    References
    ----------
    de la Peña, Klass, Lai (2004), Self-normalized processes: exponential inequalities, moment bounds and iterated
    logarithm laws, Annals of Probability 32(3), 1902-1933: normal mixtures, here in several dimensions.
    """
    return _norm_boundary(n, _norm_precision(dimensions, alpha), dimensions, alpha) / n


def _norm_boundary(n: float, r: float, dimensions: int, alpha: float) -> float:
    return math.sqrt((n + r) * (2 * math.log(1 / alpha) + dimensions * math.log((n + r) / r)))


@lru_cache(maxsize=256)
def _norm_precision(dimensions: int, alpha: float) -> float:
    found = minimize_scalar(
        lambda log_r: _norm_boundary(SAMPLES, math.exp(log_r), dimensions, alpha), bounds=(-5.0, 12.0), method="bounded"
    )
    return math.exp(found.x)


def _root_between(rising: Callable[[float], float], low: float, high: float) -> float:
    """Root of a rising function; the end of the range where it has none."""
    if high <= low or rising(low) >= 0:
        return low
    if rising(high) <= 0:
        return high
    return float(brentq(rising, low, high, xtol=1e-9, rtol=1e-9))


def _log(value: float) -> float:
    return math.log(value) if value > 0 else -math.inf
