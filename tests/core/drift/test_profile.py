from __future__ import annotations

import json
from dataclasses import asdict
from datetime import datetime

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from core.drift.profile import (
    FORMS_AT_ONCE,
    BinnedProfile,
    LevelProfile,
    Profile,
    bin_counts,
    column_profile,
    date_profile,
    level_profile,
    number_profile,
    reference_profile,
    text_form,
    text_forms,
    unused_profile,
)
from core.metrics.metrics import Floats
from tests.core.samples import SAMPLES, credit_frame, task_config, task_contract
from tests.work import measured

numbers = arrays("float64", st.integers(0, 80), elements=st.floats(allow_nan=True, allow_infinity=True))
repeated_numbers = arrays("float64", st.integers(0, 80), elements=st.sampled_from([0.0, 1.0, 2.5, np.nan]))


@given(numbers | repeated_numbers)
def test_every_number_is_counted_once(values: Floats) -> None:
    """Counts and missing values sum to the rows, and edges are finite numbers that rise strictly."""
    found = number_profile("x", values)
    assert sum(found.counts) + found.missing == len(values)
    assert len(found.counts) == len(found.edges) + 1
    assert all(np.diff(np.array(found.edges, dtype="float64")) > 0)
    assert np.isfinite(np.array(found.edges, dtype="float64")).all()


@given(st.lists(st.none() | st.text(max_size=3)))
def test_every_text_is_counted_once(values: list[str | None]) -> None:
    """Counts, other and missing values sum to the rows."""
    found = level_profile("x", pd.Series(values, dtype="object"))
    assert sum(found.counts) + found.other + found.missing == len(values)
    assert found.missing == values.count(None)


@given(st.lists(st.none() | st.datetimes(datetime(1900, 1, 1), datetime(2100, 1, 1)), min_size=1))
def test_every_date_is_counted_once(values: list[datetime | None]) -> None:
    """Dates are binned to the microsecond and their edges can be read back."""
    column = pd.Series(values, dtype="datetime64[us]")
    found = date_profile("x", column)
    assert sum(found.counts) + found.missing == len(values)
    edges = np.array(found.edges, dtype="datetime64[us]")
    assert bin_counts(column.dropna().to_numpy(), edges) == found.counts


def test_bins_are_open_to_the_right() -> None:
    """A value equal to an edge belongs to the bin above it; the outer bins reach to infinity."""
    edges = np.array([1.0, 2.0])
    assert bin_counts(np.array([-np.inf, 0.9, 1.0, 1.9, 2.0, np.inf]), edges) == (2, 2, 2)
    expected = np.histogram([-1e9, 0.9, 1.0, 1.9, 2.0, 1e9], [-np.inf, 1, 2, np.inf])[0]
    assert tuple(expected) == (2, 2, 2)


def test_many_values_are_cut_at_the_deciles() -> None:
    """A thousand distinct numbers give ten bins of about a hundred, cut at values of the sample."""
    values = np.random.default_rng(1).normal(size=1_000)
    found = number_profile("x", values)
    assert found.edges == tuple(np.quantile(values, np.arange(1, 10) / 10, method="inverted_cdf"))
    assert all(abs(count - 100) <= 1 for count in found.counts)
    assert found.mean == pytest.approx(values.mean())
    assert found.std == pytest.approx(values.std(ddof=1))


def test_few_values_have_a_bin_each() -> None:
    """Small whole numbers are counted value by value; what lies between and beyond is empty in the reference."""
    found = number_profile("x", np.array([0.0, 0, 0, 1, 2, 2, np.nan] * 5))
    assert (found.counts, found.missing) == ((0, 15, 0, 5, 0, 10, 0), 5)
    strange = bin_counts(np.array([-1.0, 0.0, 0.5, 1.0, 2.0, 7.0]), np.array(found.edges))
    assert strange == (1, 1, 1, 1, 0, 1, 1)


