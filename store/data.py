"""What the operational database knows of batches and data versions. Every write may be repeated."""

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
    """Remember batches; the first record of a batch stays, its moment of ingestion above all."""
    with writing(engine) as connection:
        upsert(connection, BatchRow, rows, replace=())


def record_hashes(engine: Engine, model: str, hashes: Iterable[tuple[str, str, str]]) -> None:
    """Remember (name, md5, file state) of batches that are known."""
    with writing(engine) as connection:
        for name, md5, file_state in hashes:
            chosen = update(BatchRow).where(BatchRow.model == model, BatchRow.name == name)
            connection.execute(chosen.values(md5=md5, file_state=file_state))


def record_version(engine: Engine, version: dict[str, Any], trees: Sequence[str], remote: str, at: datetime) -> None:
    """Remember a data version and that its trees reached a remote; the first record of a version stays, and is told."""
    facts = {name: version[name] for name in ("n_rows", "n_batches", "git_commit")}
    with writing(engine) as connection:
        if insert_new(connection, DataVersionRow, version):
            ruled = connection.execute(select(ChampionRow.model).where(ChampionRow.model == version["model"])).first()
            facts["has_champion"] = ruled is not None
            record_event(connection, data_versioned(version["model"], version["version"], at=at, **facts))
        pushes = [{"tree": tree, "remote": remote, "pushed_at": at} for tree in trees]
        upsert(connection, DataPushRow, pushes, replace=("pushed_at",))


def batches(engine: Engine, model: str) -> dict[str, BatchRow]:
    """Known batches of a model by name."""
    chosen = select(BatchRow.__table__).where(BatchRow.model == model)
    with reading(engine) as connection:
        return {row["name"]: BatchRow(**row) for row in connection.execute(chosen).mappings()}


def versions(engine: Engine, model: str) -> list[DataVersionRow]:
    """Known versions of a model, oldest first."""
    chosen = select(DataVersionRow.__table__).where(DataVersionRow.model == model).order_by(DataVersionRow.created_at)
    with reading(engine) as connection:
        return [DataVersionRow(**row) for row in connection.execute(chosen).mappings()]


def owners(engine: Engine, version: str) -> set[str]:
    """Models whose data had this version."""
    with reading(engine) as connection:
        return set(connection.scalars(select(DataVersionRow.model).where(DataVersionRow.version == version)))


def pushed_trees(engine: Engine, remote: str) -> set[str]:
    """Trees known to be on a remote."""
    with reading(engine) as connection:
        return set(connection.scalars(select(DataPushRow.tree).where(DataPushRow.remote == remote)))
