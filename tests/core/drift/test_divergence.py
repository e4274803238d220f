"""Published numbers carry their source; `zero fill` is the share that their program gives to an empty bin."""

import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from scipy.spatial import distance
from sklearn.datasets import make_classification

from core.drift.divergence import (
    Counts,
    Floats,
    chi_square,
    hellinger,
    jensen_shannon,
    kolmogorov_smirnov,
    psi,
    psi_of_counts,
    wasserstein,
)

COUNTS = st.lists(st.tuples(st.integers(0, 1000), st.integers(0, 1000)), min_size=1, max_size=60).filter(
    lambda pairs: any(pair[0] for pair in pairs) and any(pair[1] for pair in pairs)
)


def counts(*values: int) -> Counts:
    """Rows per bin."""
    return np.array(values, dtype=np.int64)


def both(pairs: list[tuple[int, int]]) -> tuple[Counts, Counts]:
    """Two sides of drawn pairs."""
    reference, current = np.array(pairs, dtype=np.int64).T
    return reference, current


def psi_of_shares(p: npt.NDArray[np.float64], q: npt.NDArray[np.float64]) -> float:
    """PSI of shares, shape (b,) each, which sum to 1; infinite where a share is 0 on one side only."""
    occupied = (p > 0) | (q > 0)
    p, q = p[occupied], q[occupied]
    if not (p.all() and q.all()):
        return float("inf")
    return float(((p - q) * np.log(p / q)).sum())


@pytest.mark.parametrize(
    ("p", "q", "published", "tolerance"),
    [
        # demml/scouter, crates/scouter_drift/src/psi/monitor.rs, test_compute_psi_basic.
        ([0.3, 0.4, 0.3], [0.2, 0.4, 0.4], 0.06931471805599454, 1e-12),
        # ing-bank/popmon, test_comparisons.py: with its small constant in each bin, and without it.
        ([0.85, 0.05, 0.05, 0.05], [0.25, 0.25, 0.25, 0.25], 1.699815077214137, 0.00015),
        ([0.85, 0.05, 0.05, 0.05], [0.25, 0.25, 0.25, 0.25], 1.6999280064337297, 1e-12),
        # By hand.
        ([0.5, 0.3, 0.2], [0.4, 0.35, 0.25], 0.04117906668849437, 1e-12),
        ([0.5, 0.3, 0.2], [0.36, 0.36, 0.28], 0.08384764171341937, 1e-12),
        ([0.5, 0.5, 0.0], [0.25, 0.75, 0.0], 0.25 * math.log(3), 1e-12),
    ],
)
def test_psi_of_shares_is_the_published_number(
    p: list[float], q: list[float], published: float, tolerance: float
) -> None:
    """PSI of given shares is what others publish, and the same with the sides exchanged."""
    assert psi_of_shares(np.array(p), np.array(q)) == pytest.approx(published, abs=tolerance)
    assert psi_of_shares(np.array(q), np.array(p)) == pytest.approx(published, abs=tolerance)


def test_psi_of_shares_is_infinite_where_one_side_is_empty() -> None:
    """Without rows there is no half row: a bin that is empty on one side alone makes PSI infinite."""
    assert psi_of_shares(np.array([1.0, 0.0]), np.array([0.9, 0.1])) == math.inf


@pytest.mark.parametrize(
    ("reference", "current", "fill", "published", "tolerance"),
    [
        # evidentlyai/evidently, tests/multitest/metrics/data_drift.py: 3, 2, 2 against 1, 2, 3 is 2.93.
        ((0, 2, 1), (1, 1, 1), 1e-4, 2.9341472484810085, 1e-9),
        # strappy 0.0.3, tests/test_psi.py, x and y.
        ((6, 5), (5, 4), None, 0.00041, 1e-5),
        ((3, 2, 1, 1, 1, 1, 1, 1, 0), (3, 2, 1, 0, 1, 1, 0, 0, 1), 1e-6, 4.4372, 1e-4),
        ((3, 2, 1, 1, 1, 1, 1, 1, 0), (3, 2, 1, 0, 1, 1, 0, 0, 1), 1e-4, 2.66686, 1e-5),
        ((3, 2, 1, 1, 1, 1, 1, 1, 0), (3, 2, 1, 0, 1, 1, 0, 0, 1), 1e-3, 1.76755, 1e-5),
        # A new category; Evidently 0.7.23 agrees.
        ((60, 40, 0), (58, 38, 4), 1e-4, 0.24076333235087308, 1e-9),
    ],
)
def test_psi_of_counts_is_the_published_number(
    reference: tuple[int, ...], current: tuple[int, ...], fill: float | None, published: float, tolerance: float
) -> None:
    """Published values with empty bins come back with the zero fill they were made with."""
    found = psi(counts(*reference), counts(*current), fill)
    assert found == pytest.approx(published, abs=tolerance)


