from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.drift.counts import WindowCounts, all_counts, frame_counts, merged, missing_share, other_share
from core.drift.profile import (
    BinnedProfile,
    ColumnProfile,
    LevelProfile,
    date_profile,
    feature_profiles,
    level_profile,
    number_profile,
)
from core.feature_contract import FeatureContract
from tests.core.samples import credit_frame, task_config, task_contract

REFERENCE: tuple[ColumnProfile, ...] = (
    number_profile("income", np.random.default_rng(1).normal(size=500)),
    date_profile("joined", pd.Series(pd.date_range("2024-01-01", periods=400, freq="h", unit="us"))),
    level_profile("region", pd.Series(["north"] * 3 + ["south"] * 2 + ["west"])),
)
MIXED = [np.nan, -np.inf, np.inf, 0.0, -0.0, 1.5, -2.5, 1e300]

numbers = st.sampled_from(MIXED) | st.floats(allow_nan=True, width=64)
dates = st.none() | st.datetimes(datetime(1900, 1, 1), datetime(2100, 1, 1))
levels = st.none() | st.sampled_from(["north", "south", "west", "east", "", "</script>"])
rows = st.lists(st.tuples(numbers, dates, levels), max_size=60)
Row = tuple[float, datetime | None, str | None]


def counted(part: list[Row]) -> WindowCounts:
    """Count rows as they come from a file: numbers with NaN, microseconds, a dictionary of the piece's own."""
    counts = WindowCounts(REFERENCE)
    counts.add_numbers("income", np.array([row[0] for row in part], dtype="float64"))
    moments = np.array([row[1] for row in part if row[1] is not None], dtype="datetime64[us]").astype("int64")
    counts.add_dates("joined", moments, len(part) - len(moments))
    texts = [row[2] for row in part if row[2] is not None]
    dictionary = sorted(set(texts), reverse=True)
    codes = np.array([dictionary.index(text) for text in texts], dtype="int32")
    counts.add_levels("region", codes, dictionary, len(part) - len(texts))
    return counts


@given(rows, st.lists(st.integers(0, 60), max_size=4), st.randoms())
def test_parts_in_any_order_merge_to_one_pass(every: list[Row], cuts: list[int], order: Any) -> None:
    """Cut anywhere, counted apart and merged in any order, the profiles equal those of one pass, bit by bit."""
    places = [0, *sorted(min(cut, len(every)) for cut in cuts), len(every)]
    parts = [every[start:end] for start, end in pairwise(places)]
    order.shuffle(parts)
    whole = counted(every)
    total = WindowCounts(REFERENCE)
    for part in parts:
        total.merge(counted(part))
    assert total.columns() == whole.columns()
    assert repr(total.columns()) == repr(whole.columns())
    assert total.n_rows == whole.n_rows == len(every)
    for place, column in enumerate(whole.columns()):
        profiles = [counted(part).columns()[place] for part in parts]
        found = profiles[0]
        for profile in profiles[1:]:
            found = merged(found, profile)
        assert found == column


@given(rows)
def test_every_row_is_counted_once_per_column(every: list[Row]) -> None:
    """Whatever the values, the counts of a column sum to the rows, and what is missing is counted as missing."""
    income, joined, region = counted(every).columns()
    assert {int(all_counts(column).sum()) for column in (income, joined, region)} == {len(every)}
    assert income.missing == sum(np.isnan(row[0]) for row in every)
    assert joined.missing == sum(row[1] is None for row in every)
    assert region.missing == sum(row[2] is None for row in every)
    assert isinstance(region, LevelProfile)
    assert region.other == sum(row[2] in ("east", "", "</script>") for row in every)


def test_counting_the_reference_again_gives_its_counts() -> None:
    """The rows a profile was made of fall into its bins as they did then, least and greatest values included."""
    generator = np.random.default_rng(3)
    values = np.where(generator.random(1_000) < 0.1, np.nan, generator.lognormal(size=1_000))
    moments = pd.Series(pd.date_range("2024-01-01", periods=1_000, freq="37min", unit="us"))
    income, joined = number_profile("income", values), date_profile("joined", moments)
    counts = WindowCounts([income, joined])
    counts.add_numbers("income", values)
    counts.add_dates("joined", moments.to_numpy("datetime64[us]").astype("int64"), 0)
    assert counts.columns() == (replace(income, mean=None, std=None), joined)


