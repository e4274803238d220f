"""The record of a scoring follows its output through a door that only an erasure opens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from sqlalchemy import Engine, Update, update

from core.errors import StorageError
from store.database import writing
from store.erasure.records import begin_erasure, finish_erasure
from store.erasure.scorings import RewrittenOutput, follow_output
from store.scored.batches import find_scored_batch, record_scored_batch, scored_batches
from store.tables import ErasureRow, ScoredBatchRow
from tests.store.scored.test_batches import batch
from tests.store.stories import Story

AT = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)
LEFT = RewrittenOutput("a" * 64, 8, 1)


def test_digest_and_numbers_follow(tell: Callable[[Story], None]) -> None:
    """A repeat changes nothing more, and the door is shut afterwards."""

    def story(engine: Engine, model: str) -> None:
        first, second = batch(model), batch(model, 1)
        for one in (first, second):
            record_scored_batch(engine, one)
        erasure = begin_erasure(engine, model, "ada@host", "", AT)
        for _ in range(2):
            follow_output(engine, erasure, first.id, LEFT)
            expected = replace(first, output_sha256="a" * 64, n_rows=9, n_scored=8, n_set_aside=1)
            assert find_scored_batch(engine, first.id) == expected
        assert scored_batches(engine, model)[::-1] == [expected, second]
        with pytest.raises(StorageError, match="append-only"), writing(engine) as connection:
            connection.execute(update(ScoredBatchRow).where(ScoredBatchRow.id == first.id).values(n_rows=1))

    tell(story)


def test_no_other_change_passes_the_door(tell: Callable[[Story], None]) -> None:
    """Not of another model, not of another column, and not of an erasure that has ended."""

    def story(engine: Engine, model: str) -> None:
        own, other = batch(model), batch(f"{model}x")
        for one in (own, other):
            record_scored_batch(engine, one)
        erasure = begin_erasure(engine, model, "ada@host", "", AT)
        door = update(ErasureRow).where(ErasureRow.id == erasure).values(door=True)
        change = update(ScoredBatchRow).where(ScoredBatchRow.id == own.id)
        for refused in (change.values(version=4), change.values(output="/elsewhere"), change.values(run="x" * 64)):
            with pytest.raises(StorageError, match="append-only"):
                _in_one_transaction(engine, door, refused)
        with pytest.raises(StorageError, match="append-only"):
            follow_output(engine, erasure, other.id, LEFT)
        finish_erasure(engine, erasure, {}, AT)
        with pytest.raises(StorageError, match="append-only"):
            follow_output(engine, erasure, own.id, LEFT)
        assert find_scored_batch(engine, own.id) == own

    tell(story)


def _in_one_transaction(engine: Engine, *changes: Update) -> None:
    with writing(engine) as connection:
        for change in changes:
            connection.execute(change)
