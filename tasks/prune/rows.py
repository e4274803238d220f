"""Old rows of the operational database."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

from config.settings import RetentionSettings
from core.retention.items import Item, Kind, Rule
from store.retention.rows import (
    count_long_documents,
    count_rows,
    delete_rows,
    old_alerts,
    old_events,
    old_labels,
    old_scorings,
    old_triggers,
    shorten_documents,
)
from store.tables import AlertRow, EventRow, LabelRow, ScoredBatchRow, TriggerRow
from tasks.prune.found import Findings, Found

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Engine
    from sqlalchemy.orm import DeclarativeBase

ROWS = "rows"


@dataclass(frozen=True)
class _Rows:
    kind: Kind
    model: str
    count: Callable[[], int]
    remove: Callable[[], object]
    before: datetime


def of_model(model: str, engine: Engine, retention: RetentionSettings, now: datetime) -> list[Findings]:
    """Return the old rows of a model; the condition that found them is applied again when they are removed."""
    ages = (retention.labels_days, retention.scored_days, retention.triggers_days)
    labels, scored, triggers = (now - timedelta(days=days) for days in ages)
    drift = now - timedelta(days=retention.drift_days)
    documents = partial(shorten_documents, engine, model, drift)
    return [
        _findings(_deleted("labels", model, engine, LabelRow, old_labels(model, labels), labels)),
        _findings(_deleted("scorings", model, engine, ScoredBatchRow, old_scorings(model, scored), scored)),
        _findings(_deleted("triggers", model, engine, TriggerRow, old_triggers(model, triggers), triggers)),
        _events(model, engine, retention, now),
        _findings(
            _Rows("drift documents", model, partial(count_long_documents, engine, model, drift), documents, drift)
        ),
    ]


def of_project(engine: Engine, retention: RetentionSettings, quiet_hours: float, now: datetime) -> list[Findings]:
    """Return the old rows that belong to no model.

    Parameters
    ----------
    engine
        The operational database.
    retention
        Ages.
    quiet_hours
        An alert stays at least as long as it silences later ones of its key.
    now
        The present time, with time zone.
    """
    before = now - max(timedelta(days=retention.alerts_days), timedelta(hours=quiet_hours))
    return [
        _findings(_deleted("alerts", "", engine, AlertRow, old_alerts(before), before)),
        _events("", engine, retention, now),
    ]


def _events(model: str, engine: Engine, retention: RetentionSettings, now: datetime) -> Findings:
    before = now - timedelta(days=retention.events_days)
    return _findings(_deleted("events", model, engine, EventRow, old_events(model, before), before))


def _deleted(
    kind: Kind,
    model: str,
    engine: Engine,
    table: type[DeclarativeBase],
    condition: ColumnElement[bool],
    before: datetime,
) -> _Rows:
    count, remove = partial(count_rows, engine, table, condition), partial(delete_rows, engine, table, condition)
    return _Rows(kind, model, count, remove, before)


def _findings(rows: _Rows) -> Findings:
    """Return one item for all rows; the database has applied the rule already."""
    n_rows = rows.count()
    if not n_rows:
        return Findings(Rule(), ())
    item = Item(rows.kind, rows.model, ROWS, rows.before, count=n_rows)
    return Findings(Rule(), (Found(item, rows.remove),))
