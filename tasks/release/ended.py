"""End a release whose champion changed in another way: by a rollback, or by an approval of another version."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from sqlalchemy import Engine

from config.settings import Settings
from store.database import open_database
from store.releases.records import ReleaseState
from store.releases.releases import end_stale
from tasks.champions.aliases import project
from tasks.champions.approvals import Move, rollback
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


@contextmanager
def ending_release(model: str, settings: Settings) -> Iterator[None]:
    """End a release that a change of the champion within makes pointless, also if MLflow failed after the change."""
    engine = open_database(settings.database_url)
    try:
        yield
    finally:
        ended = ended_by_another_champion(engine, model)
    if ended is not None:
        project(model, settings)  # the alias of the released version


def roll_back(model: str, reason: str, settings: Settings) -> Move:
    """Return to the champion before, see :func:`tasks.champions.approvals.rollback`, and end a running release."""
    with ending_release(model, settings):
        return rollback(model, reason, settings)
