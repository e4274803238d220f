"""Batches and data versions in the operational database. Every write may be repeated."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Engine, select, update

from core.operate.events import data_versioned
from store.database import insert_new, reading, upsert, writing
from store.events import record_event
from store.tables import BatchRow, ChampionRow, DataPushRow, DataVersionRow


def record_batches(engine: Engine, rows: Sequence[dict[str, Any]]) -> None:
    """Record batches; the first record of a batch is kept, and with it its time of ingestion."""
    with writing(engine) as connection:
        upsert(connection, BatchRow, rows, replace=())


def record_hashes(engine: Engine, model: str, hashes: Iterable[tuple[str, str, str]]) -> None:
    """Record the MD5 and the file state of batches that are on record, given as (name, md5, file state)."""
    with writing(engine) as connection:
        for name, md5, file_state in hashes:
            chosen = update(BatchRow).where(BatchRow.model == model, BatchRow.name == name)
            connection.execute(chosen.values(md5=md5, file_state=file_state))


def record_version(engine: Engine, version: dict[str, Any], trees: Sequence[str], remote: str, at: datetime) -> None:
    """Record a data version and the push of its trees; the first record of a version is kept and puts out an event."""
    facts = {name: version[name] for name in ("n_rows", "n_batches", "git_commit")}
    with writing(engine) as connection:
        if insert_new(connection, DataVersionRow, version):
            entry = connection.execute(select(ChampionRow.model).where(ChampionRow.model == version["model"])).first()
            facts["has_champion"] = entry is not None
            record_event(connection, data_versioned(version["model"], version["version"], at=at, **facts))
        pushes = [{"tree": tree, "remote": remote, "pushed_at": at} for tree in trees]
        upsert(connection, DataPushRow, pushes, replace=("pushed_at",))


def batches(engine: Engine, model: str) -> dict[str, BatchRow]:
    """Return the recorded batches of a model by name."""
    chosen = select(BatchRow.__table__).where(BatchRow.model == model)
    with reading(engine) as connection:
        return {row["name"]: BatchRow(**row) for row in connection.execute(chosen).mappings()}


def versions(engine: Engine, model: str) -> list[DataVersionRow]:
    """Return the recorded data versions of a model, oldest first."""
    chosen = select(DataVersionRow.__table__).where(DataVersionRow.model == model).order_by(DataVersionRow.created_at)
    with reading(engine) as connection:
        return [DataVersionRow(**row) for row in connection.execute(chosen).mappings()]


def owners(engine: Engine, version: str) -> set[str]:
    """Return the names of the models that have this data version."""
    with reading(engine) as connection:
        return set(connection.scalars(select(DataVersionRow.model).where(DataVersionRow.version == version)))


def pushed_trees(engine: Engine, remote: str) -> set[str]:
    """Return the trees that are recorded as pushed to a remote."""
    with reading(engine) as connection:
        return set(connection.scalars(select(DataPushRow.tree).where(DataPushRow.remote == remote)))
