"""The prediction log."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, Engine, and_, delete, or_, select

from core.prediction_ids import MAX_ROWS, prediction_id, request_of
from store.database import reading, writing
from store.tables import ErasureRow, PredictionRequestRow

ROWS_PER_DELETE = 5_000
"""Requests deleted in one transaction, so that other writers wait for the lock only briefly."""

RANGES_PER_QUERY = 100


def delete_before(engine: Engine, first_kept_id: str) -> int:
    """Delete the requests with ids below ``first_kept_id``, :data:`ROWS_PER_DELETE` a transaction; return how many."""
    old = (
        select(PredictionRequestRow.id)
        .where(PredictionRequestRow.id < first_kept_id)
        .order_by(PredictionRequestRow.id)
        .limit(ROWS_PER_DELETE)
    )
    deleted = 0
    while True:
        with writing(engine) as connection:
            found = connection.execute(
                delete(PredictionRequestRow).where(PredictionRequestRow.id.in_(old.scalar_subquery()))
            ).rowcount
        deleted += found
        if found < ROWS_PER_DELETE:
            return deleted


def logged_requests(engine: Engine, model: str, ids: Sequence[str]) -> dict[str, int]:
    """Return the number of rows by request id, for those of ``ids`` that are in the log for this model.

    Rows that an erasure took out of a request count, unless they were its last ones.
    """
    row = PredictionRequestRow
    chosen = select(row.id, row.n_rows).where(row.id.in_(ids), row.model == model)
    with reading(engine) as connection:
        found = {one.id: one.n_rows for one in connection.execute(chosen)}
        was_erased = connection.execute(select(ErasureRow.id).where(ErasureRow.model == model).limit(1)).first()
        return found if was_erased is None else found | _pieces(connection, model, ids)


def _pieces(connection: Connection, model: str, ids: Sequence[str]) -> dict[str, int]:
    """Return the number of rows of requests of which an erasure may have left only rows in the middle."""
    row = PredictionRequestRow
    found: dict[str, int] = {}
    for start in range(0, len(ids), RANGES_PER_QUERY):
        part = ids[start : start + RANGES_PER_QUERY]
        ranges = (and_(row.id >= id_, row.id <= prediction_id(id_, MAX_ROWS - 1)) for id_ in part)
        chosen = select(row.id, row.n_rows).where(row.model == model, or_(*ranges))
        for id_, n_rows in connection.execute(chosen):
            request, first = request_of(id_)
            found[request] = max(found.get(request, 0), first + n_rows)
    return found
