"""The prediction log, and the labels that arrived for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sqlalchemy import Connection, Engine, delete, select

from store.database import reading, upsert, writing
from store.tables import LabelRow, PredictionRequestRow

ROWS_PER_DELETE = 5_000
"""Requests deleted in one transaction, so that other writers wait for the lock only briefly."""


LabelKind = Literal["id", "key"]


@dataclass(frozen=True)
class Label:
    """The true outcome of a prediction or of an entity.

    Parameters
    ----------
    kind
        ``id``: ``reference`` is the id of a prediction; ``key``: it is the key of an entity.
    reference
        Id of the prediction or key of the entity.
    label
        Name of the class, or the number as text.
    """

    kind: LabelKind
    reference: str
    label: str


@dataclass(frozen=True)
class RecordedLabels:
    """Number of labels that were added, were unchanged, or replaced another value."""

    added: int
    unchanged: int
    replaced: int


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


def record_labels(engine: Engine, model: str, labels: Sequence[Label], sender: str, at: datetime) -> RecordedLabels:
    """Record labels; if a reference occurs twice the last label counts. A repeat changes nothing.

    Parameters
    ----------
    sender
        Who sent the labels: the name of an API key or of a user.
    """
    wanted = {(label.kind, label.reference): label.label for label in labels}
    with writing(engine) as connection:
        known = _known(connection, model, wanted)
        changed = {place: label for place, label in wanted.items() if known.get(place) != label}
        rows = [
            {
                "model": model,
                "kind": kind,
                "reference": reference,
                "label": label,
                "sender": sender,
                "received_at": at,
            }
            # Sorted, so that two senders of the same references lock rows in the same order and cannot deadlock.
            for (kind, reference), label in sorted(changed.items())
        ]
        for start in range(0, len(rows), 1000):
            upsert(connection, LabelRow, rows[start : start + 1000], replace=("label", "sender", "received_at"))
    replaced = len(changed.keys() & known.keys())
    return RecordedLabels(len(changed) - replaced, len(wanted) - len(changed), replaced)


def _known(
    connection: Connection, model: str, wanted: Mapping[tuple[LabelKind, str], str]
) -> dict[tuple[LabelKind, str], str]:
    references = sorted({reference for _, reference in wanted})
    known: dict[tuple[LabelKind, str], str] = {}
    for start in range(0, len(references), 1000):
        chosen = select(LabelRow.kind, LabelRow.reference, LabelRow.label).where(
            LabelRow.model == model, LabelRow.reference.in_(references[start : start + 1000])
        )
        known |= {(row.kind, row.reference): row.label for row in connection.execute(chosen)}
    return known
