from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.schema import Drift
from core.drift.columns import (
    ColumnDrift,
    Pair,
    Role,
    column_drifts,
    importance_shares,
    unused_drifts,
    weighted_holm,
)
from core.drift.counts import WindowCounts, all_counts
from core.drift.divergence import psi
from core.drift.profile import BinnedProfile, ColumnProfile, LevelProfile, date_profile, number_profile
from core.metrics.metrics import Floats

DRIFT = Drift()
LEVEL = (1 - DRIFT.confidence) / 2
SHARE = st.floats(1e-6, 1.0)


def levels(name: str, counts: dict[str, int], other: int = 0, missing: int = 0) -> LevelProfile:
    """Profile of named levels."""
    return LevelProfile(name, "levels", tuple(counts), tuple(counts.values()), other, missing)


def numbers(name: str, reference: Floats, current: Floats, role: Role = "feature") -> Pair:
    """Pair of a reference and a window of numbers over the same bins."""
    profile = number_profile(name, reference)
    counts = WindowCounts([profile])
    counts.add_numbers(name, current)
    return role, profile, counts.columns()[0]


def quiet_and_shifted(n_rows: int, shift: float = 1.0) -> list[Pair]:
    """Two quiet columns and one that moved by ``shift`` standard deviations."""
    generator = np.random.default_rng(5)
    moved = {"age": 0.0, "income": shift, "debt": 0.0}
    return [
        numbers(name, generator.normal(size=20_000), generator.normal(by, size=n_rows)) for name, by in moved.items()
    ]


def quiet_window(profiles: list[BinnedProfile], generator: np.random.Generator) -> list[Pair]:
    """Pairs of 100 standard normal rows."""
    counts = WindowCounts(profiles)
    for profile in profiles:
        counts.add_numbers(profile.name, generator.normal(size=100))
    return [("feature", *pair) for pair in zip(profiles, counts.columns(), strict=True)]


def by_name(found: tuple[ColumnDrift, ...]) -> dict[str, ColumnDrift]:
    """Columns by name."""
    return {column.name: column for column in found}


def test_a_constant_column_that_varies_is_reported() -> None:
    """What was one value has others now; while it is constant there is nothing to say."""
    constant = np.zeros(2_000)
    varied, quiet = (numbers("fee", constant, values, "unused") for values in (np.r_[constant, [1.5] * 500], constant))
    (found,) = unused_drifts([varied], DRIFT, 1)
    assert (found.drifted, found.importance, found.role) == (True, 0.0, "unused")
    assert found.remark == (
        "fee had one value in the training rows (0); now 20 % of the rows have others: it may be worth training with it"
    )
    assert [(one.drifted, one.remark) for one in unused_drifts([quiet], DRIFT, 1)] == [(False, "")]


def test_columns_that_are_not_features_take_no_error_probability_from_features() -> None:
    """The features' critical values are the same with and without fifty further columns."""
    pairs = quiet_and_shifted(500)
    generator = np.random.default_rng(2)
    more = [
        numbers(f"more {place}", generator.normal(size=900), generator.normal(size=300), "unused")
        for place in range(50)
    ]
    found = unused_drifts(more, DRIFT, 1)
    assert len(found) == 50
    assert not any(column.drifted for column in found)
    assert all(column.role != "unused" for column in column_drifts(pairs, {}, DRIFT, 1))


def test_the_column_that_moved_is_found() -> None:
    """Its PSI is above the bound and above chance; the others stay below what chance alone may reach."""
    found = by_name(column_drifts(quiet_and_shifted(2000), {"age": 0.1, "income": 0.3}, DRIFT, 1))
    assert [name for name, column in found.items() if column.drifted] == ["income"]
    income, age = found["income"], found["age"]
    assert income.psi > 0.5 > DRIFT.psi > income.critical > age.psi > 0
    assert income.p_value < LEVEL / 3 < age.p_value
    assert (income.importance, age.importance, found["debt"].importance) == pytest.approx((0.75, 0.25, 0.0))
    assert (income.n_reference, income.n_current, income.kind, income.role) == (20_000, 2000, "numeric", "feature")
    assert 0 < age.jensen_shannon < income.jensen_shannon < 1
    assert 0 < age.hellinger < income.hellinger < 1
    assert income.chi_square.degrees == 9


