"""Releases for tests."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Engine

from core.release.plan import Plan
from core.release.recorded import RecordedPlan
from store.champions import current_champion, start_tenure
from store.releases.records import Action, Release, ReleaseState, StageKind
from store.releases.releases import Move, move_release, start_release

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def crowned(engine: Engine, model: str, version: int = 1) -> int:
    """Make a version champion and return the sequence of its entry."""
    present = current_champion(engine, model)
    expected = present.sequence if present else 0
    facts: dict[str, Any] = {"kind": "gate", "reason": "better", "actor": "ann", "at": AT}
    return start_tenure(engine, model, version, expected_sequence=expected, **facts).sequence


def release_of(model: str, version: int = 2, champion: int = 1, champion_sequence: int = 1) -> Release:
    """Return a release that was not started yet."""
    return Release(
        model=model,
        number=0,
        version=version,
        manifest="a" * 64,
        champion=champion,
        champion_sequence=champion_sequence,
        plan=RecordedPlan(Plan(), "wait", 60.0).to_json(),
        salt="salt",
        kind="gate",
        reason="better by the gate",
        actor="gate",
        started_at=AT,
    )


def started(engine: Engine, model: str, version: int = 2) -> ReleaseState:
    """Make version 1 champion and start the release of another one in the shadow."""
    sequence = crowned(engine, model)
    return start_release(engine, release_of(model, version, champion_sequence=sequence), "shadow", 0)


def moved(
    engine: Engine,
    state: ReleaseState,
    action: Action,
    stage: StageKind = "over",
    share: int = 0,
    *,
    minutes: float = 1,
    actor: str = "release",
) -> ReleaseState:
    """Move a release."""
    at = AT + timedelta(minutes=minutes)
    return move_release(engine, state, Move(action, stage, share, f"{action} because", actor, "", at))
