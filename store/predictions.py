"""What the prediction service answered, and what really happened."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sqlalchemy import Connection, Engine, delete, select

from store.database import reading, upsert, writing
from store.tables import LabelRow, PredictionRequestRow

ROWS_PER_DELETE = 5_000
"""Requests deleted in one transaction, so that nobody waits long for the lock."""


LabelKind = Literal["id", "key"]


@dataclass(frozen=True)
class Label:
    """What really happened, of one prediction or of an entity.

    Parameters
    ----------
    kind
        ``id``: the reference is a prediction's id; ``key``: it is an entity's key.
    reference
        Which prediction or entity.
    label
        Name of the class, or the number as a text.
    """

    kind: LabelKind
    reference: str
    label: str


@dataclass(frozen=True)
class RecordedLabels:
    """How many labels were new, the same as before, or replaced another one."""

    added: int
    unchanged: int
    replaced: int


def delete_before(engine: Engine, first_kept_id: str) -> int:
    """Delete the requests whose ids are less than one, some thousands at a time; return how many."""
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
    """Return how many rows those of the requests hold that a model answered and that are in the log."""
    chosen = select(PredictionRequestRow.id, PredictionRequestRow.n_rows).where(
        PredictionRequestRow.id.in_(ids), PredictionRequestRow.model == model
    )
    with reading(engine) as connection:
        return {row.id: row.n_rows for row in connection.execute(chosen)}


def record_labels(engine: Engine, model: str, labels: Sequence[Label], sender: str, at: datetime) -> RecordedLabels:
    """Record labels, the last one of a reference where it occurs again; a repeat changes nothing.

    Parameters
    ----------
    sender
        Who sent them: the name of a key or of a user.
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
            # In one order, so that of two senders of the same references neither has what the other waits for.
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