def test_a_large_psi_that_may_be_chance_is_no_drift() -> None:
    """At 60 rows ten bins reach PSI 0.1 without any drift."""
    generator = np.random.default_rng(3)
    found = column_drifts([numbers("age", generator.normal(size=5000), generator.normal(size=60))], {}, DRIFT, 1)
    assert found[0].psi > DRIFT.psi
    assert found[0].critical > found[0].psi
    assert not found[0].drifted


def test_a_small_psi_beyond_chance_is_no_drift() -> None:
    """At a million rows a tenth of a standard deviation is certain, and still small."""
    generator = np.random.default_rng(3)
    pair = numbers("age", generator.normal(size=50_000), generator.normal(0.1, size=1_000_000))
    found = column_drifts([pair], {}, DRIFT, 1)[0]
    assert found.p_value < 1e-20
    assert DRIFT.psi > found.psi > found.critical
    assert not found.drifted
    assert column_drifts([pair], {}, Drift(psi=0.005), 1)[0].drifted


def test_quiet_windows_raise_no_alarm() -> None:
    """Of 100 windows of 100 rows most have a PSI above the bound in one of ten columns; 0.5 % alarms are allowed."""
    generator = np.random.default_rng(11)
    profiles = [number_profile(f"x{i}", generator.normal(size=5000)) for i in range(10)]
    found = [column_drifts(quiet_window(profiles, generator), {}, DRIFT, 1) for _ in range(100)]
    assert sum(any(column.psi > DRIFT.psi for column in window) for window in found) > 75
    # More than 3 have a probability of 1 in 600 at a rate of 0.5 %.
    assert sum(any(column.drifted for column in window) for window in found) <= 3


def test_importance_makes_a_column_easier_to_find() -> None:
    """The column that the champion leans on is held against a larger level, one it ignores against a smaller."""
    pairs = quiet_and_shifted(1000, 0.0)
    critical = {
        name: by_name(column_drifts(pairs, weights, DRIFT, 1))["income"].critical
        for name, weights in {"all": {"income": 1.0}, "same": {}, "none": {"age": 1.0}}.items()
    }
    assert critical["all"] < critical["same"] < critical["none"]


def test_target_and_prediction_carry_no_importance() -> None:
    """They are judged like an average feature."""
    pairs = quiet_and_shifted(1000, 0.0)
    as_roles: list[Pair] = [("target", *pairs[0][1:]), ("prediction", *pairs[1][1:]), pairs[2]]
    found = column_drifts(as_roles, {"debt": 0.2}, DRIFT, 1)
    assert [(column.role, column.importance) for column in found] == [
        ("target", 0.0),
        ("prediction", 0.0),
        ("feature", 1.0),
    ]
    assert found[0].critical == column_drifts(pairs, {}, DRIFT, 1)[0].critical


def test_a_column_that_a_later_step_rejects_is_above_the_critical_value_it_is_shown_with() -> None:
    """Holm's second step asks for less than the first, and so does the value that could be chance."""
    reference = levels("region", {"a": 50_000, "b": 50_000})
    blatant = replace(reference, counts=(900, 100))
    # With two columns the first step's level is 0.0025, the second's 0.005.
    slight = replace(reference, name="owner", counts=(545, 455))
    pairs: list[Pair] = [("feature", reference, blatant), ("feature", replace(reference, name="owner"), slight)]
    drift = Drift(psi=1e-6)
    alone, both = column_drifts(pairs[1:], {}, drift, 1)[0], column_drifts(pairs, {}, drift, 1)
    assert LEVEL / 2 < alone.p_value < LEVEL
    assert [column.drifted for column in both] == [True, True]
    assert both[1].psi > both[1].critical == alone.critical


