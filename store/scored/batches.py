"""Scored batches: where the rows of each batch scoring are. The history is append-only."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime

from sqlalchemy import Engine, select

from store.database import reading, upsert, writing
from store.tables import ScoredBatchRow


@dataclass(frozen=True)
class ScoredBatch:
    """An entry of the history: an input was scored.

    Parameters
    ----------
    id
        Identity of the predictions in this output, 64 hexadecimal digits.
    model, version, manifest
        The version that scored, and the SHA-256 of its bundle's manifest.
    run
        Identity of the predictions: of model, version, bundle and input. Their ids follow from it.
    input, input_sha256
        Address of the input without credentials, and the digest of its content.
    output, output_sha256
        Address of the output without credentials, and its digest.
    set_aside
        File with the rows that the contract refuses; None if there are none.
    features
        Whether the output repeats the features.
    n_rows, n_scored, n_set_aside
        Rows of the input, of the output, and set aside.
    predicted_at
        The predictions' time, with time zone.
    recorded_at
        When the entry was made, with time zone.
    """

    id: str
    model: str
    version: int
    manifest: str
    run: str
    input: str
    input_sha256: str
    output: str
    output_sha256: str
    set_aside: str | None
    features: bool
    n_rows: int
    n_scored: int
    n_set_aside: int
    predicted_at: datetime
    recorded_at: datetime


def record_scored_batch(engine: Engine, batch: ScoredBatch) -> ScoredBatch:
    """Record a scoring and return the stored entry: of two entries with the same id the first is kept."""
    with writing(engine) as connection:
        upsert(connection, ScoredBatchRow, [asdict(batch)], replace=())
    found = find_scored_batch(engine, batch.id)
    return batch if found is None else found


def find_scored_batch(engine: Engine, batch_id: str) -> ScoredBatch | None:
    """Return the entry of an id; None if there is none."""
    with reading(engine) as connection:
        chosen = select(ScoredBatchRow.__table__).where(ScoredBatchRow.id == batch_id)
        row = connection.execute(chosen).mappings().first()
        return None if row is None else ScoredBatch(**row)


def is_scored_output(engine: Engine, output: str) -> bool:
    """Return whether a scoring into an output is recorded."""
    with reading(engine) as connection:
        chosen = select(ScoredBatchRow.id).where(ScoredBatchRow.output == output).limit(1)
        return connection.execute(chosen).first() is not None


def scored_batches(engine: Engine, model: str, limit: int | None = None) -> list[ScoredBatch]:
    """Return a model's scorings, newest first.

    Parameters
    ----------
    engine
        Engine of the operational database.
    model
        Name of the model.
    limit
        Return only the newest ``limit`` entries; None for all.
    """
    newest = select(ScoredBatchRow.__table__).where(ScoredBatchRow.model == model)
    newest = newest.order_by(ScoredBatchRow.recorded_at.desc(), ScoredBatchRow.id).limit(limit)
    with reading(engine) as connection:
        return [ScoredBatch(**row) for row in connection.execute(newest).mappings()]
