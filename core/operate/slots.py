"""Which scheduled run is still needed when several of one schedule are waiting."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime


def newer_slot(slot: datetime, others: Iterable[datetime], now: datetime) -> datetime | None:
    """Return the newest due slot after a run's own slot; None where the run's own is the newest.

    Parameters
    ----------
    slot
        Moment for which the run was scheduled.
    others
        Slots of the other runs of the same schedule that wait, run or are complete. Failed and cancelled runs are not
        among them: they did not do this run's work.
    now
        A slot is due from its moment on.

    Examples
    --------
    >>> from datetime import UTC
    >>> eight, nine, ten = (datetime(2026, 1, 1, hour, tzinfo=UTC) for hour in (8, 9, 10))
    >>> newer_slot(eight, [eight, nine, ten], now=nine).hour, newer_slot(nine, [eight, nine, ten], now=nine)
    (9, None)
    """
    return max((other for other in others if slot < other <= now), default=None)
