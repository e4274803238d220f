"""What the doctor's tests share."""

from __future__ import annotations

from config.settings import Settings
from core.operate.findings import Finding


def only(findings: list[Finding]) -> Finding:
    """Return the one finding that a check has."""
    assert len(findings) == 1, findings
    return findings[0]


def changed(settings: Settings, **changes: object) -> Settings:
    """Return settings with some fields changed."""
    return settings.model_copy(update=changes)