def test_psi_over_frozen_deciles_is_the_published_number() -> None:
    """Ten quantile bins of the reference give what feature-engine's tests expect (test_drop_high_psi_features.py)."""
    values, _ = make_classification(
        n_samples=1000,
        n_features=6,
        n_redundant=2,
        n_clusters_per_class=1,
        weights=[0.5],
        class_sep=2,
        random_state=1,
    )
    columns = np.column_stack([values, np.arange(1000)])
    expected = [
        0.043828484052281,
        0.040929870747665395,
        0.04330418495156895,
        0.03773286532548153,
        0.05047388515663041,
        0.014717735595712466,
        8.283089355027482,
    ]
    assert [_decile_psi(column[:500], column[500:]) for column in columns.T] == pytest.approx(expected, abs=1e-9)


def _decile_psi(reference: Floats, current: Floats) -> float:
    edges = np.quantile(reference, np.arange(1, 10) / 10)
    sides = [np.bincount(np.searchsorted(edges, side), minlength=10) for side in (reference, current)]
    return psi(sides[0], sides[1], zero_share=1e-4)


def test_an_empty_bin_counts_as_half_a_row() -> None:
    """A bin that is empty on one side has the share of half a row there: 0.5 of 50 rows against 10 of 100."""
    expected = (0.9 - 1) * math.log(0.9) + (0.1 - 0.01) * math.log(10)
    assert psi(counts(90, 10), counts(50, 0)) == pytest.approx(expected, abs=1e-12)


def test_an_empty_bin_that_expects_less_than_half_a_row_says_nothing() -> None:
    """One row in 1,000 need not show up among 100: the bin adds nothing to PSI."""
    assert psi(counts(999, 1), counts(100, 0)) == pytest.approx((0.999 - 1) * math.log(0.999), abs=1e-12)


def test_the_last_row_of_a_level_never_lowers_psi_by_leaving() -> None:
    """PSI rises while a level of 2 % dwindles, down to none, also in a window of a million rows."""
    reference = counts(49_000, 1_000)
    found = [psi(reference, counts(1_000_000 - left, left)) for left in (20_000, 1000, 100, 10, 1, 0)]
    assert found == sorted(found)
    fixed = [psi(reference, counts(1_000_000 - left, left), 1e-4) for left in (1, 0)]
    assert fixed[1] < fixed[0]


def test_bins_empty_on_both_sides_change_nothing() -> None:
    """Bins a profile keeps in reserve cost nothing in any measure over counts."""
    plain, reserve = (counts(5, 3), counts(4, 6)), (counts(5, 0, 3, 0), counts(4, 0, 6, 0))
    assert psi(*plain) == psi(*reserve)
    assert psi(*plain, 1e-4) == psi(*reserve, 1e-4)
    assert jensen_shannon(*plain) == jensen_shannon(*reserve)
    assert hellinger(*plain) == hellinger(*reserve)
    assert chi_square(*plain) == chi_square(*reserve)


def test_psi_of_many_pairs_is_the_psi_of_each() -> None:
    """Pairs of samples along the leading axes are measured one by one."""
    reference, current = counts(5, 3, 2), np.array([[4, 6, 0], [1, 1, 8]])
    expected = [psi(reference, current[0]), psi(reference, current[1])]
    assert psi_of_counts(np.stack([reference, reference]), current).tolist() == expected


@given(COUNTS)
def test_measures_agree_with_scipy(pairs: list[tuple[int, int]]) -> None:
    """Jensen–Shannon, Hellinger, PSI and chi-square are SciPy's numbers to 1e-9."""
    reference, current = both(pairs)
    p, q = reference / reference.sum(), current / current.sum()
    assert jensen_shannon(reference, current) == pytest.approx(distance.jensenshannon(p, q, base=2), abs=1e-7)
    assert jensen_shannon(reference, current) ** 2 == pytest.approx(distance.jensenshannon(p, q, base=2) ** 2, abs=1e-9)
    assert hellinger(reference, current) == pytest.approx(distance.euclidean(np.sqrt(p), np.sqrt(q)) / math.sqrt(2))
    occupied = (reference > 0) | (current > 0)
    table = stats.chi2_contingency(np.stack([reference, current])[:, occupied], correction=False)
    found = chi_square(reference, current)
    assert (found.statistic, found.degrees, found.p_value) == pytest.approx(
        (table.statistic, table.dof, table.pvalue), abs=1e-9
    )


