from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from core.data.history import BatchEntry
from core.drift.windows import (
    EarlierWindow,
    WindowChoice,
    WindowRequest,
    batches_before,
    choose_batches,
    disjoint_before,
    overlap,
)
from core.errors import ConfigError

JUDGED = datetime(2025, 1, 1, tzinfo=UTC)


def month(number: int, day: int = 1) -> datetime:
    """Day of a month of 2024."""
    return datetime(2024, number, day)


def batch(number: int, n_rows: int = 500, times: tuple[datetime, datetime] | None = None) -> BatchEntry:
    """Batch of a month, by default without times."""
    first, last = times or (None, None)
    return BatchEntry(f"{number:04d}-{number:012x}", n_rows, 1, "csv", first, last, None, None)


def monthly(*numbers: int) -> list[BatchEntry]:
    """Batches of 500 rows each, one per month, timed."""
    return [batch(number, times=(month(number), month(number, 28))) for number in numbers]


def names(choice: WindowChoice) -> list[int]:
    """Numbers of the chosen batches."""
    return [int(chosen.name[:4]) for chosen in choice.batches]


def window(number: int, **changes: Any) -> EarlierWindow:
    """Window of one month's batch."""
    content: dict[str, Any] = {
        "id": f"w{number}",
        "champion": 1,
        "against": "champion",
        "batches": (f"{number:04d}-{number:012x}",),
        "first_time": month(number),
        "last_time": month(number, 28),
        "drifted": False,
        "status": "ok",
        "retrain": False,
        "measured_at": JUDGED,
    }
    return EarlierWindow(**{**content, **changes})


def test_the_newest_batches_that_were_not_trained_on_are_the_window() -> None:
    """Whole batches, the newest first, that come nearest to the rows asked for; given back in order."""
    trained = {batch(1).name, f"{batch(2).name}.parquet"}

    def chosen(window_rows: int, min_rows: int = 0) -> list[int]:
        months = monthly(1, 2, 3, 4, 5)
        return names(choose_batches(months, trained, WindowRequest(), window_rows, None, min_rows=min_rows))

    # Months of 500 rows each.
    assert [chosen(rows) for rows in (100, 501, 740, 760, 1_001, 9_999)] == [[5], [5], [5], [4, 5], [4, 5], [3, 4, 5]]
    assert chosen(600, min_rows=501) == [4, 5]


def test_newest_is_by_time_where_every_batch_has_one() -> None:
    """A month that is brought in late is not the newest; without times the order tells."""
    late = batch(9, times=(month(1), month(1, 28)))
    choice = choose_batches([*monthly(3, 4), late], (), WindowRequest(), 500, "month")
    assert names(choice) == [4]
    assert choice.notes == (
        "1 batch that arrived late has older rows than this window and is not part of it: 0009-000000000009; "
        "--batches judges them",
    )
    assert choose_batches(monthly(2, 3, 4), (), WindowRequest(), 500, "month").notes == ()
    assert names(choose_batches([batch(3), batch(4), late], (), WindowRequest(), 500, "month")) == [9]


def test_too_few_new_rows_are_all_taken_and_told() -> None:
    """The window is what there is, with a note."""
    choice = choose_batches(monthly(1, 2), {batch(1).name}, WindowRequest(), 1000, "month")
    assert names(choice) == [2]
    assert choice.notes == ("only 500 rows are new to the champion; drift.window_rows is 1,000",)


@pytest.mark.parametrize(
    ("batches", "request_", "note"),
    [
        ([], WindowRequest(), "there is no batch yet"),
        (monthly(1), WindowRequest(), "no batch has been ingested since the champion was trained"),
        ([], WindowRequest(since=month(1)), "there is no batch yet"),
        (monthly(1), WindowRequest(since=month(2)), "no batch has rows from 2024-02-01T00:00:00 on"),
        (
            monthly(5),
            WindowRequest(since=month(2), until=month(3)),
            "no batch has rows from 2024-02-01T00:00:00 on and before 2024-03-01T00:00:00",
        ),
    ],
)
def test_no_batch_is_an_empty_choice_that_says_why(
    batches: list[BatchEntry], request_: WindowRequest, note: str
) -> None:
    """Nothing to measure is no error."""
    assert choose_batches(batches, {batch(1).name}, request_, 1000, "month") == WindowChoice((), (note,))