def test_values_at_an_edge_fall_into_the_bin_above() -> None:
    """Bins are open to the right and the outer ones reach to infinity."""
    reference = BinnedProfile("x", "numeric", (1.0, 2.0), (1, 1, 1), 0, 0.0, 2.0)
    counts = WindowCounts([reference])
    counts.add_numbers("x", np.array([-np.inf, 0.0, 1.0, 1.9, 2.0, np.inf, np.nan]))
    assert counts.columns() == (BinnedProfile("x", "numeric", (1.0, 2.0), (2, 2, 2), 1, 0.0, 2.0),)


@pytest.mark.parametrize("values", [[np.nan, np.nan], [np.inf], []])
def test_a_column_without_finite_values_has_no_extremes(values: list[float]) -> None:
    """Where there is no finite value there is no least and no greatest one, and nothing warns."""
    counts = WindowCounts([REFERENCE[0]])
    counts.add_numbers("income", np.array(values))
    (found,) = counts.columns()
    assert isinstance(found, BinnedProfile)
    assert (found.minimum, found.maximum) == (None, None)


def test_a_column_without_bins_of_its_own_is_counted() -> None:
    """A reference that was all null or constant has one bin; a window's values fall into it."""
    empty = number_profile("x", np.array([np.nan]))
    none = level_profile("y", pd.Series([None], dtype="object"))
    counts = WindowCounts([empty, none])
    counts.add_numbers("x", np.array([1.0, np.nan]))
    counts.add_levels("y", np.array([0]), ["a"], 1)
    assert [all_counts(column).tolist() for column in counts.columns()] == [[1, 1], [1, 1]]


def test_shares_of_missing_and_other_rows() -> None:
    """Shares are of all rows; numbers have no other levels; without a row both are zero."""
    region = LevelProfile("region", "levels", ("north",), (5,), 3, 2)
    assert (missing_share(region), other_share(region)) == (0.2, 0.3)
    income = BinnedProfile("income", "numeric", (), (3,), 1, 0.0, 1.0)
    assert (missing_share(income), other_share(income)) == (0.25, None)
    nothing = replace(region, counts=(0,), other=0, missing=0)
    assert (missing_share(nothing), other_share(nothing)) == (0.0, 0.0)


@pytest.mark.parametrize(
    "other",
    [
        replace(REFERENCE[0], name="age"),
        BinnedProfile("income", "numeric", (1.0,), (0, 0), 0, None, None),
        LevelProfile("income", "levels", ("a",), (0,), 0, 0),
    ],
)
def test_other_bins_do_not_merge(other: ColumnProfile) -> None:
    """Counts over other bins, or of another column, are refused and change nothing."""
    with pytest.raises(ValueError, match="same bins"):
        merged(REFERENCE[0], other)
    counts = WindowCounts([REFERENCE[0]])
    with pytest.raises(ValueError, match="same bins"):
        counts.merge(WindowCounts([other]))
    assert counts.n_rows == 0


def test_a_column_left_out_is_noticed() -> None:
    """A piece whose rows were added to one column only cannot pass for a count of rows."""
    counts = WindowCounts(REFERENCE)
    counts.add_numbers("income", np.zeros(3))
    reads: tuple[Callable[[], Any], ...] = (lambda: counts.n_rows, counts.columns)
    for read in reads:
        with pytest.raises(ValueError, match="same number of rows"):
            read()


def test_a_name_that_stands_twice_is_refused() -> None:
    """Two profiles of one name would take each other's rows."""
    with pytest.raises(ValueError, match="one profile per column"):
        WindowCounts([REFERENCE[0], REFERENCE[0]])


def _contract() -> FeatureContract:
    return replace(task_contract(task_config("binary")), dates=("applied",))


def _frame(n: int, seed: int) -> pd.DataFrame:
    dates = pd.Series(pd.date_range("2024-01-01", periods=n, freq="h")).astype("datetime64[us]")
    return credit_frame(n, seed).assign(applied=dates.where(np.arange(n) % 7 > 0))


def test_the_reference_counted_again_is_the_reference() -> None:
    """Numbers, levels, booleans and dates fall where the profile put them."""
    frame = _frame(500, 1)
    reference = feature_profiles(frame, _contract())
    for profile, counted in zip(reference, frame_counts(reference, frame), strict=True):
        assert all_counts(counted).tolist() == all_counts(profile).tolist()


def test_other_rows_are_counted_in_the_same_bins() -> None:
    """Every row is counted once; an unknown level is other, an absent value missing."""
    reference = feature_profiles(_frame(500, 1), _contract())
    later = _frame(300, 2).assign(region="mars", income=np.nan)
    counted = {profile.name: profile for profile in frame_counts(reference, later)}
    assert all(all_counts(profile).sum() == 300 for profile in counted.values())
    assert all_counts(counted["region"])[-2:].tolist() == [300, 0]
    assert all_counts(counted["income"])[-1] == 300
