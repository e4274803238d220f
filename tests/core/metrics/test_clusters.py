"""Rows in clusters widen intervals by as much as they know less; independent rows hardly do."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from scipy.special import ndtri

from core.metrics.clusters import Clusters, DesignEffect, Grouping, design_effect, row_clusters, stretch
from core.metrics.clusters import stretched_interval as stretched
from core.metrics.metrics import Floats


def drawn(n_clusters: int, size: int, icc: float, seed: int) -> tuple[npt.NDArray[np.intp], Floats]:
    """Draw values with a given intraclass correlation, in clusters of about one size."""
    rng = np.random.default_rng(seed)
    codes = np.repeat(np.arange(n_clusters), rng.poisson(size, n_clusters) + 1)
    return codes, np.sqrt(icc) * rng.normal(size=n_clusters)[codes] + np.sqrt(1 - icc) * rng.normal(size=len(codes))


def grouped(codes: npt.NDArray[np.intp], *, unit: bool = False, by_differences: bool = False) -> Clusters:
    """Put the codes into a grouping by key, or by day."""
    return Clusters((Grouping("booked", "day" if unit else "", codes),), by_differences)


@pytest.mark.parametrize(("unit", "by_differences"), [(False, False), (True, False), (True, True)])
def test_the_effect_is_that_of_the_intraclass_correlation(unit: bool, by_differences: bool) -> None:
    """Kish's 1 + (m - 1) ICC, for a key, joined periods and successive differences."""
    effects = []
    for seed in range(30):
        codes, values = drawn(200, 20, 0.3, seed)
        found = design_effect(values - values.mean(), grouped(codes, unit=unit, by_differences=by_differences))
        assert found is not None
        assert found.n_clusters <= 200
        effects.append(found.effect)
    size = 21 + 20 / 21
    assert np.mean(effects) == pytest.approx(1 + (size - 1) * 0.3, rel=0.08)


def test_a_sample_of_the_rows_gives_the_effect_of_all_rows() -> None:
    """With half of the rows, clusters are half as large; the effect is that of all rows."""
    codes, values = drawn(400, 30, 0.2, 3)
    whole = design_effect(values - values.mean(), grouped(codes))
    half = np.random.default_rng(0).random(len(codes)) < 0.5
    part = design_effect(values[half] - values[half].mean(), grouped(codes).take(half), share=0.5)
    assert whole is not None
    assert part is not None
    assert part.effect == pytest.approx(whole.effect, rel=0.1)
    assert part.icc == pytest.approx(0.2, abs=0.05)


@pytest.mark.parametrize("icc", [0.0, 0.03, 0.3])
@pytest.mark.parametrize(("unit", "by_differences"), [(False, False), (True, False), (True, True)])
def test_intervals_cover_whether_rows_are_clustered_or_not(unit: bool, by_differences: bool, icc: float) -> None:
    """H0: the mean is 0. At 95 % confidence about 5 % of 400 samples of 15 days reject it, not up to 70 %."""
    plain, robust = 0, 0
    for seed in range(400):
        codes, values = drawn(15, 60, icc, seed)
        influence = values - values.mean()
        effect = design_effect(influence, grouped(codes, unit=unit, by_differences=by_differences))
        error = np.sqrt((influence**2).sum()) / len(values)
        factor = 1.0 if effect is None else stretch(effect, np.inf, 0.95)
        plain += abs(values.mean()) > ndtri(0.975) * error
        robust += abs(values.mean()) > ndtri(0.975) * error * factor
    assert robust / 400 < 0.095
    assert icc == 0 or plain / 400 > 0.15 + icc


def test_independent_rows_keep_their_intervals() -> None:
    """With a hundred clusters and no correlation, intervals are 2 % wider on average."""
    factors = []
    for seed in range(200):
        codes, values = drawn(100, 10, 0.0, seed)
        found = design_effect(values - values.mean(), grouped(codes))
        factors.append(1.0 if found is None else stretch(found, np.inf, 0.95))
    assert np.mean(factors) < 1.03
    assert np.median(factors) == 1.0


def test_a_step_within_the_window_is_no_variation_between_days() -> None:
    """The monitor compares successive days, so drift that begins in mid-window does not widen its own interval."""
    codes, values = drawn(20, 50, 0.0, 1)
    step = values + (codes >= 10)
    by_sums = design_effect(step - step.mean(), grouped(codes))
    by_steps = design_effect(step - step.mean(), grouped(codes, unit=True, by_differences=True))
    assert by_sums is not None
    assert by_sums.effect > 8
    assert by_steps is None or by_steps.effect < 2


