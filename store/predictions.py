"""The prediction log."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Engine, delete, select

from store.database import reading, writing
from store.tables import PredictionRequestRow

ROWS_PER_DELETE = 5_000
"""Requests deleted in one transaction, so that other writers wait for the lock only briefly."""


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
    """Return the number of rows by request id, for those of ``ids`` that are in the log for this model."""
    chosen = select(PredictionRequestRow.id, PredictionRequestRow.n_rows).where(
        PredictionRequestRow.id.in_(ids), PredictionRequestRow.model == model
    )
    with reading(engine) as connection:
        return {row.id: row.n_rows for row in connection.execute(chosen)}
