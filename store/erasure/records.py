"""The record of erasures: that one was done, by whom, when and how much, without the key."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import uuid4

from sqlalchemy import Engine, insert, select, update

from core.erasure.outcome import ErasureRecord
from store.database import reading, writing
from store.tables import ErasureRow


def begin_erasure(engine: Engine, model: str, actor: str, reason: str, at: datetime) -> str:
    """Record that an erasure begins, and return its id.

    Parameters
    ----------
    engine
        The operational database.
    model
        Name of the model.
    actor
        Who erases.
    reason
        Without the key; may be empty.
    at
        The present time, with time zone.
    """
    row = {
        "id": str(uuid4()),
        "model": model,
        "actor": actor,
        "reason": reason,
        "started_at": at,
        "finished_at": None,
        "document": "{}",
        "door": False,
    }
    with writing(engine) as connection:
        connection.execute(insert(ErasureRow), [row])
    return str(row["id"])


def finish_erasure(engine: Engine, erasure: str, document: Mapping[str, Any], at: datetime) -> None:
    """Record the end of an erasure; from then on its record cannot be changed.

    Parameters
    ----------
    erasure
        Its id.
    document
        Numbers of rows, see :meth:`core.erasure.outcome.ErasureOutcome.record`.
    at
        The present time, with time zone.
    """
    change = update(ErasureRow).where(ErasureRow.id == erasure)
    with writing(engine) as connection:
        connection.execute(change.values(finished_at=at, document=json.dumps(document)))


def erasures(engine: Engine, model: str) -> list[ErasureRecord]:
    """Return the records of a model's erasures, oldest first."""
    row = ErasureRow
    columns = (row.id, row.model, row.actor, row.reason, row.started_at, row.finished_at, row.document)
    chosen = select(*columns).where(row.model == model).order_by(row.started_at, row.id)
    with reading(engine) as connection:
        return [
            ErasureRecord(**{**found, "document": json.loads(found["document"])})
            for found in connection.execute(chosen).mappings()
        ]
