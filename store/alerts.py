"""Messages to people: which were decided on, and which reached their destination."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from sqlalchemy import Connection, Engine, insert, select, update

from core.operate.alerts import Alert, Level, with_earlier
from store.database import reading, writing
from store.tables import AlertRow, EventRow


@dataclass(frozen=True)
class StoredAlert:
    """An alert for one destination.

    Parameters
    ----------
    id
        Its own.
    key, level, title, body
        As in :class:`core.operate.alerts.Alert`.
    destination
        Name of the destination, without its secrets.
    created_at
        When it was decided on.
    n_more
        How many of the same key followed in the quiet hours and were not sent; the next one says so.
    attempts
        How often it was tried in vain, or is being tried.
    next_at
        When it may be tried; None where it was sent or given up.
    sent_at
        When it was sent.
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
        """Content that JSON can hold."""
        moments = ("created_at", "next_at", "sent_at")
        texts = ("id", "key", "destination", "level", "title", "body", "n_more", "attempts", "status")
        return {
            **{name: getattr(self, name) for name in texts},
            **{name: (moment := getattr(self, name)) and moment.isoformat() for name in moments},
        }


def decide_alerts(
    engine: Engine,
    told: Callable[[Mapping[str, Any]], Alert | None],
    destinations: Sequence[str],
    quiet: timedelta,
    at: datetime,
    limit: int = 200,
) -> int:
    """Decide about the oldest events nobody decided about, and return about how many.

    The decision and its alerts are one transaction: an event is told once, whoever is killed meanwhile. Two processes
    at once decide about different events.

    Parameters
    ----------
    told
        What people are told of an event; None for nothing.
    destinations
        Names of all; where there are none, nothing is told, now or later.
    quiet
        See :func:`put_alert`.
    """
    chosen = select(EventRow.id, EventRow.document).where(EventRow.alerted_at.is_(None))
    chosen = chosen.order_by(EventRow.occurred_at, EventRow.id).limit(limit).with_for_update(skip_locked=True)
    with writing(engine) as connection:
        events = connection.execute(chosen).all()
        for event in events:
            message = told(json.loads(event.document))
            if message is not None:
                put_alert(connection, message, destinations, quiet, at)
        ids = [event.id for event in events]
        connection.execute(update(EventRow).where(EventRow.id.in_(ids)).values(alerted_at=at))
        return len(events)


def put_alert(
    connection: Connection, message: Alert, destinations: Iterable[str], quiet: timedelta, at: datetime
) -> None:
    """Put an alert up for each destination, or count it where one of its key is not older than the quiet time."""
    for destination in destinations:
        newest = _newest(connection, message.key, destination)
        if newest is not None and newest.created_at > at - quiet:
            counted = update(AlertRow).where(AlertRow.id == newest.id)
            connection.execute(counted.values(n_more=AlertRow.n_more + 1))
            continue
        text = message if newest is None else with_earlier(message, newest.n_more, newest.created_at)
        row: dict[str, Any] = {"id": str(uuid4()), "key": text.key, "destination": destination, "level": text.level}
        row |= {"title": text.title, "body": text.body, "created_at": at, "n_more": 0, "attempts": 0, "next_at": at}
        connection.execute(insert(AlertRow).values(row))


def claim_alerts(engine: Engine, at: datetime, until: datetime, limit: int = 50) -> list[StoredAlert]:
    """Take alerts that are to be tried now, oldest first; nobody else takes them before a moment.

    Whoever dies with them leaves them to be taken again after that moment, with one attempt more.
    """
    due = select(AlertRow.__table__).where(AlertRow.sent_at.is_(None), AlertRow.next_at <= at)
    due = due.order_by(AlertRow.created_at, AlertRow.id).limit(limit).with_for_update(skip_locked=True)
    with writing(engine) as connection:
        found = [StoredAlert(**row) for row in connection.execute(due).mappings()]
        taken = update(AlertRow).where(AlertRow.id.in_([one.id for one in found]))
        connection.execute(taken.values(next_at=until, attempts=AlertRow.attempts + 1))
        return found


def mark_delivered(engine: Engine, alert_id: str, at: datetime) -> None:
    """Remember that an alert reached its destination."""
    _change(engine, alert_id, {"sent_at": at, "next_at": None})


def postpone_alert(engine: Engine, alert_id: str, attempts: int, until: datetime | None) -> None:
    """Remember how often an alert was tried in vain and when it is tried again; None for never."""
    _change(engine, alert_id, {"attempts": attempts, "next_at": until})


def newest_alerts(engine: Engine, limit: int = 50) -> list[StoredAlert]:
    """Return the newest alerts, newest first."""
    chosen = select(AlertRow.__table__).order_by(AlertRow.created_at.desc(), AlertRow.id.desc()).limit(limit)
    with reading(engine) as connection:
        return [StoredAlert(**row) for row in connection.execute(chosen).mappings()]


def _newest(connection: Connection, key: str, destination: str) -> StoredAlert | None:
    chosen = select(AlertRow.__table__).where(AlertRow.key == key, AlertRow.destination == destination)
    row = connection.execute(chosen.order_by(AlertRow.created_at.desc()).limit(1)).mappings().first()
    return None if row is None else StoredAlert(**row)


def _change(engine: Engine, alert_id: str, values: dict[str, Any]) -> None:
    chosen = update(AlertRow).where(AlertRow.id == alert_id, AlertRow.sent_at.is_(None))
    with writing(engine) as connection:
        connection.execute(chosen.values(values))
