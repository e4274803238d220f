"""File by which the relay shows that it runs."""

from __future__ import annotations

from pathlib import Path

from config.settings import Settings


def beat_path(settings: Settings) -> Path:
    """File that is touched in every round: the relay lives while it is young."""
    return settings.var / "relay" / "beat"
