from __future__ import annotations

from typing import Any

import pytest

from core.init.columns import ColumnStatistics, Decision
from core.init.counters import Steps, row_counter, time_counter


def numbers(name: str = "x", **known: Any) -> ColumnStatistics:
    """Build statistics of 1,000 whole numbers from 5 to 900, 300 of them distinct."""
    basis: dict[str, Any] = {"n_distinct": 300, "n_numbers": 1000, "n_integers": 1000, "minimum": 5, "maximum": 900}
    return ColumnStatistics(name, "BIGINT", 1000, 0, **basis | known)


@pytest.mark.parametrize(
    ("steps", "direction"),
    [
        (Steps(999, 300, 0), "rises"),
        (Steps(10_000, 300, 10), "rises"),
        (Steps(10_000, 300, 11), ""),
        (Steps(999, 0, 999), "falls"),
        (Steps(999, 0, 0), ""),
        (Steps(4, 4, 0), ""),
    ],
)
def test_a_direction_needs_enough_steps_and_hardly_one_back(steps: Steps, direction: str) -> None:
    """A constant has no direction; one step in a thousand may go back."""
    assert steps.direction == direction


def test_numbers_that_follow_the_time_count_it() -> None:
    """They are ignored, with the direction and the range; few levels, such as a year, are not."""
    found = time_counter(numbers("TX_TIME_SECONDS"), Steps(999, 300, 0), "at")
    assert found == Decision("ignored", "a counter of time: it rises with 'at', from 5 to 900")
    assert time_counter(numbers(n_distinct=3), Steps(999, 2, 0), "at") is None
    assert time_counter(numbers(), Steps(999, 480, 470), "at") is None


@pytest.mark.parametrize(
    ("column", "dates", "why"),
    [
        (numbers("elapsed_seconds"), [], "a counter: it rises with the order of rows, from 5 to 900"),
        (numbers("n", n_distinct=960), [], "a counter: it rises"),
        (numbers("price"), ["at"], "a counter of time: it rises with the order of rows, as 'at' does; from 5 to 900"),
    ],
)
def test_numbers_that_follow_the_rows_count_them(column: ColumnStatistics, dates: list[str], why: str) -> None:
    """A name, distinct whole numbers, or dates in the same order are the evidence."""
    found = row_counter(column, Steps(999, 300, 0), dates)
    assert isinstance(found, Decision)
    assert (found.kind, why in found.why) == ("ignored", True)


def test_a_file_sorted_by_a_feature_has_a_remark() -> None:
    """Without further evidence the column stays a feature."""
    found = row_counter(numbers("price"), Steps(999, 300, 0), [])
    assert isinstance(found, str)
    assert found.startswith("'price' rises with the order of rows, from 5 to 900; if it counts rows or time, move it")
    assert row_counter(numbers("price"), Steps(999, 480, 470), []) is None