def test_what_has_no_rows_is_left_out() -> None:
    """An empty window has no columns, a target that nobody knows yet is no column."""
    reference = levels("region", {"a": 500, "b": 300})
    target = levels("target", {"0": 700, "1": 100})
    unknown = levels("target", {"0": 0, "1": 0}, missing=400)
    assert column_drifts([("feature", reference, levels("region", {"a": 0, "b": 0}))], {}, DRIFT, 1) == ()
    assert column_drifts([], {}, DRIFT, 1) == ()
    pairs: list[Pair] = [
        ("feature", reference, levels("region", {"a": 250, "b": 150})),
        ("target", target, unknown),
    ]
    assert [column.name for column in column_drifts(pairs, {}, DRIFT, 1)] == ["region"]


def test_labels_that_are_not_known_yet_are_no_drift() -> None:
    """Of the target, only rows that have one are judged; a feature that loses values drifts."""
    before, now = levels("y", {"0": 5000, "1": 1000}), levels("y", {"0": 500, "1": 100}, missing=2000)
    target = column_drifts([("target", before, now)], {}, DRIFT, 1)[0]
    assert (target.psi, target.n_current, target.drifted) == (0.0, 600, False)
    assert target.missing == pytest.approx(2000 / 2600)
    feature = column_drifts([("feature", before, now)], {}, DRIFT, 1)[0]
    assert (feature.drifted, feature.n_current) == (True, 2600)
    assert feature.psi == psi(all_counts(before), all_counts(now))


def test_new_levels_are_counted() -> None:
    """Their share is beside the reference's; numbers have none."""
    before, now = levels("y", {"a": 900, "b": 100}), levels("y", {"a": 450, "b": 25}, other=25)
    found = column_drifts([("feature", before, now)], {}, DRIFT, 1)[0]
    assert (found.other, found.other_reference, found.drifted) == (0.05, 0.0, True)
    assert column_drifts(quiet_and_shifted(500), {}, DRIFT, 1)[0].other is None


def test_other_bins_are_refused() -> None:
    """Counts over other edges or levels cannot be compared."""
    role, reference, current = quiet_and_shifted(500)[0]
    assert isinstance(current, BinnedProfile)
    edges = tuple(float(edge) + 1 for edge in current.edges)
    with pytest.raises(ValueError, match="'age' over the reference's bins"):
        column_drifts([(role, reference, replace(current, edges=edges))], {}, DRIFT, 1)


@pytest.mark.parametrize(
    ("reference", "current", "remark"),
    [
        (
            number_profile("x", np.array([1.0, 2.0, 3.0, np.nan])),
            number_profile("x", np.full(9, np.nan)),
            "x has no value in this window (25 % in the reference)",
        ),
        (
            number_profile("x", np.full(9, np.nan)),
            number_profile("x", np.array([1.0, 2.0])),
            "x has values in this window, but none in the reference",
        ),
        (number_profile("x", np.full(9, np.nan)), number_profile("x", np.full(9, np.nan)), ""),
        (
            number_profile("x", np.arange(9.0)),
            number_profile("x", np.full(9, 20240101.0)),
            "every row has x = 20240101",
        ),
        (
            number_profile("x", np.arange(9.0)),
            number_profile("x", np.array([2.5, np.nan])),
            "every row that has a value has x = 2.5",
        ),
        (number_profile("x", np.full(9, 7.0)), number_profile("x", np.full(9, 7.0)), ""),
        (number_profile("x", np.full(9, 7.0)), number_profile("x", np.full(9, 8.0)), "every row has x = 8"),
        (number_profile("x", np.arange(9.0)), number_profile("x", np.full(9, np.inf)), ""),
        (levels("x", {"a": 5, "b": 4}), levels("x", {"a": 0, "b": 9}), "every row has x = b"),
        (
            levels("x", {"a": 5, "b": 4}),
            levels("x", {"a": 0, "b": 0}, other=9),
            "no value of x is a level of the reference",
        ),
        (
            levels("x", {"a": 5, "b": 4}, other=7),
            levels("x", {"a": 0, "b": 0}, other=9),
            "no value of x is one of the frequent levels of the reference",
        ),
        (levels("x", {"a": 5, "b": 4}), levels("x", {"a": 1, "b": 0}, other=9), ""),
        (
            levels("a\x1b[31m", {"<b>\n": 5, "b": 4}),
            levels("a\x1b[31m", {"<b>\n": 5, "b": 0}),
            r"every row has a\x1b[31m = <b>\n",
        ),
        (
            date_profile("x", pd.Series(pd.date_range("2024-01-01", periods=9))),
            date_profile("x", pd.Series(pd.to_datetime(["2024-02-01"] * 9))),
            "every row has x = 2024-02-01T00:00:00.000000",
        ),
    ],
)
def test_a_column_that_lost_itself_is_remarked_upon(
    reference: ColumnProfile, current: ColumnProfile, remark: str
) -> None:
    """No value, one value, only new values: in words, with what comes from the data made fit to read."""
    if isinstance(reference, BinnedProfile) and isinstance(current, BinnedProfile):
        one_bin = [0] * (len(reference.edges) + 1)
        one_bin[-1] = sum(current.counts)
        current = replace(current, edges=reference.edges, counts=tuple(one_bin))
    assert column_drifts([("feature", reference, current)], {}, DRIFT, 1)[0].remark == remark


