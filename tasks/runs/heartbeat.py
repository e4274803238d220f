"""The relay's heartbeat file."""

from __future__ import annotations

from pathlib import Path

from config.settings import Settings


def beat_path(settings: Settings) -> Path:
    """Return the file that the relay touches in every round; a recent file means that it runs."""
    return settings.var / "relay" / "beat"
