"""The history of scorings holds each once and is only ever added to, on SQLite and on PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Engine, delete, text, update

from core.errors import StorageError
from store.database import writing
from store.scored.batches import ScoredBatch, find_scored_batch, is_scored_output, record_scored_batch, scored_batches
from store.tables import ScoredBatchRow
from tests.store.stories import Story

AT = datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC)


def batch(model: str, minute: int = 0, **given: Any) -> ScoredBatch:
    """Return a scoring, recorded some minutes after the first."""
    facts = ScoredBatch(
        id=uuid4().hex * 2,
        model=model,
        version=3,
        manifest="m" * 64,
        run="r" * 64,
        input="rows/*.csv",
        input_sha256="i" * 64,
        output=f"/out/{model}/scores.parquet",
        output_sha256="o" * 64,
        set_aside="/out/scores.set-aside.parquet",
        features=True,
        n_rows=3_000_000_000,
        n_scored=2_999_999_999,
        n_set_aside=1,
        predicted_at=AT,
        recorded_at=AT + timedelta(minutes=minute),
    )
    return replace(facts, **given)


def test_a_scoring_comes_back_as_it_was_recorded(tell: Callable[[Story], None]) -> None:
    """Newest first; of two entries with the same id the first is kept."""

    def story(engine: Engine, model: str) -> None:
        first, second = batch(model), batch(model, 1, set_aside=None, features=False)
        assert not is_scored_output(engine, first.output)
        for one in (first, second):
            assert record_scored_batch(engine, one) == one
        assert record_scored_batch(engine, replace(first, output_sha256="x" * 64)) == first
        assert find_scored_batch(engine, second.id) == second
        assert find_scored_batch(engine, "f" * 64) is None
        assert scored_batches(engine, model) == [second, first]
        assert scored_batches(engine, model, 1) == [second]
        assert is_scored_output(engine, first.output)

    tell(story)


def test_nothing_can_be_changed(tell: Callable[[Story], None]) -> None:
    """The database refuses it, from every program; retention may delete an entry that is older than a week."""

    def story(engine: Engine, model: str) -> None:
        record_scored_batch(engine, batch(model, recorded_at=datetime.now(UTC) - timedelta(days=6.9)))
        changes = [update(ScoredBatchRow).values(n_rows=1), delete(ScoredBatchRow)]
        if engine.dialect.name == "sqlite":
            changes.append(text("INSERT OR REPLACE INTO scored_batches SELECT * FROM scored_batches"))  # type: ignore[arg-type]
        for change in changes:
            with pytest.raises(StorageError, match=r"append-only|refuse"), writing(engine) as connection:
                connection.execute(change)

    tell(story)


def test_an_old_entry_may_be_deleted(tell: Callable[[Story], None]) -> None:
    """After a week, which no setting of retention falls below."""

    def story(engine: Engine, model: str) -> None:
        old = batch(model, recorded_at=datetime.now(UTC) - timedelta(days=7.1))
        record_scored_batch(engine, old)
        with writing(engine) as connection:
            connection.execute(delete(ScoredBatchRow).where(ScoredBatchRow.model == model))
        assert find_scored_batch(engine, old.id) is None

    tell(story)