def test_the_same_seed_gives_the_same_numbers() -> None:
    """Also where the null distribution is simulated, and whatever the order of the columns."""
    pairs = [*quiet_and_shifted(300), ("feature", levels("r", {"a": 995, "b": 5}), levels("r", {"a": 95, "b": 5}))]
    found = column_drifts(pairs, {}, DRIFT, 4)
    assert {"simulated"} <= {column.method for column in found}
    assert column_drifts(pairs, {}, DRIFT, 4) == found
    assert by_name(column_drifts(pairs[::-1], {}, DRIFT, 4)) == by_name(found)


def test_importance_is_shared_out() -> None:
    """Features that help nothing have none; where none helps, or none is known, all have the same."""
    assert importance_shares(["a", "b", "c"], {"a": 0.3, "b": 0.1, "z": 9.0}) == pytest.approx(
        {"a": 0.75, "b": 0.25, "c": 0.0}
    )
    assert importance_shares(["a", "b"], {"a": -0.3, "b": 0.0}) == {"a": 0.5, "b": 0.5}
    assert importance_shares([], {"a": 1.0}) == {}


def test_holm_rejects_step_by_step() -> None:
    """By hand, levels 0.05 times 1/4, 1/3, 1/2 and 1: the third fails, so the fourth is not asked."""
    rejected, levels_ = weighted_holm(np.array([0.04, 0.01, 0.03, 0.012]), np.ones(4), 0.05)
    assert rejected.tolist() == [False, True, False, True]
    assert levels_ == pytest.approx([0.05, 0.0125, 0.025, 0.05 / 3])


def test_weights_decide_who_comes_first() -> None:
    """By hand: 0.03/3 comes before 0.012/1 and is held against 0.05 x 3/4; the other then against all of 0.05."""
    rejected, levels_ = weighted_holm(np.array([0.012, 0.03]), np.array([1.0, 3.0]), 0.05)
    assert (rejected.tolist(), levels_.tolist()) == ([True, True], pytest.approx([0.05, 0.0375]))
    assert weighted_holm(np.array([0.012, 0.03]), np.array([3.0, 1.0]), 0.01)[0].tolist() == [False, False]


@given(st.lists(st.tuples(SHARE, SHARE), min_size=1, max_size=8), SHARE)
def test_holm_is_the_shortcut_of_the_closed_test(pairs: list[tuple[float, float]], level: float) -> None:
    """A hypothesis is rejected where the weighted Bonferroni test rejects every set of hypotheses it belongs to."""
    p_values, weights = (np.array(side) for side in zip(*pairs, strict=True))
    sets = [np.array([bool(place >> i & 1) for i in range(len(pairs))]) for place in range(1, 2 ** len(pairs))]
    kept = [
        chosen for chosen in sets if not (p_values[chosen] <= level * weights[chosen] / weights[chosen].sum()).any()
    ]
    closed = ~np.any(kept, axis=0) if kept else np.ones(len(pairs), dtype=bool)
    rejected, levels_ = weighted_holm(p_values, weights, level)
    close = np.isclose(p_values, levels_, rtol=1e-9)
    if not close.any():
        assert rejected.tolist() == closed.tolist()


