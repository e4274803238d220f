"""What is reported of a running release: the newest look of the flow, and services that stopped asking a version."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime

from sqlalchemy import Engine, select

from store.database import insert_new, reading, upsert, writing
from store.releases.records import RecordedLook, ReleaseState, Trip
from store.tables import ReleaseLookRow, ReleaseTripRow


def record_look(engine: Engine, state: ReleaseState, document: str, at: datetime) -> None:
    """Record a look that changed nothing; it replaces the look before in the same state."""
    place = {"model": state.release.model, "number": state.release.number, "sequence": state.newest.sequence}
    with writing(engine) as connection:
        chosen = select(ReleaseLookRow.looks).filter_by(**place)
        row = {**place, "looks": (connection.scalar(chosen) or 0) + 1, "document": document, "at": at}
        upsert(connection, ReleaseLookRow, [row], replace=("looks", "document", "at"))


def newest_look(engine: Engine, state: ReleaseState) -> RecordedLook | None:
    """Return the newest look in the present stage of a release; None if there was none.

    A pause does not hide what was seen before it.
    """
    place = {"model": state.release.model, "number": state.release.number}
    chosen = (
        select(ReleaseLookRow.looks, ReleaseLookRow.document, ReleaseLookRow.at)
        .filter_by(**place)
        .where(ReleaseLookRow.sequence >= state.entered.sequence)
        .order_by(ReleaseLookRow.sequence.desc())
    )
    with reading(engine) as connection:
        rows = connection.execute(chosen).mappings().all()
        return RecordedLook(**{**rows[0], "looks": sum(row["looks"] for row in rows)}) if rows else None


def record_trip(engine: Engine, trip: Trip) -> bool:
    """Record that a service stopped asking a version; return False if it is known already."""
    with writing(engine) as connection:
        return insert_new(connection, ReleaseTripRow, asdict(trip))


def trips(engine: Engine, model: str, number: int) -> list[Trip]:
    """Return what services reported of a release, oldest first."""
    chosen = select(ReleaseTripRow.__table__).filter_by(model=model, number=number).order_by(ReleaseTripRow.at)
    with reading(engine) as connection:
        return [Trip(**row) for row in connection.execute(chosen).mappings()]
