"""Whether a PSI could be chance: its null distribution for two sample sizes and their bins.

With enough expected rows in every bin, PSI without drift is ``(1/n + 1/m)`` times a chi-square with one degree of
freedom less than bins (Yurdakul and Naranjo). With fewer rows its tail differs: at 10 expected rows per bin PSI exceeds
the chi-square bound of 1 in 10,000 nine times as often as nominal, at 1 or 2 hardly ever, so that real drift would be
missed. In this case the rows of both samples are permuted: a permutation test is valid at any size and for any shares.

References
----------
Yurdakul, Naranjo (2020), Statistical properties of the population stability index, Journal of Risk Model Validation
14(4); Yurdakul (2018), thesis of the same name, Western Michigan University: chi-square.
Besag, Clifford (1991), Sequential Monte Carlo p-values, Biometrika 78(2): drawing stops early for large p-values.
Phipson, Smyth (2010), Permutation p-values should never be zero, Statistical Applications in Genetics and Molecular
Biology 9(1): one is added to both counts.
Agrawal (2020), Finite-sample concentration of the multinomial in relative entropy, IEEE Transactions on Information
Theory 66(10): the upper bound of the p-value below which no draws are needed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil, exp, log
from typing import Literal

import numpy as np
from scipy.special import chdtrc, chdtri, fdtrc, fdtri, gammaincc, gammainccinv, rel_entr

from core.drift.clusters import TableEffect
from core.drift.divergence import Counts, Floats, psi, psi_of_counts

ENOUGH_ROWS = 100
"""Minimum expected rows of the smallest bin for chi-square: PSI then exceeds its bound of 1 in 10,000 at most 1.2 times
as often as nominal (at 50 rows 1.4 times, at 20 rows 2.6 times)."""

FIRST_DRAWS = 300
DRAWS_BEYOND = 20
"""Number of draws beyond the observed PSI after which drawing stops: the relative error of p is then about a fifth."""

DRAWS_AT_LEVEL = 5
"""Expected draws beyond the critical value in the longest simulation; p is valid with any number of draws."""

MOST_DRAWS = 1_000_000
"""Maximum draws: a few seconds. For levels that they cannot resolve only the upper bound of p is used."""

CELLS = 1 << 20
"""Maximum number of bins drawn at a time, which limits memory."""

MOST_ROWS = 10**9
"""Limit of NumPy's sampler. With so many rows a bin of fewer than 100 changes PSI by less than a millionth."""


MARGIN = 0.7
"""Share of a threshold at which the probability of chance is computed, because the tails are approximations."""

SMALLEST_CHANCE = 1e-6
"""Probability below which the tail of a gamma distribution is not used: no simulation shows that it holds there."""


@dataclass(frozen=True)
class PsiTest:
    """A PSI and its null distribution.

    Parameters
    ----------
    psi
        PSI of the two samples, at least 0.
    critical
        Value that PSI exceeds without drift with probability alpha; it is below ``psi`` if and only if ``p_value`` is
        at most alpha. If drawing stopped early, it is that of a gamma distribution with the mean and variance of the
        draws, with a relative error of about a tenth unless all but one bin are nearly empty.
    p_value
        Probability without drift of a PSI at least as large, 0 to 1; far below alpha it may be only an upper bound.
    method
        Whether ``critical`` and ``p_value`` come from the chi-square distribution or from permuted rows.
    """

    psi: float
    critical: float
    p_value: float
    method: Literal["chi-square", "simulated"]


def psi_test(reference: Counts, current: Counts, alpha: float, seed: int, effect: TableEffect | None = None) -> PsiTest:
    """Test whether reference and current counts are samples of one distribution.

    If rows come in clusters, both this test and the one with their design effect must reject.

    Parameters
    ----------
    reference, current
        Rows per bin, shape (b,) each, int64, at least 0.
    alpha
        Level of the test, above 0 and below 1: a simulated p-value resolves a fifth of it.
    seed
        Seed of the permutations.
    effect
        Design effect of the column's rows; None for independent ones.

    Raises
    ------
    ValueError
        The bins are not the same, a side has no rows, or alpha is not between 0 and 1.
    """
    if not 0 < alpha < 1:
        raise ValueError(f"expected alpha between 0 and 1, found {alpha}")
    observed = psi(reference, current)
    occupied = (reference > 0) | (current > 0)
    reference, current = reference[occupied], current[occupied]
    found = _independent(observed, reference, current, alpha, seed)
    return found if effect is None or len(reference) == 1 else _clustered(found, reference, current, alpha, effect)


def _independent(observed: float, reference: Counts, current: Counts, alpha: float, seed: int) -> PsiTest:
    n, m = int(reference.sum()), int(current.sum())
    if len(reference) == 1 or _smallest_expected(reference, current) >= ENOUGH_ROWS or n + m >= MOST_ROWS:
        p_value = float(chdtrc(len(reference) - 1, observed / (1 / n + 1 / m))) if len(reference) > 1 else 1.0
        return PsiTest(observed, psi_critical(n, m, len(reference), alpha), p_value, "chi-square")
    return _simulated(observed, reference, current, alpha, np.random.default_rng(seed))


