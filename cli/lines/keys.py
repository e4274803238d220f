"""API keys as lines."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from cli.output import table, utc_text
from core.text import number
from store.key_text import ApiKey, key_state


def key_lines(keys: Sequence[ApiKey]) -> list[str]:
    """One line per key."""
    rows = [
        (
            key.id,
            key.name,
            " ".join(key.scopes),
            " ".join(key.models) or "all",
            number(key.rate) if key.rate is not None else "–",
            utc_text(key.created_at),
            utc_text(key.expires_at) if key.expires_at else "never",
            key_state(key, datetime.now(UTC)),
        )
        for key in keys
    ]
    header = ("id", "name", "scopes", "models", "rate", "created (UTC)", "expires", "state")
    return table(header, rows) or ["no keys yet; make one with: perennial keys create NAME --scope predict"]