def test_a_range_takes_the_batches_that_meet_it() -> None:
    """The end is left out, the start is not; a batch without times is read, since it may hold such rows."""
    chosen = choose_batches(monthly(1, 2, 3, 4), (), WindowRequest(since=month(2, 28), until=month(4)), 9, "month")
    assert names(chosen) == [2, 3]
    assert names(choose_batches([*monthly(1), batch(7)], (), WindowRequest(since=month(2)), 9, "month")) == [7]
    assert names(choose_batches(monthly(1, 2), (), WindowRequest(until=month(2)), 9, "month")) == [1]


def test_named_batches_are_taken_as_asked() -> None:
    """Each once and in order, trained on or not, which is told; whatever lies outside the range is told too."""
    request = WindowRequest(batches=(batch(3).name, f"{batch(1).name}.parquet", batch(3).name))
    choice = choose_batches(monthly(1, 2, 3), {batch(1).name}, request, 9, "month")
    assert names(choice) == [1, 3]
    assert choice.notes == ("1 of 2 batches is in the data the champion was trained on: 0001-000000000001",)
    ranged = WindowRequest(batches=request.batches, since=month(2))
    assert choose_batches(monthly(1, 2, 3), (), ranged, 9, "month").notes == (
        "0001-000000000001: no rows from 2024-02-01T00:00:00 on",
    )


@pytest.mark.parametrize("text", ["2", "0002", " 2 ", "0002-", "0002-0000", "0002-000000000002.parquet"])
def test_a_batch_is_named_by_its_number_or_the_beginning_of_its_name(text: str) -> None:
    """The beginning of a name is enough; a number is not a beginning, so 2 is not the twentieth batch."""
    months = [*monthly(1, 2, 3), batch(20), batch(2000)]
    assert names(choose_batches(months, (), WindowRequest(batches=(text,)), 9, "month")) == [2]


@pytest.mark.parametrize("text", ["2", "0002", "0002-", "0002-00000000000"])
def test_a_text_that_names_two_batches_is_refused(text: str) -> None:
    """Histories of two clones can both have a second batch; the whole name still chooses."""
    twin = replace(batch(2), name="0002-00000000000f")
    months = [*monthly(1, 2), twin]
    with pytest.raises(ConfigError, match="beginning of 2 batches, 0002-000000000002, 0002-00000000000f; write more"):
        choose_batches(months, (), WindowRequest(batches=(text,)), 9, "month")
    assert names(choose_batches(months, (), WindowRequest(batches=(twin.name,)), 9, "month")) == [2]


@pytest.mark.parametrize(
    ("request_", "time", "message"),
    [
        (WindowRequest(since=month(1)), None, "need a time column.*use --batches instead"),
        (WindowRequest(since=month(2), until=month(2)), "month", "expected --since before --until.*is empty"),
        (WindowRequest(since=JUDGED), "month", "have no time zone: give --since and --until without one"),
        (WindowRequest(until=JUDGED), "month", "have no time zone"),
        (WindowRequest(batches=("0009-x", batch(1).name)), None, "found 0009-x; the newest are 0003-.* and 1 more"),
        (WindowRequest(batches=("bad\x1b[31m",)), None, r"found bad\\x1b\[31m"),
        (WindowRequest(batches=("1", "")), None, "found an empty name; the newest are"),
        (WindowRequest(batches=("4",)), None, "expected numbers, names or beginnings of names of batches, found 4"),
    ],
)
def test_a_request_that_cannot_be_met_is_refused(request_: WindowRequest, time: str | None, message: str) -> None:
    """The message says what was expected and what to do."""
    with pytest.raises(ConfigError, match=message):
        choose_batches([batch(0), *monthly(1, 2, 3)], (), request_, 9, time)