def test_correlated_days_are_joined() -> None:
    """Days of an autoregressive world are joined to blocks, whose variance is larger than that of single days."""
    rng = np.random.default_rng(5)
    level = np.zeros(200)
    for day in range(1, 200):
        level[day] = 0.9 * level[day - 1] + rng.normal()
    codes = np.repeat(np.arange(200), 10)
    values = level[codes] + rng.normal(size=2_000)
    joined = design_effect(values - values.mean(), grouped(codes, unit=True))
    single = design_effect(values - values.mean(), grouped(codes))
    assert joined is not None
    assert single is not None
    assert joined.effect > 3 * single.effect
    assert joined.clusters.startswith("blocks of ")
    assert joined.clusters.endswith("days of booked")


def test_key_and_days_add_up() -> None:
    """Rows of one customer and of one day resemble each other: both excesses count."""
    rng = np.random.default_rng(2)
    days, customers = rng.integers(0, 60, 6_000), rng.integers(0, 300, 6_000)
    values = 0.5 * rng.normal(size=60)[days] + 0.5 * rng.normal(size=300)[customers] + rng.normal(size=6_000)
    influence = values - values.mean()
    groupings = (Grouping("customer", "", customers), Grouping("booked", "day", days))
    both = design_effect(influence, Clusters(groupings))
    parts = [design_effect(influence, Clusters((one,))) for one in groupings]
    assert both is not None
    assert both.effect == pytest.approx(1 + sum(one.effect - 1 for one in parts if one))
    assert both.clusters == "customer and days of booked"


def test_clusters_come_from_the_key_and_the_time() -> None:
    """Days; hours where there are fewer than ten days; rows without a value stand alone."""
    times = pd.Series(pd.date_range("2026-01-01", periods=400, freq="2h").astype("datetime64[us]"))
    frame = pd.DataFrame({"customer": [f"c{place % 40}" for place in range(400)], "at": times})
    frame.loc[:2, "customer"] = None
    frame.loc[3, "at"] = pd.NaT
    key, period = row_clusters(frame, "customer", "at").groupings
    assert (key.label, key.codes.max()) == ("customer", 42)
    assert len({int(code) for code in key.codes[:3]} | {int(key.codes[40])}) == 4
    assert (period.label, period.codes[0], period.codes[12], period.codes.max()) == ("days of at", 0, 1, 34)
    brief = frame.assign(at=pd.Series(pd.date_range("2026-01-01", periods=400, freq="5min").astype("datetime64[us]")))
    assert row_clusters(brief, None, "at").groupings[0].label == "hours of at"


@pytest.mark.parametrize(
    "frame",
    [
        pd.DataFrame({"customer": range(400)}),
        pd.DataFrame({"customer": [place % 5 for place in range(400)]}),
        pd.DataFrame({"at": pd.Series([pd.Timestamp("2026-01-01")] * 400)}),
        pd.DataFrame({"other": range(400)}),
        pd.DataFrame({"customer": [], "at": pd.Series([], dtype="datetime64[us]")}),
    ],
)
def test_rows_without_repeats_have_no_clusters(frame: pd.DataFrame) -> None:
    """A unique key, five customers, a single day, other columns and no rows give none."""
    assert row_clusters(frame, "customer", "at").groupings == ()


def test_rows_of_equal_influence_have_no_effect() -> None:
    """Without variation there is nothing to widen."""
    codes, _ = drawn(20, 20, 0.0, 0)
    assert design_effect(np.zeros(len(codes)), grouped(codes)) is None
    assert design_effect(np.zeros(len(codes)), None) is None


def test_ends_stay_within_the_bounds_of_a_metric() -> None:
    """On the metric's own scale; a value at its bound is widened to one side."""
    assert stretched(0.02, (0.01, 0.04), 3, "unit")[0] > 0
    assert stretched(1.0, (0.98, 1.0), 3, "unit") == pytest.approx((0.94, 1.0))
    assert stretched(0.2, (0.1, 0.3), 5, "positive")[0] > 0
    assert stretched(0.9, (0.8, 0.99), 2, "below_one")[1] < 1
    assert stretched(0.5, (0.4, 0.6), 1, "unit") == pytest.approx((0.4, 0.6))


def test_the_sentence_has_the_numbers() -> None:
    """What the clusters are, how alike their rows are, and what that costs."""
    effect = DesignEffect("customer", 0.312, 4.213, 120, 100.0)
    assert effect.sentence == (
        "rows come in clusters of customer (ICC 0.31, design effect 4.2): intervals are wider by 2.05"
    )
