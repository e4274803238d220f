"""The record of an erasure: who, when and how much, and nothing that can be changed afterwards."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine, delete, text, update

from core.errors import StorageError
from store.database import writing
from store.erasure.records import begin_erasure, erasures, finish_erasure
from store.tables import ErasureRow
from tests.store.stories import Story

AT = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)


def test_an_erasure_is_recorded_when_it_begins_and_when_it_ends(tell: Callable[[Story], None]) -> None:
    """One that was killed has no end; the oldest comes first."""

    def story(engine: Engine, model: str) -> None:
        first = begin_erasure(engine, model, "ada@host", "request 1", AT)
        second = begin_erasure(engine, model, "bob@host", "", AT + timedelta(hours=1))
        finish_erasure(engine, second, {"removed": {"labels": 2}}, AT + timedelta(hours=2))
        found = erasures(engine, model)
        assert [(one.id, one.actor, one.reason, one.started_at) for one in found] == [
            (first, "ada@host", "request 1", AT),
            (second, "bob@host", "", AT + timedelta(hours=1)),
        ]
        assert [(one.finished_at, one.document) for one in found] == [
            (None, {}),
            (AT + timedelta(hours=2), {"removed": {"labels": 2}}),
        ]
        assert erasures(engine, f"{model}x") == []

    tell(story)


def test_a_record_cannot_be_changed(tell: Callable[[Story], None]) -> None:
    """Of one that runs, only its end and its door; of one that ended, nothing."""

    def story(engine: Engine, model: str) -> None:
        running = begin_erasure(engine, model, "ada@host", "", AT)
        ended = begin_erasure(engine, model, "ada@host", "", AT)
        finish_erasure(engine, ended, {}, AT)
        of_running, of_ended = (update(ErasureRow).where(ErasureRow.id == one) for one in (running, ended))
        changes = [
            of_running.values(actor="bob"),
            of_running.values(started_at=AT + timedelta(days=1)),
            of_running.values(reason="other"),
            of_ended.values(document='{"removed": {}}'),
            of_ended.values(finished_at=None),
            of_ended.values(door=True),
            delete(ErasureRow).where(ErasureRow.id == running),
        ]
        if engine.dialect.name == "sqlite":
            changes.append(text("INSERT OR REPLACE INTO erasures SELECT * FROM erasures"))  # type: ignore[arg-type]
        for change in changes:
            with pytest.raises(StorageError, match="append-only"), writing(engine) as connection:
                connection.execute(change)

    tell(story)
