"""Triggers and their outcomes, formatted for a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from cli.output import table
from core.text import readable

if TYPE_CHECKING:
    from core.operate.retraining import RetrainOutcome
    from core.operate.trigger import Trigger

REASON_WIDTH = 90


def retrain_lines(outcome: RetrainOutcome) -> list[str]:
    """Report the outcome of a trigger, with reasons."""
    version = f" version {outcome.version}" if outcome.version is not None else ""
    repeated = " (answered before)" if outcome.repeated else ""
    return [f"{outcome.model}: {outcome.status}{version}{repeated}", *(f"  - {reason}" for reason in outcome.reasons)]


def trigger_lines(found: Sequence[Trigger], model: str | None) -> list[str]:
    """One line for each trigger, newest first."""
    if not found:
        return [f"no retraining of {model or 'any model'} was requested yet; request one: perennial retrain MODEL"]
    header = ("when (UTC)", "model", "kind", "sender", "outcome", "version", "seconds", "reason")
    return table(header, [_row(trigger) for trigger in found])


def _row(trigger: Trigger) -> tuple[str, ...]:
    return (
        f"{trigger.received_at.astimezone(UTC):%Y-%m-%d %H:%M:%S}",
        trigger.model,
        trigger.kind,
        trigger.sender,
        trigger.outcome or f"({trigger.status})",
        "–" if trigger.version is None else str(trigger.version),
        _seconds(trigger.received_at, trigger.answered_at),
        readable(_why(trigger), REASON_WIDTH),
    )


def _why(trigger: Trigger) -> str:
    if trigger.leader is not None:
        return f"answered by the run of {trigger.leader}"
    if trigger.outcome is None and trigger.attempts:
        return f"started again {trigger.attempts} times"
    return trigger.reason or ""


def _seconds(begin: datetime, end: datetime | None) -> str:
    return "–" if end is None else f"{(end - begin).total_seconds():.0f}"
