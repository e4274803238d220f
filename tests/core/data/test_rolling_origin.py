from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from core.data.rolling_origin import rolling_origin


def days(numbers: Sequence[float]) -> pd.Series:
    """Return days by their number; NaN becomes a missing time."""
    return pd.Series(pd.Timestamp("2024-01-01") + pd.to_timedelta(list(numbers), unit="D"))


def test_each_fold_is_tested_on_later_rows() -> None:
    """Every test row is later than every training row, and the training rows grow."""
    time = days(np.random.default_rng(0).permutation(100).tolist())
    folds = rolling_origin(time, 4)
    assert [len(train) for train, _ in folds] == [20, 40, 60, 80]
    for train, test in folds:
        assert time[train].max() < time[test].min()


def test_the_first_block_is_the_only_one_that_is_never_tested() -> None:
    """The test rows of all folds are the rows after the first block, each once."""
    folds = rolling_origin(days([*range(50)]), 4)
    assert np.concatenate([test for _, test in folds]).tolist() == [*range(10, 50)]


def test_rows_of_equal_time_stay_together() -> None:
    """Two long days make one fold, however many are asked for."""
    folds = rolling_origin(days([0] * 30 + [1] * 10), 5)
    assert [(len(train), len(test)) for train, test in folds] == [(30, 10)]


def test_rows_without_a_time_are_left_out() -> None:
    """A row without a time is on neither side; without any time there is no fold."""
    folds = rolling_origin(days([0, 1, float("nan"), 2, 3]), 1)
    assert [(train.tolist(), test.tolist()) for train, test in folds] == [([0, 1], [3, 4])]
    assert rolling_origin(days([float("nan")] * 3), 2) == []
