"""Records of scorings whose output an erasure takes rows out of."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Engine, update

from store.database import writing
from store.tables import ErasureRow, ScoredBatchRow


@dataclass(frozen=True)
class RewrittenOutput:
    """An output without an entity's rows: its digest, and its rows and those set aside."""

    sha256: str
    n_scored: int
    n_set_aside: int


def follow_output(engine: Engine, erasure: str, scoring: str, output: RewrittenOutput) -> None:
    """Let the record of a scoring follow its output: the only change of it that the database takes.

    It is taken while the erasure's door is open, which is so within this transaction alone.

    Parameters
    ----------
    engine
        The operational database.
    erasure
        Id of the erasure, which has not ended.
    scoring
        Id of the scoring.
    output
        The output as it will be.
    """
    door = update(ErasureRow).where(ErasureRow.id == erasure)
    change = update(ScoredBatchRow).where(ScoredBatchRow.id == scoring)
    values = {
        "output_sha256": output.sha256,
        "n_scored": output.n_scored,
        "n_set_aside": output.n_set_aside,
        "n_rows": output.n_scored + output.n_set_aside,
    }
    with writing(engine) as connection:
        connection.execute(door.values(door=True))
        connection.execute(change.values(values))
        connection.execute(door.values(door=False))
