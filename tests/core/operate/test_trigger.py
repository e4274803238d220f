"""A trigger as JSON."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from core.operate.trigger import Trigger

AT = datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)


def test_the_document_is_json_without_loss() -> None:
    """Moments keep their microseconds and their zone, those that are not known are null, the rest is as it is."""
    trigger = Trigger("credit", "webhook:github:1", "webhook", "github", '{"a": "ü"}', AT, answered_at=AT, version=3)
    content = json.loads(json.dumps(trigger.to_dict()))
    assert datetime.fromisoformat(content["received_at"]) == AT
    assert (content["next_at"], content["started_at"], content["answered_at"]) == (None, None, content["received_at"])
    assert (content["document"], content["version"], content["status"]) == ('{"a": "ü"}', 3, "waiting")
    assert content.keys() == vars(trigger).keys()
