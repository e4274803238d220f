"""Chance is measured here too: samples without drift are drawn, with seeds, and alarms counted."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.special import chdtrc, chdtri, fdtrc, fdtri, gammaincc, gammainccinv

from core.drift.divergence import Counts, Floats, psi
from core.drift.profile import bin_counts, number_profile
from core.drift.psi_null import PsiTest, chance_beyond, psi_critical, psi_test

DECILES = np.full(10, 0.1)
ZIPF = 1 / np.arange(1, 51) / (1 / np.arange(1, 51)).sum()
SQUARED_ZIPF = ZIPF**2 / (ZIPF**2).sum()
TENTH = np.array([0.9, 0.1])
HALF_MISSING = np.array([0.05] * 10 + [0.5])


def quiet_tests(shares: Floats, n: int, m: int, windows: int, alpha: float) -> list[PsiTest]:
    """Test windows of m rows against references of n rows with the same shares."""
    rng = np.random.default_rng(11)
    return [psi_test(rng.multinomial(n, shares), rng.multinomial(m, shares), alpha, seed) for seed in range(windows)]


def test_the_critical_value_by_hand() -> None:
    """Ten bins, 50,000 and 1,000 rows, one percent: chi-square's 21.666 on nine degrees, times 0.00102."""
    assert psi_critical(50_000, 1000, 10, 0.01) == pytest.approx(21.665994333461924 * 0.00102, abs=1e-12)
    assert psi_critical(1000, 50_000, 10, 0.01) == psi_critical(50_000, 1000, 10, 0.01)


def test_large_counts_are_tested_by_chi_square() -> None:
    """Where each bin expects at least 100 rows, PSI over (1/n + 1/m) is held against chi-square."""
    reference, current = np.array([5000, 3000, 2000]), np.array([450, 330, 220])
    found = psi_test(reference, current, 0.01, 0)
    expected = stats.chi2.sf(psi(reference, current) / (1 / 10_000 + 1 / 1000), 2)
    assert found.method == "chi-square"
    assert (found.psi, found.p_value) == pytest.approx((psi(reference, current), expected), abs=1e-12)
    assert found.critical == psi_critical(10_000, 1000, 3, 0.01)


def test_small_counts_are_tested_by_the_exact_distribution() -> None:
    """Two bins: the simulated p-value is the sum of the hypergeometric probabilities of tables at least as far."""
    reference, current = np.array([90, 10]), np.array([28, 12])
    tables = [np.array([40 - few, few]) for few in range(23)]
    pooled = reference + current
    far = [psi(pooled - table, table) >= psi(reference, current) - 1e-12 for table in tables]
    chances = stats.hypergeom.pmf(range(23), 140, 22, 40)
    exact = float(chances[far].sum())
    found = [psi_test(reference, current, 1e-5, seed) for seed in range(40)]
    assert {test.method for test in found} == {"simulated"}
    assert np.mean([test.p_value for test in found]) == pytest.approx(exact, rel=0.15)


@pytest.mark.parametrize(
    ("shares", "m"),
    [(DECILES, 100), (TENTH, 100), (ZIPF, 200), (SQUARED_ZIPF, 1000), (HALF_MISSING, 200), (DECILES, 1000)],
)
def test_without_drift_alarms_are_as_rare_as_asked(shares: Floats, m: int) -> None:
    """At a level of 2 % no more of 400 quiet windows are beyond the critical value than chance explains."""
    found = quiet_tests(shares, 5000, m, 400, 0.02)
    alarms = sum(test.p_value <= 0.02 for test in found)
    assert stats.binomtest(alarms, 400, 0.02, alternative="greater").pvalue > 0.001
    assert alarms == sum(test.psi > test.critical for test in found)


@pytest.mark.parametrize("share", [0.02, 0.1, 0.3, 0.5])
def test_chance_is_never_taken_for_rarer_than_it_is(share: float) -> None:
    """Over all tables of 30 and 20 rows in two bins, p-values up to a level have at most the probability it names."""
    tables = [(few, other) for few in range(31) for other in range(21)]
    p_values = [psi_test(np.array([30 - a, a]), np.array([20 - b, b]), 0.05, 0).p_value for a, b in tables]
    chances = [stats.binom.pmf(a, 30, share) * stats.binom.pmf(b, 20, share) for a, b in tables]
    for level in (0.2, 0.05, 0.01, 0.001):
        assert sum(chance for chance, p in zip(chances, p_values, strict=True) if p <= level) <= level


