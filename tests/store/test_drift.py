"""The history of drift holds every window once, in order, and is only ever added to, on SQLite and on PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Engine, delete, insert, select, text, update

from core.drift.windows import EarlierWindow
from core.errors import StorageError
from store.database import writing
from store.drift import DriftWindow, drift_windows, earlier_windows, find_window, record_window
from store.tables import DriftWindowRow
from tests.store.stories import Story, with_engine

AT = datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC)
JANUARY = datetime(2026, 1, 1, 12, 30)
FEBRUARY = datetime(2026, 2, 1)
WRITERS = 4


def window(model: str, minute: int = 0, **given: Any) -> DriftWindow:
    """Return a month that drifted, measured some minutes after the first."""
    facts = DriftWindow(
        id=uuid4().hex * 2,
        model=model,
        champion=3,
        against="champion",
        status="drift",
        drifted=True,
        retrain=False,
        n_rows=2_012,
        first_time=JANUARY,
        last_time=FEBRUARY - timedelta(microseconds=1),
        since=JANUARY,
        until=FEBRUARY,
        batches=("0001-aaaa", "0002-bb'\"\\;ä\n"),
        document='{"status": "drift", "level": "a\\u0000\\ud800"}',
        measured_at=AT + timedelta(minutes=minute),
    )
    return replace(facts, **given)


def test_a_window_comes_back_as_it_was_recorded(tell: Callable[[Story], None]) -> None:
    """Every field survives, to the microsecond and to the last character of foreign text."""

    def story(engine: Engine, model: str) -> None:
        bare = window(model, 1, since=None, until=None, first_time=None, last_time=None, batches=(), n_rows=0)
        for given in (window(model), bare, window(model, 2, n_rows=3_000_000_000)):
            assert record_window(engine, given) == given
            assert find_window(engine, given.id) == given
        assert find_window(engine, "f" * 64) is None

    tell(story)


def test_the_same_window_twice_is_one_entry(tell: Callable[[Story], None]) -> None:
    """A repeat gets the entry on record, with the moment and the answer of the first."""

    def story(engine: Engine, model: str) -> None:
        first = record_window(engine, window(model))
        later = replace(first, measured_at=AT + timedelta(days=1), status="ok", document="{}")
        assert record_window(engine, later) == first
        assert drift_windows(engine, model) == [first]

    tell(story)


def test_windows_are_told_oldest_first(tell: Callable[[Story], None]) -> None:
    """They stand in the order they were measured, not recorded; a limit keeps the newest, other models none."""

    def story(engine: Engine, model: str) -> None:
        third, first, second = (record_window(engine, window(model, minute)) for minute in (3, 1, 2))
        record_window(engine, window(f"{model}x", 4))
        assert drift_windows(engine, model) == [first, second, third]
        assert drift_windows(engine, model, 2) == [second, third]
        assert drift_windows(engine, model, 9) == [first, second, third]
        assert drift_windows(engine, model, 0) == []
        assert drift_windows(engine, "another") == []

    tell(story)


def test_later_decisions_read_no_documents(tell: Callable[[Story], None]) -> None:
    """They get what they need of every window, in the order measured, also where a document is not JSON."""

    def story(engine: Engine, model: str) -> None:
        later, first = (record_window(engine, window(model, minute, document="cut")) for minute in (2, 1))
        found = earlier_windows(engine, model)
        assert [one.id for one in found] == [first.id, later.id]
        assert found[0] == EarlierWindow(**{field.name: getattr(first, field.name) for field in fields(EarlierWindow)})
        assert earlier_windows(engine, "another") == []

    tell(story)


def test_windows_of_one_moment_have_one_order(tell: Callable[[Story], None]) -> None:
    """Equal moments are ordered by id, with a limit or without."""

    def story(engine: Engine, model: str) -> None:
        found = [record_window(engine, window(model, id=letter + uuid4().hex)) for letter in "cab"]
        ordered = sorted(found, key=lambda entry: entry.id)
        assert drift_windows(engine, model) == ordered
        assert drift_windows(engine, model, 1) == ordered[-1:]

    tell(story)


def test_times_of_the_data_lose_their_zone(tell: Callable[[Story], None]) -> None:
    """One that names a zone is recorded as UTC, as ingestion does, whichever database and machine."""

    def story(engine: Engine, model: str) -> None:
        east = timezone(timedelta(hours=9))
        found = record_window(engine, window(model, since=datetime(2026, 1, 1, 9, tzinfo=east)))
        assert found.since == datetime(2026, 1, 1)

    tell(story)


def test_the_history_of_drift_cannot_be_changed(tell: Callable[[Story], None]) -> None:
    """The database itself refuses to update, replace or delete what is on record."""

    def story(engine: Engine, model: str) -> None:
        entry = record_window(engine, window(model))
        again = insert(DriftWindowRow).prefix_with("OR REPLACE")
        again = again.from_select([*DriftWindowRow.__table__.columns], select(DriftWindowRow))
        emptied = again if engine.dialect.name == "sqlite" else text("TRUNCATE drift_windows")
        for change in (update(DriftWindowRow).values(retrain=True), delete(DriftWindowRow), emptied):
            with pytest.raises(StorageError, match="drift_windows is append-only"), writing(engine) as connection:
                connection.execute(change)
        assert drift_windows(engine, model) == [entry]

    tell(story)


def test_writers_at_once_agree_on_one_entry(database: str) -> None:
    """All who measured the same window at the same time get the entry of whoever was first."""
    model, name = f"m{uuid4().hex}", uuid4().hex * 2
    with_engine(database, lambda _: None)  # the tables are there
    stood: list[DriftWindow] = []

    def record(minute: int) -> None:
        with_engine(database, lambda engine: stood.append(record_window(engine, window(model, minute, id=name))))

    with ThreadPoolExecutor(WRITERS) as pool:
        list(pool.map(record, range(WRITERS)))
    assert len(stood) == WRITERS
    with_engine(database, lambda engine: stood.extend(drift_windows(engine, model)))
    assert len(stood) == WRITERS + 1
    assert len(set(stood)) == 1
