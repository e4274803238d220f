from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from core.data.rows import Rows
from core.data.split import feature_hashes, folds, holdout_split
from core.errors import TrainingError
from tests.core.training_rows import training_config, training_rows


def first(rows: Rows, n_rows: int) -> Rows:
    """Return the oldest rows, as an earlier data version would hold them."""
    return replace(rows, frame=rows.frame.head(n_rows), row_ids=rows.row_ids[:n_rows])


def test_holdout_has_the_share_asked_for() -> None:
    """About a fifth of the rows is set aside, and no row is on both sides."""
    split = holdout_split(training_rows(5000), training_config())
    assert len(split.holdout) == pytest.approx(1000, abs=100)
    assert len(split.train) + len(split.holdout) == 5000
    assert not set(split.train) & set(split.holdout)


def test_row_keeps_its_side_as_the_data_grows() -> None:
    """What trained yesterday's model never judges today's."""
    rows = training_rows(3000)
    before, after = (holdout_split(part, training_config()) for part in (first(rows, 1500), rows))
    assert set(before.train) <= set(after.train)
    assert set(before.holdout) <= set(after.holdout)


def test_seed_draws_another_holdout() -> None:
    """Two seeds set different rows aside."""
    rows = training_rows(2000)
    one, other = (holdout_split(rows, training_config(training={"seed": seed})).holdout for seed in (1, 2))
    assert len(np.intersect1d(one, other)) < 0.4 * len(one)


