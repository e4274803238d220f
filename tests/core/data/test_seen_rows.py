from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from core.data.rows import Rows
from core.data.seen_rows import SeenRows, identities, rows_trained_on, seen_rows
from core.data.split import Hashes, feature_hashes, holdout_split
from tests.core.training_rows import training_config, training_rows


def hashes(n_rows: int, seed: int) -> Hashes:
    """Distinct hashes, as rows have them."""
    return np.random.default_rng(seed).integers(0, 2**64, n_rows, dtype=np.uint64)


def test_training_rows_are_known_and_others_are_not() -> None:
    """Each training row is found, by its identity or its content alone too; none of 10,000 others is."""
    ids, contents, others = (hashes(10_000, seed) for seed in range(3))
    seen = seen_rows(ids, contents)
    assert seen.holds(ids, None).all()
    assert seen.holds(others, contents).all()
    assert seen.holds(np.append(others[:3], ids[7]), None).tolist() == [False, False, False, True]
    assert not seen.holds(others, others).any()


def test_an_identity_is_no_content() -> None:
    """A number that is one row's identity and another row's content makes neither of them known as the other."""
    ids, contents = hashes(1000, 0), hashes(1000, 1)
    assert not seen_rows(ids, contents).holds(contents, ids).any()


def test_content_counts_only_where_it_was_kept() -> None:
    """Where features repeat by chance a row with equal features is a new row."""
    ids, contents, others = (hashes(100, seed) for seed in range(3))
    seen = seen_rows(ids, None)
    assert not seen.by_content
    assert not seen.holds(others, contents).any()


def test_hashes_are_compact() -> None:
    """They are ascending, distinct and of 40 bits, whatever repeats and in whatever order the rows come."""
    ids, contents = hashes(1000, 0), hashes(1000, 1)
    seen = seen_rows(np.tile(ids, 2), np.tile(contents, 2))
    assert len(seen.hashes) == 2000
    assert (np.diff(seen.hashes.astype("int64")) > 0).all()
    assert int(seen.hashes[-1]) < 2**40
    assert np.array_equal(seen.hashes, seen_rows(ids[::-1], contents).hashes)


def test_false_hits_are_as_rare_as_said() -> None:
    """Two million kept hashes call about 4 in a million unknown rows seen."""
    seen = seen_rows(hashes(1_000_000, 0), hashes(1_000_000, 1))
    others = hashes(1_000_000, 2)
    assert int(seen.holds(others, others[::-1]).sum()) == pytest.approx(3.6, abs=8)


def test_a_model_without_training_rows_knows_none() -> None:
    """An empty set answers for any number of rows."""
    nothing = SeenRows(np.array([], dtype=np.uint64), by_content=True)
    assert np.array_equal(seen_rows(nothing.hashes, nothing.hashes).hashes, nothing.hashes)
    assert nothing.holds(hashes(3, 0), hashes(3, 1)).tolist() == [False] * 3
    assert len(nothing.holds(hashes(0, 0), None)) == 0


def test_a_split_knows_what_it_trains_on() -> None:
    """All of its training rows are seen, and none of its holdout."""
    rows, config = training_rows(2000), training_config()
    split = holdout_split(rows, config)
    contents = feature_hashes(rows.frame, config.features.used)
    known = rows_trained_on(rows, split, config).holds(identities(rows, config), contents)
    assert known[split.train].all()
    assert not known[split.holdout].any()


def test_chance_repeats_are_not_seen() -> None:
    """Coarse features that repeat by chance are left out, as the split leaves such rows in the holdout."""
    rows = training_rows(2000)
    config = training_config(features={"numeric": [], "categorical": ["region"], "boolean": ["owner"], "dates": []})
    split = holdout_split(rows, config)
    seen = rows_trained_on(rows, split, config)
    assert not seen.by_content
    contents = feature_hashes(rows.frame, config.features.used)
    assert not seen.holds(rows.row_ids, contents)[split.holdout].any()


def yearly(rows: Rows) -> Rows:
    """Five rows of each key, in order of time."""
    return replace(rows, row_ids=np.tile(rows.row_ids[: len(rows.row_ids) // 5], 5))


def test_a_repeated_key_at_another_time_is_another_row() -> None:
    """With a time, a customer's newest row judges although older ones trained."""
    rows, config = yearly(training_rows(1000)), training_config(time="day", key_is_unique=False)
    split = holdout_split(rows, config)
    known = rows_trained_on(rows, split, config).holds(identities(rows, config), None)
    assert set(rows.row_ids[split.holdout]) <= set(rows.row_ids[split.train])
    assert known[split.train].all()
    assert not known[split.holdout].any()


@pytest.mark.parametrize("changes", [{"time": "day"}, {"key_is_unique": False}, {"time": "day", "key": None}])
def test_elsewhere_a_row_is_its_row_id(changes: dict[str, Any]) -> None:
    """A unique key, a key without a time and no key at all identify the row as the snapshot does."""
    rows = training_rows(100)
    assert np.array_equal(identities(rows, training_config(**changes)), rows.row_ids)
