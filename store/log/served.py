"""Read what the service answered in a range of time: facts, and the rows as a stream."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Engine, and_, func, select

from store.database import reading
from store.tables import DriftWindowRow, PredictionRequestRow

REQUESTS_PER_PART = 500
"""Requests that are in memory at once: one may have thousands of rows."""


@dataclass(frozen=True)
class ServedGroup:
    """Requests that one version answered in one role, or failed to answer.

    Parameters
    ----------
    version, variant
        The version and its role.
    failed
        Whether these are failures, which have no predictions.
    n_requests, n_rows
        Numbers of requests and of their rows.
    first_at, last_at
        Times of the first and the last request, with time zone.
    """

    version: int
    variant: str
    failed: bool
    n_requests: int
    n_rows: int
    first_at: datetime
    last_at: datetime

    @property
    def is_answer(self) -> bool:
        """Whether clients have these predictions."""
        return not self.failed and self.variant != "shadow"


@dataclass(frozen=True)
class ServedRange:
    """A model's requests in a range of time, ``until`` excluded; both with time zone."""

    model: str
    since: datetime
    until: datetime


def served_groups(engine: Engine, asked: ServedRange) -> list[ServedGroup]:
    """Return what was asked in a range, by version, variant and failure."""
    row = PredictionRequestRow
    failed = row.failure.is_not(None)
    keys = (row.version, row.variant, failed)
    numbers = (func.count(), func.sum(row.n_rows), func.min(row.at), func.max(row.at))
    chosen = select(*keys, *numbers).where(_inside(asked)).group_by(*keys).order_by(row.version, row.variant, failed)
    with reading(engine) as connection:
        return [
            ServedGroup(version, variant, bool(is_failed), int(n_requests), int(n_rows), first, last)
            for version, variant, is_failed, n_requests, n_rows, first, last in connection.execute(chosen)
        ]


def served_requests(engine: Engine, asked: ServedRange, rows: int = REQUESTS_PER_PART) -> Iterator[Sequence[Any]]:
    """Yield the answered requests of a range in order, in parts; memory is bounded by a part.

    Shadow answers and failures are left out, as in the view ``predictions``.

    Parameters
    ----------
    rows
        Requests of a part.

    Yields
    ------
    Sequence
        Rows with ``id``, ``version``, ``variant``, ``at``, ``rows``, ``columns``, ``outputs`` and ``entity_keys``, as
        in :class:`~store.tables.PredictionRequestRow`; ordered by time, variant and id.
    """
    row = PredictionRequestRow
    columns = (row.id, row.version, row.variant, row.at, row.rows, row.columns, row.outputs, row.entity_keys)
    yield from _parts(engine, select(*columns).where(_inside(asked), _answered()), rows)


def served_keys(engine: Engine, asked: ServedRange, rows: int = 20_000) -> Iterator[Sequence[Any]]:
    """Yield time and entity keys of the answered requests of a range that have keys, in parts.

    Parameters
    ----------
    rows
        Requests of a part.

    Yields
    ------
    Sequence
        Rows with ``at`` and ``entity_keys``, in order.
    """
    row = PredictionRequestRow
    chosen = select(row.at, row.entity_keys).where(_inside(asked), _answered(), row.entity_keys.is_not(None))
    yield from _parts(engine, chosen, rows)


def served_ids(engine: Engine, asked: ServedRange, rows: int = 20_000) -> Iterator[Sequence[Any]]:
    """Yield id, time, number of rows and entity keys of the answered requests of a range, in parts.

    Parameters
    ----------
    rows
        Requests of a part.

    Yields
    ------
    Sequence
        Rows with ``id``, ``at``, ``n_rows`` and ``entity_keys``, in order.
    """
    row = PredictionRequestRow
    chosen = select(row.id, row.at, row.n_rows, row.entity_keys).where(_inside(asked), _answered())
    yield from _parts(engine, chosen, rows)


def first_served(engine: Engine, model: str) -> datetime | None:
    """Return the time of a model's oldest request in the log; None if there is none."""
    oldest = select(func.min(PredictionRequestRow.at)).where(PredictionRequestRow.model == model)
    with reading(engine) as connection:
        found: datetime | None = connection.execute(oldest).scalar()
        return found


def judged_ranges(engine: Engine, model: str, limit: int = 2) -> list[tuple[datetime, datetime]]:
    """Return the ranges of a model's windows of the log that were judged, the latest first; UTC without zone.

    Windows with too few rows are left out: their rows are not judged yet.

    Parameters
    ----------
    limit
        Maximum number of ranges.
    """
    row = DriftWindowRow
    chosen = (
        select(row.since, row.until)
        .where(row.model == model, row.batches == "[]", row.status != "insufficient")
        .where(row.since.is_not(None), row.until.is_not(None))
        .order_by(row.until.desc(), row.since)
        .limit(limit)
    )
    with reading(engine) as connection:
        return [(since, until) for since, until in connection.execute(chosen)]


def _inside(asked: ServedRange) -> ColumnElement[bool]:
    row = PredictionRequestRow
    return and_(row.model == asked.model, row.at >= asked.since, row.at < asked.until)


def _answered() -> ColumnElement[bool]:
    return and_(PredictionRequestRow.failure.is_(None), PredictionRequestRow.variant != "shadow")


def _parts(engine: Engine, chosen: Any, rows: int) -> Iterator[Sequence[Any]]:
    row = PredictionRequestRow
    # The first two columns of the order are those of the index, so no part of a large range is sorted as a whole.
    ordered = chosen.order_by(row.at, row.variant, row.id)
    with reading(engine) as connection:
        yield from connection.execution_options(yield_per=rows).execute(ordered).partitions()
