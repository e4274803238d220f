"""Deletion of old rows: labels, scorings, answered triggers, events, alerts; and shortening of drift decisions.

The history of champions, verdicts, reviews, batches and data versions is never deleted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Engine, and_, delete, func, inspect, or_, select, tuple_, update
from sqlalchemy.orm import DeclarativeBase

from core.retention.documents import START, shortened
from store.database import reading, writing
from store.tables import AlertRow, DriftWindowRow, EventRow, LabelRow, ScoredBatchRow, TriggerRow

ROWS_PER_WRITE = 1_000
"""Rows changed in one transaction, so that other writers wait for the lock only briefly."""

ANSWERED = ("answered", "failed")


def old_labels(model: str, before: datetime) -> ColumnElement[bool]:
    """Return the condition of a model's labels that were received before a time."""
    return and_(LabelRow.model == model, LabelRow.received_at < before)


def old_scorings(model: str, before: datetime) -> ColumnElement[bool]:
    """Return the condition of the records of a model's batch scorings from before a time, at least a week ago."""
    return and_(ScoredBatchRow.model == model, ScoredBatchRow.recorded_at < before)


def old_triggers(model: str, before: datetime) -> ColumnElement[bool]:
    """Return the condition of a model's old triggers.

    A trigger without an answer stays, and so does the newest that fitted a model: the cool-down counts from it.
    """
    trained = TriggerRow.trained & TriggerRow.started_at.is_not(None) & (TriggerRow.model == model)
    newest = select(TriggerRow.id).where(trained).order_by(TriggerRow.started_at.desc()).limit(1).scalar_subquery()
    return and_(
        TriggerRow.model == model,
        TriggerRow.received_at < before,
        TriggerRow.answered_at < before,
        TriggerRow.status.in_(ANSWERED),
        TriggerRow.id != func.coalesce(newest, ""),
    )


def old_events(model: str, before: datetime) -> ColumnElement[bool]:
    """Return the condition of a model's events from before a time, sent or not."""
    return and_(EventRow.model == model, EventRow.occurred_at < before)


def old_alerts(before: datetime) -> ColumnElement[bool]:
    """Return the condition of alerts from before a time that were delivered or given up."""
    return and_(AlertRow.created_at < before, or_(AlertRow.sent_at.is_not(None), AlertRow.next_at.is_(None)))


def count_rows(engine: Engine, table: type[DeclarativeBase], condition: ColumnElement[bool]) -> int:
    """Count the rows of a table that fulfil a condition."""
    with reading(engine) as connection:
        return int(connection.execute(select(func.count()).select_from(table).where(condition)).scalar_one())


def delete_rows(engine: Engine, table: type[DeclarativeBase], condition: ColumnElement[bool]) -> int:
    """Delete the rows that fulfil a condition, :data:`ROWS_PER_WRITE` a transaction; return how many."""
    keys = inspect(table).primary_key
    chosen = select(*keys).where(condition).limit(ROWS_PER_WRITE)
    return sum(_in_parts(lambda: _deleted(engine, table, tuple_(*keys), chosen)))


def count_long_documents(engine: Engine, model: str, before: datetime) -> int:
    """Count a model's drift decisions from before a time that are not shortened; the newest never counts."""
    return count_rows(engine, DriftWindowRow, _long(model, before))


def shorten_documents(engine: Engine, model: str, before: datetime) -> int:
    """Shorten a model's drift decisions from before a time, except the newest; return how many."""
    chosen = select(DriftWindowRow.id, DriftWindowRow.document).where(_long(model, before)).limit(ROWS_PER_WRITE)

    def shorten() -> int:
        with writing(engine) as connection:
            rows = connection.execute(chosen).all()
            for row in rows:
                change = update(DriftWindowRow).where(DriftWindowRow.id == row.id)
                connection.execute(change.values(document=shortened(row.document)))
            return len(rows)

    return sum(_in_parts(shorten))


def open_trigger_runs(engine: Engine) -> dict[str, set[str]]:
    """Return the ids of all triggers without an answer by model, and under the empty name the ids of their runs."""
    chosen = select(TriggerRow.model, TriggerRow.id, TriggerRow.flow_run).where(TriggerRow.status.not_in(ANSWERED))
    found: dict[str, set[str]] = {"": set()}
    with reading(engine) as connection:
        for row in connection.execute(chosen):
            found.setdefault(row.model, set()).add(row.id)
            found[""] |= {row.flow_run} - {None}
    return found


def models_with_rows(engine: Engine) -> set[str]:
    """Return the names of all models that have any of these rows; the empty name is the project."""
    found: set[str] = set()
    with reading(engine) as connection:
        for table in (LabelRow, ScoredBatchRow, TriggerRow, EventRow, DriftWindowRow):
            found |= set(connection.execute(select(table.model).distinct()).scalars())
    return found


def _long(model: str, before: datetime) -> ColumnElement[bool]:
    newest = (
        select(DriftWindowRow.id)
        .where(DriftWindowRow.model == model)
        .order_by(DriftWindowRow.measured_at.desc(), DriftWindowRow.id.desc())
        .limit(1)
        .scalar_subquery()
    )
    return and_(
        DriftWindowRow.model == model,
        DriftWindowRow.measured_at < before,
        DriftWindowRow.id != newest,
        func.substr(DriftWindowRow.document, 1, len(START)) != START,
        # A decision without columns has nothing to shorten.
        DriftWindowRow.document.not_like('%"columns": []%'),
    )


def _deleted(engine: Engine, table: type[DeclarativeBase], key: Any, chosen: Any) -> int:
    with writing(engine) as connection:
        return int(connection.execute(delete(table).where(key.in_(chosen))).rowcount)


def _in_parts(change: Callable[[], int]) -> Iterator[int]:
    while done := change():
        yield done
        if done < ROWS_PER_WRITE:
            return