@pytest.mark.parametrize("values", [np.zeros(50), np.append(np.zeros(950), np.arange(1.0, 51.0))])
def test_another_value_shows_beside_a_pile_of_equal_ones(values: Floats) -> None:
    """A constant column, and one that is nearly constant, tell zeros from all else."""
    found = number_profile("x", values)
    n_zeros = int((values == 0).sum())
    assert n_zeros in found.counts
    later = bin_counts(np.array([0.0, 0.0, 0.5, -3.0]), np.array(found.edges))
    assert (later[found.counts.index(n_zeros)], sum(later)) == (2, 4)


def test_dates_of_one_day_are_told_from_others() -> None:
    """The next microsecond is the next bin."""
    day = pd.Series([datetime(2024, 1, 1)] * 30, dtype="datetime64[us]")
    assert date_profile("x", day).counts == (0, 30, 0)


def test_few_different_rows_are_not_taken_for_few_values() -> None:
    """Ten different numbers may be ten of many: they are cut at deciles, which leave no bin empty."""
    found = number_profile("x", np.arange(10.0))
    assert all(found.counts)


def test_a_column_without_values_is_one_empty_bin() -> None:
    """Nothing but missing values is a distribution too."""
    assert number_profile("x", np.full(4, np.nan)) == BinnedProfile("x", "numeric", (), (0,), 4, None, None)
    assert date_profile("x", pd.Series([None] * 3, dtype="datetime64[us]")).missing == 3
    assert level_profile("x", pd.Series([None] * 3, dtype="str")) == LevelProfile("x", "levels", (), (), 0, 3)


def test_rare_levels_are_counted_together() -> None:
    """Fifty levels stand alone, by size and then by name; the others are one number. Every second row is counted."""
    values = pd.Series(np.repeat([f"r{number:02}" for number in range(60)], np.r_[10, np.full(59, 2)]))
    found = level_profile("x", values)
    assert found.levels == tuple(f"r{number:02}" for number in range(50))
    assert (found.counts[0], found.other) == (5, 10)


def test_the_choice_of_levels_is_not_drift() -> None:
    """Of 200 equally frequent levels the chosen ones are no more frequent in the counts than in later rows."""
    generator = np.random.default_rng(8)
    levels = np.array([f"t{number}" for number in range(200)], dtype=object)
    named = []
    for _ in range(40):
        found = level_profile("town", pd.Series(generator.choice(levels, 1_000)))
        named.append(sum(found.counts) / 500)
    assert np.mean(named) == pytest.approx(50 / 200, abs=0.01)


@pytest.mark.parametrize("dtype", ["object", "boolean"])
def test_booleans_have_canonical_names(dtype: str) -> None:
    """True and false are written as labels are."""
    found = level_profile("x", pd.Series([True, False, True, None], dtype=dtype))
    assert (found.levels, found.counts, found.missing) == (("true", "false"), (2, 1), 1)


@pytest.mark.parametrize("task", SAMPLES)
def test_a_profile_survives_json(task: str) -> None:
    """Every task's profile is the same after a way through JSON, and holds every raw column."""
    config = task_config(
        task,
        time="applied",
        features={"numeric": ["income", "age"], "categorical": ["region"], "boolean": ["owner"], "dates": ["applied"]},
    )
    contract = task_contract(config)
    frame = credit_frame(300, 1).assign(applied=pd.date_range("2024-01-01", periods=300, freq="h"))
    found = reference_profile(frame, *SAMPLES[task](300, 1), contract)
    assert Profile.from_dict(json.loads(json.dumps(found.to_dict(), allow_nan=False))) == found
    assert tuple(column.name for column in found.columns) == contract.raw_columns
    for column in (*found.columns, found.target, found.prediction):
        other = column.other if isinstance(column, LevelProfile) else 0
        assert sum(column.counts) + other + column.missing == 300


