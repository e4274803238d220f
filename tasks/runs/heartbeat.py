"""File by which the relay shows that it runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from config.settings import Settings

if TYPE_CHECKING:
    pass


def beat_path(settings: Settings) -> Path:
    """File that is touched in every round: the relay lives while it is young."""
    return settings.var / "relay" / "beat"
