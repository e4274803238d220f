"""Moments that a wrong clock recorded."""

from datetime import UTC, datetime, timedelta

import pytest

from core.wrong_clock import AHEAD, LONGEST_PAUSE, newest_possible, pauses

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def test_clocks_of_two_machines_may_differ_by_minutes() -> None:
    """What another machine recorded a moment ago is possible."""
    assert newest_possible(NOW) == NOW + AHEAD


@pytest.mark.parametrize(
    ("until", "goes_on"),
    [
        (None, False),
        (NOW - SECOND, False),
        (NOW, False),
        (NOW + SECOND, True),
        (NOW + LONGEST_PAUSE, True),
        (NOW + LONGEST_PAUSE + SECOND, False),
        (datetime(2099, 1, 1, tzinfo=UTC), False),
    ],
)
def test_a_pause_ends_within_a_day(until: datetime | None, goes_on: bool) -> None:
    """One that a clock of another year set is over."""
    assert pauses(until, NOW) is goes_on
