"""Triggers for tests."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Engine, select

from core.operate.trigger import Trigger
from store.database import reading
from store.tables import TriggerRow

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def webhook(model: str = "credit", trigger_id: str = "standard:ci:1", **given: Any) -> Trigger:
    """Trigger as the receiver of webhooks makes it."""
    facts: dict[str, Any] = {"sender": "ci", "document": "{}", "received_at": AT}
    return Trigger(model=model, id=trigger_id, kind="webhook", **(facts | given))


def find_trigger(engine: Engine, model: str, trigger_id: str) -> Trigger | None:
    """Trigger as it is on record."""
    chosen = select(TriggerRow.__table__).where(TriggerRow.model == model, TriggerRow.id == trigger_id)
    with reading(engine) as connection:
        row = connection.execute(chosen).mappings().one_or_none()
        return None if row is None else Trigger(**row)