def chance_beyond(reference: Counts, current: Counts, bound: float, seed: int) -> float:
    """Return an upper bound of the probability that chance alone takes the PSI above a threshold; 1 if not small.

    With enough rows in every bin it is the chi-square probability at :data:`MARGIN` of the threshold. With fewer rows a
    gamma distribution with the mean and variance of some permutations takes its place, and probabilities below
    :data:`SMALLEST_CHANCE` are not told apart.

    Parameters
    ----------
    reference, current
        Rows per bin, shape (b,) each, int64, at least one row on each side.
    bound
        Threshold of the PSI, above 0.
    seed
        Seed of the permutations.
    """
    occupied = (reference > 0) | (current > 0)
    reference, current = reference[occupied], current[occupied]
    n, m = int(reference.sum()), int(current.sum())
    if len(reference) == 1:
        return 0.0
    if _smallest_expected(reference, current) >= ENOUGH_ROWS or n + m >= MOST_ROWS:
        return float(chdtrc(len(reference) - 1, MARGIN * bound / (1 / n + 1 / m)))
    drawn = _null_psi(0.0, reference + current, m, FIRST_DRAWS, np.random.default_rng(seed))
    mean, scale = drawn.mean(), drawn.var() / drawn.mean()
    chance = float(gammaincc(mean / scale, MARGIN * bound / scale)) if scale > 0 else 1.0
    return max(chance, SMALLEST_CHANCE) if drawn.max() < MARGIN * bound else 1.0


def _smallest_expected(reference: Counts, current: Counts) -> float:
    n, m = int(reference.sum()), int(current.sum())
    return int((reference + current).min()) * min(n, m) / (n + m)


def psi_critical(n_reference: int, n_current: int, bins: int, alpha: float) -> float:
    """Return the value that PSI exceeds without drift with probability alpha, by chi-square; 0 for one bin.

    Parameters
    ----------
    n_reference, n_current
        Number of rows of each sample, at least 1.
    bins
        Number of occupied bins, at least 1.
    alpha
        Probability, above 0 and below 1.

    Examples
    --------
    >>> round(psi_critical(20_000, 1_000, bins=10, alpha=0.0002), 4)
    0.0336
    """
    if bins == 1:
        return 0.0
    return float((1 / n_reference + 1 / n_current) * chdtri(bins - 1, alpha))


def _clustered(found: PsiTest, reference: Counts, current: Counts, alpha: float, effect: TableEffect) -> PsiTest:
    """Refer PSI to the F distribution of its design effects as well (Rao and Scott; Thomas and Rao)."""
    degrees = (len(reference) - 1) / (1 + effect.spread)
    unit = (1 / reference.sum() + 1 / current.sum()) * effect.design.effect * (len(reference) - 1)
    freedom = degrees * effect.design.freedom
    p_value = max(found.p_value, float(fdtrc(degrees, freedom, found.psi / unit)))
    return replace(
        found, critical=max(found.critical, float(fdtri(degrees, freedom, 1 - alpha) * unit)), p_value=p_value
    )


def _simulated(observed: float, reference: Counts, current: Counts, alpha: float, rng: np.random.Generator) -> PsiTest:
    pooled, m = reference + current, int(current.sum())
    drawn = _null_psi(observed, pooled, m, FIRST_DRAWS, rng)
    critical, bound = _gamma_critical(drawn, alpha), _chance_bound(reference, current)
    if bound <= alpha / DRAWS_BEYOND and observed > critical:
        return PsiTest(observed, critical, bound, "simulated")
    most = max(FIRST_DRAWS, ceil(min(DRAWS_AT_LEVEL / alpha, MOST_DRAWS)))
    while len(drawn) < most and _n_beyond(drawn, observed) < DRAWS_BEYOND:
        draws = min(3 * len(drawn), most - len(drawn), max(1, CELLS // len(pooled)))
        drawn = np.append(drawn, _null_psi(observed, pooled, m, draws, rng))
    if len(drawn) == most:
        critical = float(np.quantile(drawn, 1 - alpha, method="higher"))
    p_value = (_n_beyond(drawn, observed) + 1) / (len(drawn) + 1)
    return PsiTest(observed, max(critical, observed) if p_value > alpha else critical, p_value, "simulated")


def _null_psi(observed: float, pooled: Counts, m: int, draws: int, rng: np.random.Generator) -> Floats:
    current = rng.multivariate_hypergeometric(pooled, m, size=draws, method="marginals")
    drawn = psi_of_counts(pooled - current, current)
    # Equal counts in other bins differ in the last digit of the sum; they are ties.
    return np.where(np.isclose(drawn, observed, rtol=1e-9, atol=0), observed, drawn)


def _n_beyond(drawn: Floats, observed: float) -> int:
    return int(np.count_nonzero(drawn >= observed))


def _gamma_critical(drawn: Floats, alpha: float) -> float:
    if np.ptp(drawn) == 0:
        return float(drawn[0])
    mean, scale = drawn.mean(), drawn.var() / drawn.mean()
    return float(gammainccinv(mean / scale, alpha) * scale)


def _chance_bound(reference: Counts, current: Counts) -> float:
    """Return an upper bound of the probability of such a likelihood ratio without drift, for any shares.

    The moments of the logarithm of each sample's ratio are at most those of a gamma variable of shape b - 1 (Agrawal);
    the ratio for the pooled shares is at most that for the true shares. Chernoff's bound of the sum of the two follows.
    """
    pooled, shape = reference + current, 2 * (len(reference) - 1)
    expected = [pooled * (counts.sum() / pooled.sum()) for counts in (reference, current)]
    ratio = rel_entr(reference, expected[0]).sum() + rel_entr(current, expected[1]).sum()
    return exp(shape - ratio + shape * log(ratio / shape)) if ratio > shape else 1.0