def test_chi_square_alone_would_be_wrong_where_rows_are_few() -> None:
    """Of 10 expected rows 1 is found: by chi-square a case in 200,000, in truth one in 3,000."""
    reference, current = np.array([4500, 500]), np.array([99, 1])
    found = psi_test(reference, current, 1e-4, 0)
    assert stats.chi2.sf(found.psi / (1 / 5000 + 1 / 100), 1) < 5e-6
    assert found.p_value == pytest.approx(1 / 3000, rel=0.6)
    assert found.psi <= found.critical


def test_many_nearly_empty_bins_do_not_hide_drift() -> None:
    """Fifty levels, most of which expect less than a row: a shift that 49 degrees of freedom would hide is found."""
    rng = np.random.default_rng(5)
    reference = rng.multinomial(50_000, SQUARED_ZIPF)
    current = rng.multinomial(100, np.r_[0.35, 0.4, SQUARED_ZIPF[2:] / SQUARED_ZIPF[2:].sum() * 0.25])
    found = psi_test(reference, current, 2e-4, 0)
    assert found.p_value <= 2e-4
    assert found.psi > found.critical
    assert stats.chi2.sf(found.psi / (1 / 50_000 + 1 / 100), np.count_nonzero(reference) - 1) > 2e-4


def test_real_drift_is_found_at_the_smallest_level_in_use() -> None:
    """Half a standard deviation over deciles of a profile is beyond chance in a window of 500 rows."""
    rng = np.random.default_rng(2)
    profile = number_profile("income", rng.normal(size=5000))
    current = np.array(bin_counts(rng.normal(0.5, 1, size=500), np.array(profile.edges)))
    found = psi_test(np.array(profile.counts), current, 0.005 / 25, 0)
    assert found.p_value <= 0.005 / 25
    assert found.psi > max(0.1, found.critical)


def test_plain_drift_needs_no_draws() -> None:
    """A tenth that became nine tenths has a bound on its p-value that no number of draws could reach."""
    found = psi_test(np.array([4500, 500]), np.array([20, 180]), 2e-4, 0)
    assert found.method == "simulated"
    assert found.p_value < 1e-100
    assert found.psi > found.critical


def test_a_level_that_draws_cannot_resolve_is_never_met_by_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """A level of 1e-15 ends after a bounded number of draws; what they leave open counts as chance."""
    monkeypatch.setattr("core.drift.psi_null.MOST_DRAWS", 5000)
    found = psi_test(np.array([4500, 500]), np.array([74, 26]), 1e-15, 0)
    assert 1 / 5001 <= found.p_value < 0.01
    assert found.critical >= found.psi


def test_the_same_seed_gives_the_same_answer() -> None:
    """A simulated test repeats exactly; another seed moves the p-value only within its own noise."""
    reference, current = np.array([450, 50]), np.array([80, 20])
    first, again, other = (psi_test(reference, current, 0.001, seed) for seed in (1, 1, 2))
    assert first == again
    assert first.psi == other.psi
    assert other.p_value == pytest.approx(first.p_value, rel=1)


@pytest.mark.parametrize(("reference", "current"), [((500,), (30,)), ((0, 500, 0), (0, 30, 0))])
def test_one_bin_is_no_evidence(reference: tuple[int, ...], current: tuple[int, ...]) -> None:
    """All rows of both sides in one bin: nothing can differ, at any number of rows."""
    found = psi_test(np.array(reference), np.array(current), 0.01, 0)
    assert found == PsiTest(0.0, 0.0, 1.0, "chi-square")


def test_a_wholly_new_level_is_drift() -> None:
    """No row in a bin of the reference: PSI is finite and beyond any chance."""
    found = psi_test(np.array([5000, 0]), np.array([0, 200]), 2e-4, 0)
    assert math.isfinite(found.psi)
    assert found.psi > found.critical
    assert found.p_value <= 2e-4


def test_a_single_row_is_no_drift() -> None:
    """One row, wherever it falls, is within chance."""
    current = np.zeros(10, dtype=np.int64)
    current[3] = 1
    found = psi_test(np.full(10, 500), current, 0.01, 0)
    assert found.psi <= found.critical
    assert found.p_value > 0.5


