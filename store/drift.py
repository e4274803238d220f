"""Windows that were compared with their reference, and the verdicts on them. The history is append-only."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Any, Self

from sqlalchemy import Engine, RowMapping, Select, select

from core.drift.windows import EarlierWindow, Status
from core.operate.events import Event
from core.operate.trigger import Trigger
from store.database import reading, upsert, writing
from store.events import record_event
from store.tables import DriftWindowRow
from store.triggers import receive_in


@dataclass(frozen=True)
class DriftWindow:
    """An entry of the history: a window was measured.

    Parameters
    ----------
    id
        Id of the decision, 64 hex digits: equal for the same rows judged by the same rules against the same reference.
    model, champion
        Name of the model, and the version that was champion.
    against
        What the window was compared with: ``champion`` or a data version.
    status
        ``ok``, ``watch``, ``drift`` or ``insufficient``.
    drifted
        Whether this window alone shows drift, whether or not earlier windows did.
    retrain
        Whether retraining was recommended.
    n_rows
        Number of rows measured.
    first_time, last_time
        Earliest and latest time of the rows, without time zone as in the data; None if the model has no time column.
    since, until
        Requested range of times, ``until`` exclusive; None if no range was requested.
    batches
        Names of the batches that the rows came from.
    document
        JSON text of the whole verdict.
    measured_at
        Time of the measurement, with time zone.
    """

    id: str
    model: str
    champion: int
    against: str
    status: Status
    drifted: bool
    retrain: bool
    n_rows: int
    first_time: datetime | None
    last_time: datetime | None
    since: datetime | None
    until: datetime | None
    batches: tuple[str, ...]
    document: str
    measured_at: datetime

    def to_row(self) -> dict[str, Any]:
        """Return the values of the table's columns."""
        return {**asdict(self), "batches": json.dumps(self.batches)}

    @classmethod
    def from_row(cls, row: RowMapping) -> Self:
        """Build an entry from a row of the table."""
        return cls(**{**row, "batches": tuple(json.loads(row["batches"]))})


def record_window(
    engine: Engine, window: DriftWindow, event: Event | None = None, trigger: Trigger | None = None
) -> DriftWindow:
    """Record a window and return the stored entry: of two entries with the same id the first is kept.

    Parameters
    ----------
    event
        Put into the outbox in the same transaction, unless another entry is stored under this id.
    trigger
        Put into the inbox of triggers in the same transaction, because an automation can be lost with its Prefect
        server.
    """
    with writing(engine) as connection:
        upsert(connection, DriftWindowRow, [window.to_row()], replace=())
        found = DriftWindow.from_row(connection.execute(_entry(window.id)).mappings().one())
        if found == window and event is not None:
            record_event(connection, event)
        if found == window and trigger is not None:
            receive_in(connection, trigger)
        return found


def find_window(engine: Engine, decision_id: str) -> DriftWindow | None:
    """Return the entry of a decision; None if there is none."""
    with reading(engine) as connection:
        row = connection.execute(_entry(decision_id)).mappings().first()
        return None if row is None else DriftWindow.from_row(row)


def drift_windows(engine: Engine, model: str, limit: int | None = None) -> list[DriftWindow]:
    """Return a model's windows in the order they were measured, oldest first.

    Parameters
    ----------
    limit
        Return only the newest ``limit`` windows; None for all.
    """
    newest_first = (
        select(DriftWindowRow.__table__)
        .where(DriftWindowRow.model == model)
        .order_by(DriftWindowRow.measured_at.desc(), DriftWindowRow.id.desc())
        .limit(limit)
    )
    with reading(engine) as connection:
        rows = connection.execute(newest_first).mappings().all()
    return [DriftWindow.from_row(row) for row in reversed(rows)]


def earlier_windows(engine: Engine, model: str) -> list[EarlierWindow]:
    """Return what later decisions need of a model's windows, oldest first; their documents are not read."""
    columns = [getattr(DriftWindowRow, field.name) for field in fields(EarlierWindow)]
    chosen = select(*columns).where(DriftWindowRow.model == model)
    with reading(engine) as connection:
        found = connection.execute(chosen.order_by(DriftWindowRow.measured_at, DriftWindowRow.id)).mappings()
        return [EarlierWindow(**{**row, "batches": tuple(json.loads(row["batches"]))}) for row in found]


def _entry(decision_id: str) -> Select[Any]:
    return select(DriftWindowRow.__table__).where(DriftWindowRow.id == decision_id)