def test_a_batch_is_unknown_where_there_is_none() -> None:
    """The message does not list what is not there."""
    with pytest.raises(ConfigError, match="found 0001-a; there are none yet"):
        choose_batches([], (), WindowRequest(batches=("0001-a",)), 9, None)


@pytest.mark.parametrize(
    ("one", "another", "shared"),
    [
        (window(1), window(2), False),
        (window(1), window(1), True),
        (window(1, last_time=month(1, 10)), window(1, first_time=month(1, 11)), False),
        (window(1, last_time=month(1, 10)), window(1, first_time=month(1, 10)), True),
        (window(1, first_time=None), window(1), True),
        (window(1, last_time=month(2, 5)), window(2), False),
        (window(1, batches=()), window(1), True),
        (window(1, batches=()), window(2, batches=()), False),
        (window(1, batches=(), last_time=None), window(9), True),
    ],
)
def test_windows_overlap_where_they_share_a_batch_and_a_moment(
    one: EarlierWindow, another: EarlierWindow, shared: bool
) -> None:
    """Times alone tell where there is no batch; where nothing tells, they are taken to overlap."""
    assert overlap(one, another) is overlap(another, one) is shared


def test_the_last_disjoint_windows_are_found_by_the_time_of_their_rows() -> None:
    """Whatever was judged twice counts once, as it was judged last; later rows and shared rows do not count."""
    again = window(3, id="again")
    judged = [window(3), window(1), again, window(2), window(9), window(5, batches=window(3).batches)]
    assert [one.id for one in disjoint_before(window(4), judged, 2)] == ["again", "w2"]
    assert [one.id for one in disjoint_before(window(4), judged, 9)] == ["again", "w2", "w1"]
    assert disjoint_before(window(4), judged, 0) == ()


def test_windows_that_slide_count_once_per_row() -> None:
    """Windows of two months, judged every month: every second one is new."""

    def two_months(last: int) -> EarlierWindow:
        both = window(last - 1).batches + window(last).batches
        return window(last, batches=both, first_time=month(last - 1))

    judged = [two_months(last) for last in range(2, 8)]
    assert [one.id for one in disjoint_before(two_months(8), judged, 9)] == ["w6", "w4", "w2"]


def test_without_times_the_order_of_judging_and_the_numbers_tell() -> None:
    """Batch 10000 comes after batch 9999."""
    timeless = {"first_time": None, "last_time": None}
    judged = [window(2, **timeless), window(1, **timeless), window(4, **timeless)]
    assert [one.id for one in disjoint_before(window(3, **timeless), judged, 9)] == ["w1", "w2"]
    high = window(1, batches=("9999-a",), **timeless)
    assert disjoint_before(window(1, batches=("10000-a",), **timeless), [high], 9) == (high,)
    assert disjoint_before(high, [window(1, batches=("10000-a",), **timeless)], 9) == ()


def test_batches_before_a_window_are_the_newest_that_are_new_to_the_champion() -> None:
    """As many as hold the rows of a window; what the champion was trained on and what is later is left out."""
    batches = monthly(1, 2, 3, 4, 5, 6)
    trained = [batches[0].name]

    def before(*chosen: int, rows: int = 1_000) -> list[int]:
        found = batches_before(batches, trained, [batches[number - 1] for number in chosen], rows)
        return [int(one.name[:4]) for one in found]

    assert before(6) == [4, 5]
    assert before(6, rows=501) == [4, 5]
    assert before(4, 5) == [2, 3]
    assert before(3) == [2]
    assert before(2) == []
    assert before() == []