def test_one_new_row_among_billions_is_no_drift() -> None:
    """More rows than the sampler takes: chi-square decides, and one stray row is not drift."""
    found = psi_test(np.array([2 * 10**9, 0]), np.array([10**6, 1]), 2e-4, 0)
    assert found.method == "chi-square"
    assert found.psi < 0.001


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 300), st.integers(0, 300)), min_size=1, max_size=50),
    st.sampled_from([0.3, 0.01, 0.0002]),
)
def test_p_value_and_critical_value_tell_the_same(pairs: list[tuple[int, int]], alpha: float) -> None:
    """PSI beyond the critical value has a p-value of at most alpha, and the other way round."""
    reference, current = np.array([*pairs, (1, 1)], dtype=np.int64).T
    found = psi_test(reference, current, alpha, 0)
    assert 0 <= found.p_value <= 1
    assert found.psi == psi(reference, current)
    if found.psi > found.critical:
        assert found.p_value <= alpha
    if found.p_value <= alpha:
        assert found.psi >= found.critical


@pytest.mark.parametrize("alpha", [0.0, 1.0, -0.1, math.nan])
def test_an_impossible_level_is_refused(alpha: float) -> None:
    """A level outside 0 and 1 is an error, not an answer."""
    with pytest.raises(ValueError, match="expected alpha between 0 and 1"):
        psi_test(np.array([5, 5]), np.array([5, 5]), alpha, 0)


def test_sides_without_rows_are_refused() -> None:
    """An empty window is the caller's to judge."""
    nothing: Counts = np.array([0, 0])
    with pytest.raises(ValueError, match="at least one row"):
        psi_test(np.array([5, 5]), nothing, 0.01, 0)


@pytest.mark.parametrize(("shares", "m"), [(DECILES, 200), (TENTH, 200), (ZIPF, 500), (HALF_MISSING, 500)])
def test_probability_of_passing_a_threshold_is_an_upper_bound(shares: Floats, m: int) -> None:
    """Of 4,000 windows without drift no more pass the threshold than the probability allows."""
    rng = np.random.default_rng(17)
    reference = rng.multinomial(20_000, shares)
    values = np.array([psi(reference, rng.multinomial(m, shares)) for _ in range(4_000)])
    threshold = float(np.quantile(values, 0.995))
    allowed = [chance_beyond(reference, rng.multinomial(m, shares), threshold, seed) for seed in range(20)]
    assert min(allowed) >= 0.005
    far = chance_beyond(reference, rng.multinomial(m, shares), 4 * float(values.max()), 0)
    assert far <= 1e-3


def test_probability_of_passing_a_threshold_is_chi_square_of_a_lower_one() -> None:
    """With enough rows in every bin it is computed at 0.7 of the threshold; one bin never passes any."""
    counts = np.array([5_000, 5_000]), np.array([1_000, 1_000])
    expected = stats.chi2.sf(0.7 * 0.01 / (1 / 10_000 + 1 / 2_000), 1)
    assert chance_beyond(*counts, 0.01, 0) == pytest.approx(expected)
    assert chance_beyond(np.array([10, 0]), np.array([5, 0]), 0.1, 0) == 0.0


@pytest.mark.parametrize("degrees", [1, 2, 9.5, 300])
def test_the_special_functions_are_those_of_scipy_stats(degrees: float) -> None:
    """Chance is computed without the import of scipy.stats, which takes as long as a decision; no digit differs."""
    x, alpha = np.array([0.0, 1e-9, 0.3, 4.0, 80.0, 5e3]), np.array([1e-12, 2e-4, 0.3, 1 - 1e-9])
    assert (chdtrc(degrees, x) == stats.chi2.sf(x, degrees)).all()
    assert (chdtri(degrees, alpha) == stats.chi2.isf(alpha, degrees)).all()
    assert (gammaincc(degrees, x / 0.7) == stats.gamma.sf(x, degrees, scale=0.7)).all()
    assert (gammainccinv(degrees, alpha) * 0.7 == stats.gamma.isf(alpha, degrees, scale=0.7)).all()
    assert (fdtrc(degrees, 31.5, x) == stats.f.sf(x, degrees, 31.5)).all()
    assert (fdtri(degrees, 31.5, 1 - alpha) == stats.f.isf(alpha, degrees, 31.5)).all()
