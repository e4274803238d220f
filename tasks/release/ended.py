"""End a release whose champion changed in another way: by a rollback, or by an approval of another version."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import Engine

from store.releases.records import ReleaseState
from store.releases.releases import end_stale
from tasks.release.mesh import follow
from tasks.runs.actor import actor


def ended_by_another_champion(engine: Engine, model: str) -> ReleaseState | None:
    """End a model's running release if the champion is not the one that it expects; a mesh gets the share.

    Each change of the champion calls this. If it is killed before that, the next look ends the release.

    Returns
    -------
    ReleaseState or None
        The ended release; None if there was nothing to end.
    """
    ended = end_stale(engine, model, actor(), datetime.now(UTC))
    if ended is not None:
        follow(engine, model)
    return ended
