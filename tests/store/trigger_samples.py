"""Triggers for tests."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from core.operate.trigger import Trigger

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def webhook(model: str = "credit", trigger_id: str = "standard:ci:1", **given: Any) -> Trigger:
    """Trigger as the receiver of webhooks makes it."""
    facts: dict[str, Any] = {"sender": "ci", "document": "{}", "received_at": AT}
    return Trigger(model=model, id=trigger_id, kind="webhook", **(facts | given))