def test_a_profile_from_before_has_no_columns_beside_the_features() -> None:
    """The field came later: a bundle without it is read."""
    found = reference_profile(credit_frame(50, 1), *SAMPLES["binary"](50, 1), task_contract(task_config("binary")))
    content = found.to_dict()
    assert content.pop("unused") == []
    assert Profile.from_dict(content) == found


@pytest.mark.parametrize(
    ("values", "kind", "bins"),
    [
        ([str(number / 7) for number in range(90)] + [None] * 10, "numeric", 10),
        (["0"] * 100, "numeric", 3),
        (["north", "south"] * 50, "levels", 2),
        ([f"DE-{number}" for number in range(100)], "forms", 1),
        ([str(number) for number in range(100)], "forms", 1),
    ],
)
def test_columns_that_are_not_features_have_the_bins_of_what_they_hold(
    values: list[str | None], kind: str, bins: int
) -> None:
    """Numbers in texts, levels, and identifiers, of which only the form can stay the same; missing ones are counted."""
    found = unused_profile("x", pd.Series(values, dtype="str"))
    assert (found.name, found.kind, len(found.counts)) == ("x", kind, bins)
    assert sum(found.counts) + found.missing == 100
    assert found.missing == values.count(None)
    content = json.loads(json.dumps(asdict(found)))
    assert column_profile(content) == found


def test_a_key_has_a_form_whatever_it_looks_like() -> None:
    """Keys are new in every window, so neither numbers nor levels of them are compared."""
    found = unused_profile("id", pd.Series(["1", "2", "3"] * 30, dtype="str"), identifies=True)
    assert isinstance(found, LevelProfile)
    assert (found.kind, found.levels) == ("forms", ("9",))


def test_target_and_prediction_fit_the_task() -> None:
    """Binary: class counts and the positive probability; multiclass: class counts both."""
    config = task_config("multiclass")
    y, output = SAMPLES["multiclass"](300, 1)
    found = reference_profile(credit_frame(300, 1), y, output, task_contract(config))
    assert isinstance(found.prediction, LevelProfile)
    assert found.prediction.counts == tuple(np.bincount(output.argmax(axis=1)))
    y, output = SAMPLES["binary"](300, 1)
    found = reference_profile(credit_frame(300, 1), y, output, task_contract(task_config("binary")))
    assert isinstance(found.prediction, BinnedProfile)
    assert found.prediction.maximum == output[:, 1].max()
    assert found.target.counts == tuple(np.bincount(y))


def test_a_profile_of_another_layout_is_refused() -> None:
    """The version of the layout is checked before anything is read."""
    with pytest.raises(ValueError, match="version 2, found 1"):
        Profile.from_dict({"version": 1})


def test_a_column_of_800_000_numbers_takes_little_work() -> None:
    """Less than a unit of :mod:`tests.work`, bounded far above."""
    values = np.random.default_rng(1).normal(size=800_000)
    with measured() as work:
        number_profile("x", values)
    assert work.units < 20


@given(st.lists(st.one_of(st.none(), st.text(), st.from_regex(r"[A-Za-z]{0,3}[-_:\x00 ]?[0-9٣é]{0,9}"))))
def test_forms_found_together_are_those_of_each_text(texts: list[str | None]) -> None:
    """Whatever the texts contain, and wherever one is missing."""
    found = text_forms(pd.Series(texts, dtype="str", index=range(5, 5 + len(texts))))
    wanted = pd.Series([text and text_form(text) for text in texts], index=found.index, dtype="str")
    pd.testing.assert_series_equal(found.astype("str"), wanted)


def test_forms_of_many_texts_keep_their_order() -> None:
    """Also at the end of a part of those that are found together."""
    texts = pd.Series([f"{'a' * (n % 2)}{n}" for n in range(FORMS_AT_ONCE + 3)], dtype="str")
    assert text_forms(texts).tolist() == ["x" if n % 2 else "9" for n in range(FORMS_AT_ONCE + 3)]