@given(COUNTS)
def test_psi_is_the_sum_of_both_entropies(pairs: list[tuple[int, int]]) -> None:
    """PSI of bins that all have rows is SciPy's relative entropy in both directions, to 1e-9."""
    reference, current = both([(a + 1, b + 1) for a, b in pairs])
    p, q = reference / reference.sum(), current / current.sum()
    assert psi(reference, current) == pytest.approx(stats.entropy(p, q) + stats.entropy(q, p), abs=1e-9)
    assert psi(reference, current) == pytest.approx(psi_of_shares(p, q), abs=1e-12)


@given(COUNTS)
def test_distances_are_symmetric_and_bounded(pairs: list[tuple[int, int]]) -> None:
    """Exchanged sides give the same number; equal sides give 0; Jensen–Shannon and Hellinger stay within 0 and 1."""
    reference, current = both(pairs)
    assert psi(reference, current) == pytest.approx(psi(current, reference), abs=1e-12)
    assert psi(reference, current) >= 0
    assert psi(reference, reference) == jensen_shannon(reference, reference) == hellinger(reference, reference) == 0
    for measure in (jensen_shannon, hellinger):
        assert measure(reference, current) == pytest.approx(measure(current, reference), abs=1e-12)
        assert 0 <= measure(reference, current) <= 1 + 1e-12


def test_no_bin_in_common_is_the_largest_distance() -> None:
    """Jensen–Shannon and Hellinger are 1 where the sides have no bin in common."""
    assert jensen_shannon(counts(7, 0), counts(0, 3)) == pytest.approx(1, abs=1e-12)
    assert hellinger(counts(7, 0), counts(0, 3)) == pytest.approx(1, abs=1e-12)


def test_chi_square_and_hellinger_are_the_published_numbers() -> None:
    """A die thrown 88 times on each side gives what Evidently's tests expect (tests/stattests/test_stattests.py).

    Its chi-square takes the reference's shares as exact, which those of a million times as many rows nearly are.
    """
    reference, current = counts(16, 18, 16, 14, 12, 12), counts(16, 16, 16, 16, 16, 8)
    assert chi_square(reference * 1_000_000, current).p_value == pytest.approx(0.67309, abs=1e-5)
    assert hellinger(reference, current) == pytest.approx(0.06812, abs=1e-5)


def test_hellinger_of_normal_distributions_is_the_known_number() -> None:
    """N(0, 1) and N(-2, 1) are sqrt(1 - exp(-1/2)) apart, in NannyML's tests 0.63; so are their counts in fine bins."""
    edges = np.linspace(-8, 6, 1401)
    sides = [(np.diff(stats.norm.cdf(edges, mean)) * 1e12).astype(np.int64) for mean in (0, -2)]
    assert hellinger(sides[0], sides[1]) == pytest.approx(math.sqrt(1 - math.exp(-0.5)), abs=1e-4)


def test_one_wild_outlier_leaves_psi_over_frozen_deciles_as_it_was() -> None:
    """A shift of one standard deviation is 0.9315 with and without a value of a million; no shift is 0.00123."""
    rng = np.random.default_rng(0)
    reference, current = rng.normal(size=10_000), rng.normal(size=10_000)
    shifted = current + 1
    spoilt = np.r_[1e6, shifted[1:]]
    found = [_decile_psi(reference, side) for side in (current, shifted, spoilt)]
    assert found == pytest.approx([0.00123, 0.9315, 0.9315], abs=5e-5)


def test_jensen_shannon_is_the_published_number() -> None:
    """Letters abcd against abce are 0.5 apart, as in NannyML's tests (test_univariate_drift_methods.py)."""
    assert jensen_shannon(counts(1, 1, 1, 1, 0), counts(1, 1, 1, 0, 1)) == pytest.approx(0.5, abs=1e-12)


def test_chi_square_by_hand() -> None:
    """30 of 50 against 20 of 50: each of four cells is 5 off an expected 25, so the statistic is 4 on one degree."""
    found = chi_square(counts(30, 20), counts(20, 30))
    assert (found.statistic, found.degrees) == pytest.approx((4, 1), abs=1e-12)
    assert found.p_value == pytest.approx(0.04550026389635842, abs=1e-12)


def test_one_bin_is_no_evidence() -> None:
    """All rows in the same single bin: nothing differs and chi-square has nothing to test."""
    found = chi_square(counts(5, 0), counts(9, 0))
    assert (found.statistic, found.degrees, found.p_value) == (0, 0, 1)
    assert psi(counts(5, 0), counts(9, 0)) == 0


