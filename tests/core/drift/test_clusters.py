"""Counts of clustered rows are compared with what chance does with clusters, not with independent rows."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest

from core.drift.clusters import bin_codes, cluster_note, column_effect
from core.drift.counts import all_counts, frame_counts
from core.drift.profile import ColumnProfile, level_profile, number_profile
from core.drift.psi_null import PsiTest, psi_test
from core.metrics.clusters import Clusters, DesignEffect, Grouping

LEVEL = 0.01


def days(codes: npt.NDArray[np.intp]) -> Clusters:
    """Group by day, as the monitor does."""
    return Clusters((Grouping("at", "day", codes),), by_differences=True)


def drawn(n_days: int, size: int, icc: float, rng: np.random.Generator) -> tuple[npt.NDArray[np.intp], pd.Series]:
    """Draw numbers with a common part by day."""
    codes = np.repeat(np.arange(n_days), size)
    values = np.sqrt(icc) * rng.normal(size=n_days)[codes] + np.sqrt(1 - icc) * rng.normal(size=len(codes))
    return codes, pd.Series(values, name="x")


def both_tests(profile: ColumnProfile, values: pd.Series, clusters: Clusters) -> tuple[PsiTest, PsiTest]:
    """Test a column with and without its design effect."""
    sides = all_counts(profile), all_counts(frame_counts([profile], values.to_frame())[0])
    effect = column_effect(profile, values, clusters)
    return psi_test(*sides, LEVEL, 0), psi_test(*sides, LEVEL, 0, effect)


def test_quiet_days_are_no_drift() -> None:
    """H0: no drift, ICC 0.1. At the level of 1 %, at most 3 % of 200 windows of 15 days are rejected, not a third."""
    found = []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        profile = number_profile("x", drawn(300, 80, 0.1, rng)[1].to_numpy())
        codes, values = drawn(15, 80, 0.1, rng)
        found.append([test.p_value <= LEVEL for test in both_tests(profile, values, days(codes))])
    plain, clustered = np.mean(found, axis=0)
    assert plain > 0.2
    assert clustered <= 0.03


def test_independent_rows_lose_no_power() -> None:
    """A shift of 0.35 standard deviations is found in independent rows of 20 days as often as without clusters."""
    found = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        profile = number_profile("x", drawn(300, 80, 0.0, rng)[1].to_numpy())
        codes, values = drawn(20, 50, 0.0, rng)
        plain, clustered = both_tests(profile, values + 0.35, days(codes))
        assert (clustered.p_value <= LEVEL) == (clustered.psi > clustered.critical)
        found.append([plain.p_value <= LEVEL, clustered.p_value <= LEVEL])
    assert np.mean(found, axis=0).tolist() == [1.0, 1.0]


def test_a_shift_within_the_window_is_found() -> None:
    """Drift that begins on the eighth of fifteen days is no variation from day to day."""
    rng = np.random.default_rng(4)
    profile = number_profile("x", drawn(300, 80, 0.0, rng)[1].to_numpy())
    codes, values = drawn(15, 80, 0.0, rng)
    _, clustered = both_tests(profile, values + 0.8 * (codes >= 7), days(codes))
    assert clustered.p_value < 1e-6


def test_a_column_that_is_constant_within_customers_has_their_size_as_effect() -> None:
    """Levels of 100 customers with ten rows each say as much as 100 rows."""
    rng = np.random.default_rng(1)
    customers = np.repeat(np.arange(100), 10)
    levels = rng.choice(["north", "south", "west"], 100, p=[0.5, 0.3, 0.2])[customers]
    profile = level_profile("region", pd.Series(levels))
    effect = column_effect(profile, pd.Series(levels), Clusters((Grouping("customer", "", customers),)))
    assert effect is not None
    assert effect.design.effect == pytest.approx(10, rel=0.05)
    assert effect.design.icc == pytest.approx(1, abs=0.05)
    assert effect.spread < 0.2


def test_labels_that_are_missing_are_left_out() -> None:
    """The target is compared on labelled rows; whether a day has labels is not its variation."""
    codes = np.repeat(np.arange(20), 50)
    labels = pd.Series(["yes" if code % 2 else None for code in codes]).astype(object)
    labels[np.arange(1_000) % 3 == 0] = "no"
    profile = level_profile("target", labels)
    assert column_effect(profile, labels, days(codes)) is not None
    only = column_effect(profile, labels[codes % 2 == 1], days(codes[codes % 2 == 1]), with_missing=False)
    assert column_effect(profile, labels.where(codes % 2 == 1), days(codes), with_missing=False) == only


@pytest.mark.parametrize("values", [[0.5, 1.0, 2.5, np.nan, np.inf, -np.inf, 2.0], [np.nan] * 7])
def test_codes_are_the_bins_of_the_counts(values: list[float]) -> None:
    """Each row is in the bin in which the window's pass counts it."""
    column = pd.Series(values, name="x", dtype="float64")
    profile = number_profile("x", np.arange(40) / 10)
    counts = all_counts(frame_counts([profile], column.to_frame())[0])
    assert np.bincount(bin_codes(profile, column), minlength=len(counts)).tolist() == counts.tolist()


def test_the_note_names_the_column_with_the_largest_effect() -> None:
    """One sentence on the columns, one on the performance; none without clusters."""
    codes = np.repeat(np.arange(60), 20)
    values = pd.Series(np.repeat(np.random.default_rng(0).normal(size=60), 20), dtype="float64")
    effect = column_effect(number_profile("x", np.asarray(values, dtype="float64")), values, days(codes))
    assert effect is not None
    rows = DesignEffect("days of at", 0.05, 1.9, 60, 30.0)
    note = cluster_note({"income": effect}, rows)
    assert note[0].startswith(
        "rows come in clusters of days of at, which matter for 1 column: chance explains a PSI up"
    )
    assert "(income, ICC " in note[0]
    assert note[1] == f"performance: {rows.sentence}"
    assert cluster_note({}, rows) == (rows.sentence,)
    assert cluster_note({}, None) == ()
