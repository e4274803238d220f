"""The outbox: events of models until they are sent to Prefect and turned into alerts."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, select, update

from core.operate.events import Event
from store.database import reading, upsert, writing
from store.tables import EventRow


def record_event(connection: Connection, event: Event) -> None:
    """Put an event into the outbox, in the transaction of the change that it reports; a repeat keeps the first."""
    row = {
        "id": str(event.id),
        "name": event.name,
        "model": event.model,
        "document": json.dumps(event.to_prefect(), ensure_ascii=False),
        "occurred_at": event.occurred_at,
    }
    upsert(connection, EventRow, [row], replace=())


def unsent_events(engine: Engine, limit: int = 100) -> list[dict[str, Any]]:
    """Return the events that were not sent to Prefect yet, oldest first, in the format of its API."""
    chosen = select(EventRow.document).where(EventRow.sent_at.is_(None)).order_by(EventRow.occurred_at, EventRow.id)
    with reading(engine) as connection:
        return [json.loads(text) for text in connection.scalars(chosen.limit(limit))]


def mark_sent(engine: Engine, ids: Iterable[str], at: datetime) -> None:
    """Record that events were sent to Prefect."""
    with writing(engine) as connection:
        connection.execute(update(EventRow).where(EventRow.id.in_(list(ids))).values(sent_at=at))