@pytest.mark.parametrize(
    ("x1", "x2", "statistic", "p_value"),
    [
        # scipy/stats/tests/test_stats.py, TestKSTwoSamples.
        ([0.0], [1.0], 1.0, 1.0),
        ([1.01, 2.01], [1.0, 2.0, 3.0], 1 / 3, 1.0),
        ([0.99, 1.99], [1.0, 2.0, 3.0], 2 / 3, 0.6),
        ([0.99, 1.99], [1.0, 2.0, 3.0, 4.0], 0.75, 0.4),
    ],
)
def test_kolmogorov_smirnov_is_the_published_number(
    x1: list[float], x2: list[float], statistic: float, p_value: float
) -> None:
    """Small samples give the exact statistics and p-values of SciPy's own tests."""
    found = kolmogorov_smirnov(np.array(x1), np.array(x2))
    assert (found.statistic, found.p_value) == pytest.approx((statistic, p_value), abs=1e-9)


@pytest.mark.parametrize(("n", "m"), [(50, 80), (5000, 9973), (20_000, 5000)])
def test_kolmogorov_smirnov_copes_with_any_sizes(n: int, m: int) -> None:
    """Exact and large-sample p-values alike come without a warning, also for far samples of awkward sizes."""
    rng = np.random.default_rng(3)
    x1, x2 = rng.normal(size=n), rng.normal(size=m) + 2
    expected = stats.ks_2samp(x1, x2)
    found = kolmogorov_smirnov(x1, x2)
    assert (found.statistic, found.p_value) == pytest.approx((expected.statistic, expected.pvalue), abs=1e-9)


def test_kolmogorov_smirnov_leaves_out_missing_values_and_orders_infinities() -> None:
    """NaN has no place in order and is left out; infinities are the least and the largest values."""
    without = kolmogorov_smirnov(np.array([-9.0, 1.0, 2.0]), np.array([1.5, 9.0]))
    assert kolmogorov_smirnov(np.array([-np.inf, 1, np.nan, 2]), np.array([1.5, np.inf])) == without


def test_wasserstein_by_hand() -> None:
    """Moving 0, 1, 3 to 5, 6, 8 moves each by 5; NaN and infinities are left out."""
    assert wasserstein(np.array([0.0, 1, 3]), np.array([5.0, 6, 8])) == pytest.approx(5, abs=1e-12)
    assert wasserstein(np.array([0.0, 1, 3, np.nan, -np.inf]), np.array([np.inf, 5.0, 6, 8])) == pytest.approx(
        5, abs=1e-12
    )


def test_wasserstein_agrees_with_scipy_and_nannyml() -> None:
    """Two normal samples are as far apart as SciPy says to 1e-9, and as NannyML's tests say to two decimals."""
    # tests/drift/test_univariate_drift_methods.py, with its generator.
    rng = np.random.RandomState(1)
    reference, current = rng.normal(0, 1, 10_000), rng.normal(1, 1, 1000)
    assert wasserstein(reference, current) == pytest.approx(stats.wasserstein_distance(reference, current), abs=1e-9)
    assert wasserstein(reference, current) == pytest.approx(1.01, abs=0.005)


def test_wasserstein_of_huge_and_of_equal_numbers() -> None:
    """Numbers near the largest a float holds do not overflow; zeros on both sides are no distance apart."""
    assert wasserstein(np.array([-8e307]), np.array([8e307])) == pytest.approx(1.6e308)
    assert wasserstein(np.array([0.0, 0.0]), np.array([0.0])) == 0


@pytest.mark.parametrize(
    ("reference", "current", "complaint"),
    [
        (counts(1, 2), counts(1, 2, 3), "the same bins"),
        (counts(0, 0), counts(1, 2), "as reference counts"),
        (counts(1, 2), counts(0, 0), "as current counts"),
        (counts(3, -1), counts(1, 2), "as reference counts"),
        (counts(), counts(), "at least one row"),
    ],
)
def test_counts_that_cannot_be_compared_are_refused(reference: Counts, current: Counts, complaint: str) -> None:
    """Other bins, no rows and negative counts are errors in every measure over counts."""
    for measure in (psi, jensen_shannon, hellinger, chi_square):
        with pytest.raises(ValueError, match=complaint):
            measure(reference, current)


def test_values_that_cannot_be_compared_are_refused() -> None:
    """A side without any usable value is an error that says not to compute the distance."""
    nothing, something = np.array([np.nan]), np.array([1.0])
    with pytest.raises(ValueError, match="do not compute this distance"):
        kolmogorov_smirnov(nothing, something)
    with pytest.raises(ValueError, match="do not compute this distance"):
        wasserstein(something, np.array([np.inf]))