def test_the_shares_of_classes_have_a_bound_of_their_own() -> None:
    """A default rate that rises from 10 to 17 % is a PSI of 0.04: no feature of ten bins would drift by it."""
    before, after = (
        LevelProfile("target", "levels", ("0", "1"), counts, 0, 0) for counts in ((9_000, 1_000), (830, 170))
    )
    as_target, as_feature = (
        column_drifts([(role, before, after)], {}, Drift(), seed=0)[0] for role in ("target", "feature")
    )
    assert as_target.psi == as_feature.psi == pytest.approx(0.044, abs=0.005)
    assert (as_target.drifted, as_target.bound) == (True, 0.02)
    assert (as_feature.drifted, as_feature.bound) == (False, 0.1)


def _classes(n_before: int, before: float, n_now: int, now: float) -> Pair:
    sides = [(n_before, round(before * n_before)), (n_now, round(now * n_now))]
    reference, current = (levels("target", {"no": rows - rare, "yes": rare}) for rows, rare in sides)
    return "target", reference, current


def test_rates_of_rare_classes_are_judged_by_their_ratio() -> None:
    """From 0.59 % to 0.89 % is a PSI of 0.001, far below the bound, and half as much again."""
    found = column_drifts([_classes(150_000, 0.0059, 297_115, 0.0089)], {}, Drift(), seed=0)[0]
    assert found.psi < 0.0015 < found.bound
    assert found.rate is not None
    assert found.rate.ratio == pytest.approx(1.508, abs=1e-3)
    assert found.rate.low > 1
    assert found.drifted


@pytest.mark.parametrize(("now", "n_now"), [(0.0069, 500_000), (0.0118, 400)])
def test_small_ratios_and_ratios_that_may_be_chance_are_no_drift(now: float, n_now: int) -> None:
    """A ratio of 1.17 is certain and small; a rate that doubled in 400 rows is three rows."""
    found = column_drifts([_classes(150_000, 0.0059, n_now, now)], {}, Drift(), seed=0)[0]
    assert not found.drifted
    if n_now > 1_000:
        assert found.rate is not None
        assert found.rate.low > 1


def _window_of_rates(reference: list[BinnedProfile], rate: float, generator: np.random.Generator) -> list[Pair]:
    target = levels("target", {"no": 49_705, "yes": 295})
    events = int(generator.binomial(10_000, rate))
    now = levels("target", {"no": 10_000 - events, "yes": events})
    counts = [generator.multinomial(10_000, [0.1] * 10) for _ in reference]
    now_features = [replace(one, counts=tuple(count.tolist())) for one, count in zip(reference, counts, strict=True)]
    features: list[Pair] = [("feature", one, now) for one, now in zip(reference, now_features, strict=True)]
    return [*features, ("target", target, now)]


def test_thresholds_that_chance_does_not_reach_leave_their_error_to_the_rates() -> None:
    """In windows of 10,000 rows a doubled rate is found among 10 features as often as alone; quiet ones stay quiet."""
    generator = np.random.default_rng(21)
    reference = [number_profile(f"x{i}", generator.normal(size=20_000)) for i in range(10)]
    doubled = [_window_of_rates(reference, 2 * 0.0059, generator) for _ in range(40)]
    together = [column_drifts(window, {}, DRIFT, 1)[-1].drifted for window in doubled]
    alone = [column_drifts(window[-1:], {}, DRIFT, 1)[0].drifted for window in doubled]
    assert together == alone
    assert np.mean(together) > 0.9
    quiet = [column_drifts(_window_of_rates(reference, 0.0059, generator), {}, DRIFT, 1) for _ in range(100)]
    # More than 3 have a probability of 1 in 600 at a rate of 0.5 %.
    assert sum(any(column.drifted for column in window) for window in quiet) <= 3
