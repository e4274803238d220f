from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.drift.times import TimeOrder, TimeRange, joined_order, moment

START = datetime(2024, 3, 1)
END = datetime(2024, 4, 1)


def microseconds(*moments: datetime) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Moments as a time column gives them."""
    return np.array(moments, dtype="datetime64[us]").astype(np.int64)


def test_a_range_holds_its_start_and_not_its_end() -> None:
    """Ranges that follow each other share no moment, to the microsecond."""
    step = timedelta(microseconds=1)
    found = TimeRange(START, END).holds(microseconds(START - step, START, END - step, END))
    assert found.tolist() == [False, True, True, False]


@pytest.mark.parametrize(
    ("since", "until", "expected"),
    [(None, None, [True, True]), (END, None, [False, True]), (None, END, [True, False])],
)
def test_an_end_may_be_open(since: datetime | None, until: datetime | None, expected: list[bool]) -> None:
    """What is not bounded reaches as far as times go."""
    span = TimeRange(since, until)
    assert span.holds(microseconds(START, END)).tolist() == expected
    assert span.is_open == (since is None and until is None)


def test_a_zone_is_applied() -> None:
    """The same instant in another zone bounds the same rows."""
    east = timezone(timedelta(hours=2))
    moments = microseconds(datetime(2024, 3, 1, 9, 59), datetime(2024, 3, 1, 10))
    for since in (datetime(2024, 3, 1, 12, tzinfo=east), datetime(2024, 3, 1, 10, tzinfo=UTC)):
        assert TimeRange(since).holds(moments).tolist() == [False, True]


@given(st.lists(st.integers(-(10**6), 10**6), max_size=40), st.integers(0, 40))
def test_two_stretches_put_together_say_the_same_as_one(values: list[int], cut: int) -> None:
    """First, last, earliest, latest and descents do not depend on where the rows were cut."""
    moments = np.array(values, dtype=np.int64)
    whole = TimeOrder.of(moments)
    assert joined_order(TimeOrder.of(moments[:cut]), TimeOrder.of(moments[cut:])) == whole
    if whole is not None:
        descents = sum(later < earlier for earlier, later in pairwise(values))
        assert whole == TimeOrder(values[0], values[-1], min(values), max(values), descents)


def test_a_moment_is_read_back() -> None:
    """A time survives the way through whole numbers, also before 1970."""
    for when in (START, datetime(1911, 1, 2, 3, 4, 5, 6), datetime(9999, 12, 31, 23, 59, 59, 999_999)):
        assert moment(int(microseconds(when)[0])) == when
