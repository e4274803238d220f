"""Moments that a wrong clock recorded: they must hold nothing up once the clock is right."""

from __future__ import annotations

from datetime import datetime, timedelta

AHEAD = timedelta(minutes=5)
"""How far the clocks of two machines may differ, as for webhooks."""

LONGEST_PAUSE = timedelta(days=1)
"""No pause between two attempts is longer."""


def newest_possible(now: datetime) -> datetime:
    """Return the latest moment that can have been recorded by now.

    Examples
    --------
    >>> newest_possible(datetime(2026, 3, 1, 12))
    datetime.datetime(2026, 3, 1, 12, 5)
    """
    return now + AHEAD


def pauses(until: datetime | None, now: datetime) -> bool:
    """Return whether a pause goes on; one that ends later than any pause lasts does not.

    Examples
    --------
    >>> noon = datetime(2026, 3, 1, 12)
    >>> pauses(noon + timedelta(hours=1), noon), pauses(noon, noon), pauses(None, noon)
    (True, False, False)
    >>> pauses(noon + timedelta(days=365), noon)
    False
    """
    return until is not None and now < until <= now + LONGEST_PAUSE
