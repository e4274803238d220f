"""Alerts: which were decided on, and which reached their destination."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from sqlalchemy import Connection, Engine, insert, or_, select, update

from core.operate.alerts import Alert, Level, with_earlier
from core.wrong_clock import LONGEST_PAUSE, newest_possible
from store.database import reading, writing
from store.tables import AlertRow, EventRow


@dataclass(frozen=True)
class StoredAlert:
    """An alert for one destination.

    Parameters
    ----------
    id
        UUID of the alert.
    key, level, title, body
        As in :class:`core.operate.alerts.Alert`.
    destination
        Name of the destination, without its secrets.
    created_at
        When the alert was created.
    n_more
        Number of alerts with the same key that were suppressed in the quiet hours; the next alert states it.
    attempts
        Number of delivery attempts, including one that is under way.
    next_at
        Earliest time of the next attempt; None once it is sent or given up.
    sent_at
        When it was delivered; None if it was not.
    """

    id: str
    key: str
    destination: str
    level: Level
    title: str
    body: str
    created_at: datetime
    n_more: int
    attempts: int
    next_at: datetime | None
    sent_at: datetime | None

    @property
    def status(self) -> str:
        """``sent``, ``waiting`` or ``given up``."""
        if self.sent_at is not None:
            return "sent"
        return "given up" if self.next_at is None else "waiting"

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as values that JSON can hold, times in ISO 8601."""
        moments = ("created_at", "next_at", "sent_at")
        texts = ("id", "key", "destination", "level", "title", "body", "n_more", "attempts", "status")
        return {
            **{name: getattr(self, name) for name in texts},
            **{name: (moment := getattr(self, name)) and moment.isoformat() for name in moments},
        }


def decide_alerts(
    engine: Engine,
    alert_of: Callable[[Mapping[str, Any]], Alert | None],
    destinations: Sequence[str],
    quiet: timedelta,
    at: datetime,
    limit: int = 200,
) -> int:
    """Create the alerts of the oldest unprocessed events and return how many events were processed.

    The events are marked and the alerts inserted in one transaction, so each event is processed exactly once even if
    the process is killed. Two processes at once take different events.

    Parameters
    ----------
    alert_of
        Returns the alert of an event; None if the event needs none.
    destinations
        Names of all destinations. If there are none, the events are marked as processed without an alert.
    quiet
        Time in which a further alert of the same key is only counted, see :func:`put_alert`.
    at
        The present time, with time zone.
    limit
        Maximum number of events.
    """
    chosen = select(EventRow.id, EventRow.document).where(EventRow.alerted_at.is_(None))
    chosen = chosen.order_by(EventRow.occurred_at, EventRow.id).limit(limit).with_for_update(skip_locked=True)
    with writing(engine) as connection:
        events = connection.execute(chosen).all()
        for event in events:
            message = alert_of(json.loads(event.document))
            if message is not None:
                put_alert(connection, message, destinations, quiet, at)
        ids = [event.id for event in events]
        connection.execute(update(EventRow).where(EventRow.id.in_(ids)).values(alerted_at=at))
        return len(events)


def put_alert(
    connection: Connection, message: Alert, destinations: Iterable[str], quiet: timedelta, at: datetime
) -> None:
    """Insert an alert for each destination; if its newest alert of the same key is within ``quiet``, only count it.

    An alert that a wrong clock dated ahead silences no other one.
    """
    for destination in destinations:
        newest = _newest(connection, message.key, destination, newest_possible(at))
        if newest is not None and newest.created_at > at - quiet:
            counted = update(AlertRow).where(AlertRow.id == newest.id)
            connection.execute(counted.values(n_more=AlertRow.n_more + 1))
            continue
        text = message if newest is None else with_earlier(message, newest.n_more, newest.created_at)
        row: dict[str, Any] = {"id": str(uuid4()), "key": text.key, "destination": destination, "level": text.level}
        row |= {"title": text.title, "body": text.body, "created_at": at, "n_more": 0, "attempts": 0, "next_at": at}
        connection.execute(insert(AlertRow).values(row))


def claim_alerts(engine: Engine, at: datetime, until: datetime, limit: int = 50) -> list[StoredAlert]:
    """Claim the alerts that are due at ``at``, oldest first; no other process claims them before ``until``.

    If the process dies, its alerts are due again after ``until``, with one attempt more.
    """
    is_due = or_(AlertRow.next_at <= at, AlertRow.next_at > at + LONGEST_PAUSE)
    due = select(AlertRow.__table__).where(AlertRow.sent_at.is_(None), is_due)
    due = due.order_by(AlertRow.created_at, AlertRow.id).limit(limit).with_for_update(skip_locked=True)
    with writing(engine) as connection:
        found = [StoredAlert(**row) for row in connection.execute(due).mappings()]
        taken = update(AlertRow).where(AlertRow.id.in_([one.id for one in found]))
        connection.execute(taken.values(next_at=until, attempts=AlertRow.attempts + 1))
        return found


def mark_delivered(engine: Engine, alert_id: str, at: datetime) -> None:
    """Record that an alert was delivered."""
    _change(engine, alert_id, {"sent_at": at, "next_at": None})


def postpone_alert(engine: Engine, alert_id: str, attempts: int, until: datetime | None) -> None:
    """Record the failed attempts of an alert and the time of the next one; None gives it up."""
    _change(engine, alert_id, {"attempts": attempts, "next_at": until})


def newest_alerts(engine: Engine, limit: int = 50) -> list[StoredAlert]:
    """Return the newest alerts, newest first."""
    chosen = select(AlertRow.__table__).order_by(AlertRow.created_at.desc(), AlertRow.id.desc()).limit(limit)
    with reading(engine) as connection:
        return [StoredAlert(**row) for row in connection.execute(chosen).mappings()]


def _newest(connection: Connection, key: str, destination: str, until: datetime) -> StoredAlert | None:
    same = AlertRow.key == key, AlertRow.destination == destination
    chosen = select(AlertRow.__table__).where(*same, AlertRow.created_at <= until)
    row = connection.execute(chosen.order_by(AlertRow.created_at.desc()).limit(1)).mappings().first()
    return None if row is None else StoredAlert(**row)


def _change(engine: Engine, alert_id: str, values: dict[str, Any]) -> None:
    chosen = update(AlertRow).where(AlertRow.id == alert_id, AlertRow.sent_at.is_(None))
    with writing(engine) as connection:
        connection.execute(chosen.values(values))
