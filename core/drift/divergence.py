"""Distances between two distributions: over counts of the same bins, or over two samples of numbers.

Counts are integers, one per bin, of reference rows and of current rows. A bin that is empty on both sides is ignored,
so reserved bins of a profile (``other``, missing) have no effect.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import chdtrc, rel_entr

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]

EMPTY_BIN_ROWS = 0.5
"""Maximum number of rows that an empty bin counts as in PSI."""


@dataclass(frozen=True)
class ChiSquare:
    """Result of a chi-square test that two samples come from one distribution over the same bins.

    Parameters
    ----------
    statistic
        Chi-square statistic, at least 0.
    degrees
        Degrees of freedom: number of occupied bins less one.
    p_value
        Probability without a difference of a statistic at least as large, 0 to 1.
    """

    statistic: float
    degrees: int
    p_value: float


@dataclass(frozen=True)
class KolmogorovSmirnov:
    """Result of a test that two samples of numbers come from one continuous distribution: statistic and p, 0 to 1."""

    statistic: float
    p_value: float


def psi(reference: Counts, current: Counts, zero_share: float | None = None) -> float:
    """Return the PSI (population stability index) of counts; 0 if the shares are equal, without upper bound.

    Parameters
    ----------
    reference, current
        Rows per bin, shape (b,) each, int64, at least 0.
    zero_share
        Share of a bin that is empty on one side only, because the index would be infinite; published values use 1e-4
        or 1e-6. By default the share of half a row on the empty side, ``0.5 / n``, or the other side's share if that
        is less: an empty bin with an expected count below 0.5 contributes nothing.

    Notes
    -----
    No constant fits all sizes. In a window of 100 rows 1e-4 is a hundredth of a row: 50 levels of Zipf's law then give
    0.86 on average without any drift (0.29 by default), and levels of squared Zipf 0.33 (0.15). In a window of a
    million it is 100 rows, so a level that disappears would count less than one with a single row left. The drawback
    of the default is that the PSI of the same new level grows with the rows: it exceeds 0.1 from a share of 3.0 % if
    the reference has 500 rows, 1.9 % with 5,000, 1.4 % with 50,000, 1.0 % with a million (1e-4: 1.9 %).

    Raises
    ------
    ValueError
        The bins are not the same, or a side has no rows.

    References
    ----------
    Siddiqi (2006), Credit Risk Scorecards, Wiley. Lewis (1994), An Introduction to Credit Scoring. The index is the
    divergence J of Jeffreys (1946), An invariant form for the prior probability in estimation problems.

    Examples
    --------
    >>> round(psi(np.array([50, 30, 20]), np.array([40, 35, 25])), 6)
    0.041179
    """
    return float(psi_of_counts(*_occupied(reference, current), zero_share))


def psi_of_counts(reference: Counts, current: Counts, zero_share: float | None = None) -> Floats:
    """Return the PSI of many pairs of samples, along the last axis.

    Parameters
    ----------
    reference, current
        Rows per bin, shapes (..., b), int64, at least 0; no bin is empty on both sides.
    zero_share
        As in :func:`psi`.

    Returns
    -------
    numpy.ndarray
        Shape (...), float64, at least 0.
    """
    n, m = reference.sum(axis=-1, keepdims=True), current.sum(axis=-1, keepdims=True)
    p, q = reference / n, current / m
    of_empty_p, of_empty_q = (
        (np.minimum(EMPTY_BIN_ROWS / n, q), np.minimum(EMPTY_BIN_ROWS / m, p))
        if zero_share is None
        else (zero_share, zero_share)
    )
    p, q = np.where(p > 0, p, of_empty_p), np.where(q > 0, q, of_empty_q)
    index: Floats = ((p - q) * np.log(p / q)).sum(axis=-1)
    return index


def jensen_shannon(reference: Counts, current: Counts) -> float:
    """Return the Jensen–Shannon distance to base 2, from 0 (equal shares) to 1 (no bin in common).

    Parameters
    ----------
    reference, current
        Rows per bin, shape (b,) each, int64, at least 0.

    References
    ----------
    Lin (1991), Divergence measures based on the Shannon entropy, IEEE Transactions on Information Theory 37(1).
    Endres, Schindelin (2003), A new metric for probability distributions, same journal 49(7): its square root.
    """
    p, q = _shares(*_occupied(reference, current))
    middle = (p + q) / 2
    divergence = (rel_entr(p, middle).sum() + rel_entr(q, middle).sum()) / (2 * np.log(2))
    # For nearly equal shares the sum can round to a value just below 0.
    return float(np.sqrt(max(divergence, 0.0)))


def hellinger(reference: Counts, current: Counts) -> float:
    """Return the Hellinger distance, from 0 (equal shares) to 1 (no bin in common).

    Parameters
    ----------
    reference, current
        Rows per bin, shape (b,) each, int64, at least 0.

    References
    ----------
    Hellinger (1909), Neue Begründung der Theorie quadratischer Formen von unendlichvielen Veränderlichen.
    """
    p, q = _shares(*_occupied(reference, current))
    return float(np.linalg.norm(np.sqrt(p) - np.sqrt(q)) / np.sqrt(2))


def chi_square(reference: Counts, current: Counts) -> ChiSquare:
    """Return Pearson's test of homogeneity of two samples, without continuity correction.

    With one bin there are 0 degrees of freedom and p = 1. The p-value is inaccurate if bins have expected counts below
    5.

    Parameters
    ----------
    reference, current
        Rows per bin, shape (b,) each, int64, at least 0.

    References
    ----------
    Pearson (1911), On the probability that two independent distributions of frequency are really samples from the same
    population, Biometrika 8.
    """
    table = np.stack(_occupied(reference, current)).astype(np.float64)
    degrees = table.shape[1] - 1
    if not degrees:
        return ChiSquare(0.0, 0, 1.0)
    expected = table.sum(axis=1, keepdims=True) * table.sum(axis=0, keepdims=True) / table.sum()
    statistic = float(((table - expected) ** 2 / expected).sum())
    return ChiSquare(statistic, degrees, float(chdtrc(degrees, statistic)))


def kolmogorov_smirnov(reference_values: Floats, current_values: Floats) -> KolmogorovSmirnov:
    """Return the two-sided two-sample test of values, shapes (n,) and (m,): NaN is ignored, infinities are ordered.

    The p-value is exact up to 10,000 values on each side, and conservative if values repeat.

    Raises
    ------
    ValueError
        A side has no value.
    """
    from scipy import stats  # its import takes as long as a window's count, and few windows ask for this

    result = stats.ks_2samp(*(_some(values[~np.isnan(values)]) for values in (reference_values, current_values)))
    return KolmogorovSmirnov(float(result.statistic), float(result.pvalue))


def wasserstein(reference_values: Floats, current_values: Floats) -> float:
    """Return the earth mover's distance of values, shapes (n,) and (m,), in their unit: NaN and infinities are ignored.

    Raises
    ------
    ValueError
        A side has no finite value.
    """
    from scipy import stats  # as above

    finite = [_some(values[np.isfinite(values)]) for values in (reference_values, current_values)]
    # Scaled by the largest value: distances between numbers near the largest float would overflow.
    largest = max(float(np.abs(values).max()) for values in finite) or 1.0
    return float(stats.wasserstein_distance(*(values / largest for values in finite))) * largest


def _occupied(reference: Counts, current: Counts) -> tuple[Counts, Counts]:
    if reference.ndim != 1 or reference.shape != current.shape:
        raise ValueError(f"expected counts of the same bins, found shapes {reference.shape} and {current.shape}")
    for side, counts in (("reference", reference), ("current", current)):
        if (counts < 0).any() or not counts.any():
            raise ValueError(f"expected counts of at least one row, found {counts.tolist()} as {side} counts")
    occupied = (reference > 0) | (current > 0)
    return reference[occupied], current[occupied]


def _shares(reference: Counts, current: Counts) -> tuple[Floats, Floats]:
    return reference / reference.sum(), current / current.sum()


def _some(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    if not len(values):
        raise ValueError("expected at least one value on each side, found none; do not compute this distance")
    return values
