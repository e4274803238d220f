"""Which rows are monitored without a request for others."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from core.errors import ConfigError
from core.served.windows import asked_range, asked_time, chosen_source, next_range, stated_time

NOW = datetime(2026, 3, 1, 12, 30, 40, tzinfo=UTC)
HOUR = timedelta(hours=1)


def at(hour: int) -> datetime:
    """Return a whole hour of the day before."""
    return datetime(2026, 2, 28, hour, tzinfo=UTC)


def test_the_first_range_has_the_hours_of_the_model_file() -> None:
    """In whole minutes, and an answer may be written up to a minute late."""
    found = next_range([], NOW, 24.0)
    assert found.until == NOW.replace(minute=29, second=0)
    assert found.until - found.since == 24 * HOUR
    assert found.notes == ()


def test_a_later_range_begins_where_the_last_one_ended() -> None:
    """So that no row is left out, however long ago that was."""
    found = next_range([(at(3), at(5)), (at(1), at(3))], NOW, 12.0)
    assert (found.since, found.notes) == (at(5), ())


def test_after_a_long_pause_the_newest_week_of_windows_is_judged() -> None:
    """A range of months would say little about now; what is left out is told."""
    found = next_range([(at(3), at(5))], NOW, 1.0)
    assert found.since == NOW.replace(minute=29, second=0) - 7 * HOUR
    assert "2026-02-28 05:00 UTC to 2026-03-01 05:29 UTC" in found.notes[0]


def test_a_gap_before_the_last_range_is_told() -> None:
    """It was asked for by hand, and the rows before it are in no window."""
    found = next_range([(at(8), at(9)), (at(1), at(3))], NOW, 24.0)
    assert found.since == at(9)
    assert "2026-02-28 03:00 UTC to 2026-02-28 08:00 UTC" in found.notes[0]


def test_a_range_whose_time_has_not_come_is_empty() -> None:
    """It says so, and does not run backwards."""
    found = next_range([(at(3), NOW)], NOW, 24.0)
    assert found.since == found.until == NOW
    assert "are judged already" in found.notes[0]


def test_a_range_that_is_asked_for_may_lack_an_end_or_a_beginning() -> None:
    """It ends now, and has the hours of the model file."""
    assert asked_range(at(3), None, NOW, 1.0).until == NOW
    assert asked_range(None, at(3), NOW, 2.0).since == at(1)
    with pytest.raises(ConfigError, match="the range is empty"):
        asked_range(at(3), at(3), NOW, 1.0)


@pytest.mark.parametrize(
    ("asked", "n_pending", "n_logged", "source", "told"),
    [
        ("auto", 0, 0, "batches", ""),
        ("auto", 1, 9_000, "batches", ""),
        ("auto", 0, 199, "batches", "has 199 rows that no window has judged"),
        ("auto", 0, 200, "predictions", "no batch is pending"),
        ("batches", 0, 9_000, "batches", ""),
        ("predictions", 1, 0, "predictions", ""),
    ],
)
def test_the_log_is_judged_where_no_batch_waits(
    asked: str, n_pending: int, n_logged: int, source: str, told: str
) -> None:
    """A batch that waits is judged first, and nothing changes for a model whose log has too few rows."""
    found = chosen_source(asked, n_pending=n_pending, n_logged=n_logged, min_rows=200)  # type: ignore[arg-type] # one of three
    assert found.source == source
    assert told in " ".join(found.notes)
    assert bool(found.notes) == bool(told)


def test_a_time_is_iso_8601() -> None:
    """Nothing asked is no bound, a time of the log without an offset is UTC, and a mistake is told with its option."""
    assert stated_time("--since", None) is None
    assert stated_time("--since", "2026-03-01") == datetime(2026, 3, 1)
    assert asked_time("--since", "2026-03-01T02:00:00+02:00") == datetime(2026, 3, 1, tzinfo=UTC)
    assert asked_time("--since", "2026-03-01") == datetime(2026, 3, 1, tzinfo=UTC)
    with pytest.raises(ConfigError, match=r"--until expects a time such as 2026-03-01 or .*, found 'yesterday'"):
        asked_time("--until", "yesterday")


def test_a_range_ends_now_at_the_latest() -> None:
    """The next window begins where a judged one ended: a later end would leave out what is answered until then."""
    found = asked_range(at(3), NOW + HOUR, NOW, 1.0)
    assert (found.since, found.until) == (at(3), NOW)
    assert found.notes == ("--until is later than now: the window ends at 2026-03-01 12:30 UTC",)
    assert asked_range(at(3), NOW, NOW, 1.0).notes == ()
    assert asked_range(None, NOW + HOUR, NOW, 1.0).since == NOW - HOUR


def test_a_range_may_end_as_early_as_a_time_can() -> None:
    """It begins with the first moment at the earliest."""
    end = datetime(1, 1, 1, 0, 30, tzinfo=UTC)
    assert asked_range(None, end, NOW, 1.0).since == datetime(1, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("text", ["0001-01-01T00:00+05:00", "9999-12-31T23:00-05:00"])
def test_a_time_without_a_moment_in_utc_is_refused(text: str) -> None:
    """Before the first year or after the last, once the offset is applied."""
    with pytest.raises(ConfigError, match="--since expects a time of the years 1 to 9999"):
        asked_time("--since", text)