def test_rows_of_one_identity_stay_together() -> None:
    """Rows with one row id are all on one side."""
    rows = training_rows(2000)
    rows = replace(rows, row_ids=rows.row_ids[np.arange(2000) // 5])
    split = holdout_split(rows, training_config(key_is_unique=False))
    assert not set(rows.row_ids[split.train]) & set(rows.row_ids[split.holdout])


def test_newest_rows_judge_where_there_is_a_time() -> None:
    """Every holdout row is newer than every training row, and ties do not straddle the boundary."""
    rows = training_rows(1003)
    shuffled = rows.frame.sample(frac=1, random_state=0, ignore_index=True)
    split = holdout_split(replace(rows, frame=shuffled), training_config(time="day"))
    day = shuffled["day"]
    assert day.iloc[split.train].max() < day.iloc[split.holdout].min() == pd.Timestamp(str(split.boundary))
    assert len(split.holdout) == pytest.approx(200, abs=10)


def test_rows_without_a_time_train() -> None:
    """Nobody can tell that a row without a time is newer than the training rows."""
    rows = training_rows(1000)
    rows.frame.loc[[3, 999], "day"] = pd.NaT
    split = holdout_split(rows, training_config(time="day"))
    assert {3, 999} <= set(split.train)


def test_one_distinct_time_is_refused() -> None:
    """A time column that orders nothing cannot set the newest rows aside."""
    rows = training_rows(100)
    rows.frame["day"] = pd.Timestamp("2025-01-01")
    with pytest.raises(TrainingError, match="1 distinct time"):
        holdout_split(rows, training_config(time="day"))


def test_newest_rows_of_one_class_are_refused() -> None:
    """A holdout of one class judges nothing; the message says what to change."""
    rows = training_rows(1000)
    rows.frame.loc[rows.frame["day"] > "2025-03-01", "default"] = "0"
    with pytest.raises(TrainingError, match=r"class '1' .* 0 row\(s\) in the holdout .* training.holdout"):
        holdout_split(rows, training_config(time="day"))


def test_copies_of_training_rows_leave_the_holdout() -> None:
    """Holdout rows with a training row's features are removed and counted."""
    rows = training_rows(1000)
    copied = pd.concat([rows.frame, rows.frame.head(400).assign(id="copy")], ignore_index=True)
    row_ids = np.append(rows.row_ids, rows.row_ids[:400] + np.uint64(1))
    split = holdout_split(Rows(copied, row_ids, 0, 0), training_config())
    hashes = feature_hashes(copied, training_config().features.used)
    assert split.n_duplicates_removed > 50
    assert not set(hashes[split.train]) & set(hashes[split.holdout])
    assert split.n_copies_removed > 10
    assert len(split.train) + len(split.holdout) + split.n_duplicates_removed + split.n_copies_removed == 1400


def test_chance_repeats_of_coarse_features_stay() -> None:
    """Where rows with equal features often differ in the target, repeats are no copies and are kept."""
    rows = training_rows(2000)
    config = training_config(features={"numeric": [], "categorical": ["region"], "boolean": ["owner"], "dates": []})
    split = holdout_split(rows, config)
    assert split.n_duplicates_removed == 0
    assert split.n_repeats_kept == len(split.holdout) > 300


def test_rare_class_is_on_both_sides() -> None:
    """Four rows of a class are enough: two to learn from, two to be judged by."""
    rows = training_rows(1000, "multiclass")
    rows.frame.loc[:3, "default"] = "rare"
    split = holdout_split(rows, training_config("multiclass"))
    counts = [int((rows.frame["default"].iloc[side] == "rare").sum()) for side in (split.train, split.holdout)]
    assert sum(counts) == 4
    assert min(counts) == 2


@pytest.mark.parametrize("n_rare", [1, 3])
def test_class_with_too_few_rows_is_refused(n_rare: int) -> None:
    """The message names the class and says what to do with it."""
    rows = training_rows(500, "multiclass")
    rows.frame.loc[: n_rare - 1, "default"] = "rare"
    with pytest.raises(TrainingError, match=rf"class 'rare' .*\({n_rare} in all\).*merge it"):
        holdout_split(rows, training_config("multiclass"))


def test_too_few_rows_are_refused() -> None:
    """One row on a side is no split."""
    with pytest.raises(TrainingError, match=r"the holdout has 0 row\(s\)"):
        holdout_split(training_rows(2, "regression"), training_config("regression", training={"holdout": 0.01}))


def test_feature_hashes_tell_content_apart() -> None:
    """Equal content has equal hashes: missing as missing, 0.0 as -0.0; swapped columns have not."""
    frame = pd.DataFrame({"a": [0.0, -0.0, 1.0, 2.0, np.nan, np.nan], "b": [1.0, 1.0, 2.0, 1.0, 5.0, 5.0]})
    frame["c"] = pd.Series(["x", "x", None, None, None, None], dtype="str")
    hashes = feature_hashes(frame, ("a", "b", "c"))
    assert hashes[0] == hashes[1]
    assert hashes[4] == hashes[5]
    assert len(set(hashes)) == 4


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_folds_cover_each_row_once(task: str) -> None:
    """Without a time every training row is tested in exactly one fold."""
    rows = training_rows(300, task)
    y = pd.factorize(rows.frame["default"])[0]
    pairs = folds(training_config(task), rows.frame, y, rows.row_ids, 4)
    assert sorted(np.concatenate([test for _, test in pairs])) == list(range(300))
    assert all(not set(train) & set(test) for train, test in pairs)


@pytest.mark.parametrize("task", ["binary", "regression"])
def test_folds_keep_rows_of_one_key_together(task: str) -> None:
    """A key that repeats is never trained on and tested at once."""
    rows = training_rows(400, task)
    row_ids = rows.row_ids[np.arange(400) // 4]
    y = pd.factorize(rows.frame["default"])[0]
    for train, test in folds(training_config(task, key_is_unique=False), rows.frame, y, row_ids, 3):
        assert not set(row_ids[train]) & set(row_ids[test])


def test_folds_follow_time() -> None:
    """With a time each fold is tested on what came after it, ties together."""
    rows = training_rows(505)
    frame = rows.frame.sample(frac=1, random_state=0, ignore_index=True)
    y = pd.factorize(frame["default"])[0]
    pairs = folds(training_config(time="day"), frame, y, rows.row_ids, 4)
    assert len(pairs) == 4
    for train, test in pairs:
        assert frame["day"].iloc[train].max() < frame["day"].iloc[test].min()


def test_folds_are_as_many_as_the_rarest_class_allows() -> None:
    """Three rows of a class give three folds at most; one fold is none."""
    rows = training_rows(100)
    y = np.zeros(100, dtype="int64")
    y[:3] = 1
    assert len(folds(training_config(), rows.frame, y, rows.row_ids, 5)) == 3
    assert folds(training_config(), rows.frame, y, rows.row_ids, 1) == []
