"""Copies leave the holdout, under whatever key and in whatever format; repeats by chance and drift do not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest

from config.schema import ModelConfig
from core.data.repeats.copies import copied_rows, rounded
from core.data.rows import Rows
from core.data.split import Split, feature_hashes, holdout_split
from tests.core.training_rows import training_config, training_rows

BY_TIME = {"time": "day"}
FEATURES = {"numeric": ["income", "age"], "categorical": ["region"], "boolean": ["owner"], "dates": ["since"]}


def copied(rows: Rows, chosen: npt.NDArray[Any], times: int, **changes: Any) -> Rows:
    """Append copies of some rows, each under a key of its own."""
    more = pd.concat([rows.frame.iloc[chosen]] * times).assign(**changes)
    frame = pd.concat([rows.frame, more], ignore_index=True)
    ids = np.random.default_rng(9).integers(0, 2**63, len(more)).astype(np.uint64)
    return replace(rows, frame=frame, row_ids=np.append(rows.row_ids, ids))


def distinct(rows: Rows, split: Split, config: ModelConfig) -> int:
    """Count the different rows of a holdout."""
    return len(np.unique(feature_hashes(rows.frame.take(split.holdout), config.features.used)))


@pytest.mark.parametrize(("n_rows", "times"), [(1_000, 1), (200, 10), (10, 200)])
def test_copies_under_new_keys_count_once(n_rows: int, times: int) -> None:
    """The newest half twice, a tenth eleven times, ten rows two hundred times: each counts once."""
    config = training_config(**BY_TIME)
    rows = copied(training_rows(2_000), np.arange(2_000 - n_rows, 2_000), times)
    split = holdout_split(rows, config)
    assert split.n_copies_removed > 100
    assert len(split.holdout) == distinct(rows, split, config)
    assert f"without {split.n_copies_removed:,} copies" in split.rule


def test_copies_through_another_format_count_once() -> None:
    """Numbers that passed through 32 bits, or through a text of seven digits, are those of the same row."""
    config, rows = training_config(**BY_TIME), training_rows(2_000)
    plain = copied(rows, np.arange(1_700, 2_000), 2)
    last = plain.frame.index >= 2_000
    changes: tuple[Callable[[float], float], ...] = (
        lambda value: float(np.float32(value)),
        lambda value: float(f"{value:.7g}"),
    )
    for change in changes:
        frame = plain.frame.copy()
        for name in ("income", "age"):
            frame[name] = frame[name].map(change).where(last, frame[name])
        split = holdout_split(replace(plain, frame=frame), config)
        assert len(split.holdout) == distinct(rows, replace(split, holdout=split.holdout % 2_000), config)
        assert split.n_copies_removed >= 300


def test_copies_with_another_target_are_copies() -> None:
    """A copy whose label was changed is no further row either, and the older row is kept."""
    config, rows = training_config(**BY_TIME), training_rows(2_000)
    other = copied(rows, np.arange(1_700, 2_000), 3, default="1")
    split = holdout_split(other, config)
    assert split.holdout.max() < 2_000
    assert split.n_copies_removed == 3 * len(split.holdout) > 300


def coarse(n_rows: int, seed: int, n_levels: int, drift: float = 0.0) -> tuple[Rows, ModelConfig]:
    """Rows of five categorical features, of which independent rows often share all; the last fifth may drift."""
    rng = np.random.default_rng(seed)
    rows = training_rows(n_rows, seed=seed)
    late = np.arange(n_rows) >= 0.8 * n_rows
    names = [f"level_{number}" for number in range(5)]
    for name in names:
        weights = 1 / np.arange(1, n_levels + 1)
        weights = weights / weights.sum()
        moved = weights * np.exp(drift * rng.normal(size=n_levels))
        codes = np.where(
            late, rng.choice(n_levels, n_rows, p=moved / moved.sum()), rng.choice(n_levels, n_rows, p=weights)
        )
        rows.frame[name] = pd.Series(codes).map("level {}".format).astype("str")
    return rows, training_config(**BY_TIME, features={"numeric": [], "categorical": names, "boolean": [], "dates": []})


@pytest.mark.parametrize("drift", [0.0, 0.5])
@pytest.mark.parametrize("n_levels", [2, 3, 5, 8])
def test_repeats_by_chance_stay(n_levels: int, drift: float) -> None:
    """No row is lost of coarse features, of 32 to 32,768 combinations, with and without drift."""
    for seed in range(5):
        rows, config = coarse(3_000, seed, n_levels, drift)
        split = holdout_split(rows, config)
        assert len(split.train) + len(split.holdout) == 3_000
        assert split.n_repeats_kept > 50


@pytest.mark.parametrize("n_levels", [5, 8])
def test_copies_among_repeats_by_chance_leave(n_levels: int) -> None:
    """Where rows also repeat by chance, most copies are found, and common combinations keep their rows."""
    rows, config = coarse(3_000, 1, n_levels)
    before = len(holdout_split(rows, config).holdout)
    split = holdout_split(copied(rows, np.arange(2_900, 3_000), 10), config)
    assert split.n_copies_removed > 400
    assert len(split.holdout) < before + 500


def test_training_copies_of_the_holdout_are_found_among_repeats_by_chance() -> None:
    """The newest rows again under new keys and old dates: trained on, they do not judge."""
    rows, config = coarse(3_000, 1, 30)
    before = holdout_split(rows, config)
    assert before.n_repeats_kept > 10
    split = holdout_split(copied(rows, np.arange(2_500, 3_000), 1, day=pd.Timestamp("2025-01-01")), config)
    assert split.n_duplicates_removed > 0.5 * len(before.holdout)


def test_rows_of_one_owner_are_no_copies_of_each_other() -> None:
    """An owner whose features do not change has a row per period; the clusters of its key are known to the gate."""
    config = training_config(key_is_unique=False)
    rows = training_rows(2_000)
    owner = np.arange(2_000) // 5 * 5
    panel = replace(rows, frame=rows.frame.take(owner).reset_index(drop=True), row_ids=rows.row_ids[owner])
    split = holdout_split(panel, config)
    assert split.n_copies_removed == 0
    assert len(split.train) + len(split.holdout) == 2_000
    other = copied(panel, split.holdout[:200], 1)
    assert holdout_split(other, config).n_copies_removed + holdout_split(other, config).n_duplicates_removed > 50


def test_no_row_is_a_copy_of_nothing() -> None:
    """An empty side has no copies."""
    nothing, rows = np.array([], dtype=np.int64), np.arange(3, dtype=np.uint64)
    for by_chance in (True, False):
        assert not len(copied_rows(rows, None, np.arange(3), nothing, by_chance=by_chance).of_holdout)
        assert not copied_rows(rows, None, nothing, np.arange(3), by_chance=by_chance).of_training.any()


def test_whole_numbers_and_gaps_keep_their_values() -> None:
    """Moments, counts, missing and infinite values are compared as they are; fractions by six digits."""
    values = [1_700_000_001.0, 1_700_000_002.0, np.nan, np.inf, -np.inf, 0.0, -0.0, 1.2345678, 1.2345679, 1.2346]
    frame = rounded(pd.DataFrame({"x": values, "name": pd.Series(list("abcdefghij"), dtype="str")}), ("x", "name"))
    assert frame["x"].iloc[:7].equals(pd.Series(values[:7]))
    assert frame["x"].iloc[7] == frame["x"].iloc[8] != frame["x"].iloc[9]
    assert frame["name"].tolist() == list("abcdefghij")
