from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from core.init.columns import ColumnStatistics
from core.init.sentinels import Sentinel, date_remark, sentinel_remarks, sentinels

End = list[tuple[float, int]]


def numbers(n_distinct: int = 200, **known: Any) -> ColumnStatistics:
    """Build statistics of a column of 1,000 numbers."""
    return ColumnStatistics("x", "DOUBLE", 1000, 0, n_distinct, n_numbers=1000, **known)


@pytest.mark.parametrize(
    ("lowest", "highest", "values"),
    [
        ([(-200, 180), (0.1, 0)], [(11.9, 1), (11.2, 0)], [-200]),
        ([(-200, 180), (2, 0)], [(1479, 1), (1400, 0)], [-200]),
        ([(0, 9), (1, 0)], [(999, 960), (27, 0)], [999]),
        ([(-999, 5), (-888, 7), (0, 9), (1, 0)], [(100, 9), (99, 0)], [-999, -888]),
        ([(1, 9), (2, 0)], [(999, 4), (998, 6), (997, 2), (80, 0)], [999, 998, 997]),
        ([(-9999, 2), (-30.5, 0)], [(41.5, 1), (41, 0)], [-9999]),
        ([(0, 30), (1950, 0)], [(2020, 4), (2019, 0)], [0]),
        ([(0, 40), (300, 0)], [(850, 4), (849, 0)], [0]),
        ([(-1, 300), (0, 0)], [(871, 1), (870, 0)], [-1]),
        ([(-999, 3), (1, 0)], [(9999, 3), (50, 0)], [-999, 9999]),
    ],
)
def test_repeated_numbers_far_from_the_others_are_found(lowest: End, highest: End, values: list[float]) -> None:
    """By their form or their frequency, on both sides, up to three in a row."""
    assert [found.value for found in sentinels(numbers(), lowest, highest)] == values


@pytest.mark.parametrize(
    ("lowest", "highest"),
    [
        ([(17, 4), (18, 9), (19, 0)], [(99, 3), (95, 0)]),
        ([(0, 900), (114, 0)], [(5000, 1), (4000, 0)]),
        ([(0, 9), (1, 0)], [(999, 1), (27, 0)]),
        ([(-2, 90), (-1, 80), (0, 500), (1, 0)], [(8, 3), (7, 2), (6, 0)]),
        ([(-3.2, 1), (-3.1, 0)], [(3.3, 1), (3.2, 0)]),
        ([(0, 9), (1, 0)], [(300, 3), (27, 0)]),
        ([], []),
    ],
)
def test_ordinary_extremes_are_no_sentinels(lowest: End, highest: End) -> None:
    """An age of 99, many zeros, a single outlier, a few codes, a rare large count and noise have no remark."""
    assert sentinels(numbers(), lowest, highest) == []


@pytest.mark.parametrize(
    ("day", "n", "nearest", "end", "found"),
    [
        ("1900-01-01", 50, "2018-01-04", "2024-12-06", True),
        ("9999-12-31", 2, "2024-12-06", "2018-01-04", True),
        ("1950-03-03", 50, "2018-01-04", "2024-12-06", True),
        ("1950-03-03", 5, "2018-01-04", "2024-12-06", False),
        ("1900-01-01", 1, "2018-01-04", "2024-12-06", False),
        ("1970-01-01", 50, "1970-01-02", "2024-12-06", False),
        ("2018-01-03", 50, "2018-01-04", "2024-12-06", False),
    ],
)
def test_repeated_days_far_from_the_others_are_found(day: str, n: int, nearest: str, end: str, found: bool) -> None:
    """By their form or their frequency, as numbers are; the share and the range of the others are told."""
    column = ColumnStatistics("left", "DATE", 1000, 0, 200, n_dates=1000)
    remark = date_remark(
        column, *(datetime.fromisoformat(day), n, datetime.fromisoformat(nearest)), datetime.fromisoformat(end)
    )
    assert bool(remark) == found
    if found:
        assert remark.startswith(
            f"{day} is far from the other dates of 'left' ({n / 10:g} % of rows; the others are 2018"
        )


def test_few_levels_have_no_sentinels() -> None:
    """Among three codes, 99 is one of them."""
    assert sentinels(numbers(3), [(0, 500), (1, 0)], [(99, 200), (1, 0)]) == []


def test_share_and_range_of_the_others_are_told() -> None:
    """The share is that of all rows."""
    found = sentinels(numbers(), [(-200, 180), (0.1, 0)], [(11.9, 1), (11.2, 0)])
    assert found == [Sentinel(-200, 0.18, 0.1, 11.9)]


def test_columns_with_the_same_number_have_one_remark() -> None:
    """It names the value as it is written, and what to do with it."""
    sentinel = Sentinel(-200, 0.18, 0.1, 11.9)
    remarks = sentinel_remarks({name: [("-200", sentinel)] for name in "abcdef"}, is_text=True)
    assert len(remarks) == 1
    assert remarks[0].startswith(
        "'-200' is far from the other values of 'a' (18 % of rows; the others are 0.1 to 11.9)"
    )
    assert remarks[0].endswith(
        "and 2 more; if it means no value, add it to source.missing, which applies to every column"
    )
    assert "source.missing applies to text only" in sentinel_remarks({"a": [("-200", sentinel)]}, is_text=False)[0]
