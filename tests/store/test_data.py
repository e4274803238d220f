"""Batches, data versions and pushes, as the database remembers them."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, delete, select, text, update

from core.errors import StorageError
from core.operate.events import DATA_VERSIONED
from store.champions import start_tenure
from store.data import batches, owners, pushed_trees, record_batches, record_hashes, record_version, versions
from store.database import open_database, reading, writing
from store.tables import BatchRow, DataPushRow, DataVersionRow, EventRow
from tests.store.stories import Story

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
LATER = AT + timedelta(hours=1)


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    """Return an empty operational database."""
    return open_database(f"sqlite:///{tmp_path / 'perennial.db'}")


def _batch(model: str, name: str, **more: Any) -> dict[str, Any]:
    facts = {"fingerprint": "a" * 64, "source": "rows.csv", "n_rows": 10, "size_bytes": 100, "n_quarantined": 1}
    return {"model": model, "name": name, **facts, "ingested_at": AT, **more}


def _version(model: str, digit: str, at: datetime = AT) -> dict[str, Any]:
    facts = {"n_rows": 10, "n_batches": 1, "size_bytes": 100, "git_commit": "c" * 40}
    return {"model": model, "version": digit * 32 + ".dir", **facts, "created_at": at}


def _told(engine: Engine) -> list[tuple[str, str]]:
    """Return data version and the label of the champion, of each event of a data version."""
    chosen = select(EventRow.document).where(EventRow.name == DATA_VERSIONED).order_by(EventRow.occurred_at)
    with reading(engine) as connection:
        documents = [json.loads(text) for text in connection.scalars(chosen)]
    return [(one["payload"]["data_version"], one["resource"]["perennial.champion"]) for one in documents]


def test_the_first_record_of_a_batch_stays(engine: Engine) -> None:
    """Batches belong to their model, and a repeat changes none."""
    record_batches(engine, [_batch("credit", "1"), _batch("credit", "2"), _batch("other", "1")])
    record_batches(engine, [_batch("credit", "1", ingested_at=LATER, n_rows=99)])
    record_batches(engine, [])
    found = batches(engine, "credit")
    assert sorted(found) == ["1", "2"]
    assert (found["1"].ingested_at, found["1"].n_rows) == (AT, 10)


def test_a_hash_belongs_to_one_batch_that_is_known(engine: Engine) -> None:
    """The same name of another model keeps none, and an unknown batch gets no row."""
    record_batches(engine, [_batch("credit", "1"), _batch("other", "1")])
    record_hashes(engine, "credit", [("1", "f" * 32, "1:2:3"), ("gone", "e" * 32, "4:5:6")])
    assert [(one.md5, one.file_state) for one in batches(engine, "credit").values()] == [("f" * 32, "1:2:3")]
    assert [one.md5 for one in batches(engine, "other").values()] == [None]


@pytest.mark.parametrize(
    "change",
    [
        {"fingerprint": "b" * 64},
        {"n_rows": 9, "md5": "f" * 32},
        {"n_quarantined": None},
        {"ingested_at": LATER},
        {"name": "2"},
    ],
    ids=lambda change: "-".join(change),
)
def test_a_batch_keeps_its_facts(tell: Callable[[Story], None], change: dict[str, object]) -> None:
    """The database refuses to change what was recorded, beside a new hash too; the hash itself follows the file."""

    def story(engine: Engine, model: str) -> None:
        record_batches(engine, [_batch(model, "1")])
        record_hashes(engine, model, [("1", "e" * 32, "1:2:3")])
        record_hashes(engine, model, [("1", "f" * 32, "4:5:6")])
        with pytest.raises(StorageError, match="batches is append-only"), writing(engine) as connection:
            connection.execute(update(BatchRow).where(BatchRow.model == model).values(**change))
        (found,) = batches(engine, model).values()
        assert found.__dict__.items() >= {**_batch(model, "1"), "md5": "f" * 32, "file_state": "4:5:6"}.items()

    tell(story)


@pytest.mark.parametrize("row", [BatchRow, DataVersionRow], ids=lambda row: str(row.__tablename__))
def test_batches_and_versions_are_not_removed(tell: Callable[[Story], None], row: type[BatchRow]) -> None:
    """Neither one by one nor all at once."""

    def story(engine: Engine, model: str) -> None:
        record_batches(engine, [_batch(model, "1")])
        record_version(engine, _version(model, "0"), [], "/remote", AT)
        table = row.__tablename__
        is_sqlite = engine.dialect.name == "sqlite"
        emptied = f"INSERT OR REPLACE INTO {table} SELECT * FROM {table}" if is_sqlite else f"TRUNCATE {table}"  # noqa: S608 - our own names
        for change in (delete(row).where(row.model == model), text(emptied)):
            with pytest.raises(StorageError, match=f"{table} is append-only"), writing(engine) as connection:
                connection.execute(change)
        assert [*batches(engine, model)] == ["1"]
        assert [one.version[0] for one in versions(engine, model)] == ["0"]

    tell(story)


def test_a_version_keeps_its_facts(tell: Callable[[Story], None]) -> None:
    """Neither its commit nor its time is written again."""

    def story(engine: Engine, model: str) -> None:
        record_version(engine, _version(model, "0"), [], "/remote", AT)
        for change in ({"git_commit": "d" * 40}, {"created_at": LATER}):
            with pytest.raises(StorageError, match="data_versions is append-only"), writing(engine) as connection:
                connection.execute(update(DataVersionRow).where(DataVersionRow.model == model).values(**change))
        assert [(one.git_commit, one.created_at) for one in versions(engine, model)] == [("c" * 40, AT)]

    tell(story)


def test_versions_are_listed_oldest_first_with_their_owners(engine: Engine) -> None:
    """Two models may have had the same content."""
    record_version(engine, _version("credit", "1", LATER), [], "/remote", LATER)
    record_version(engine, _version("credit", "0"), [], "/remote", AT)
    record_version(engine, _version("other", "0"), [], "/remote", AT)
    assert [row.version[0] for row in versions(engine, "credit")] == ["0", "1"]
    assert owners(engine, "0" * 32 + ".dir") == {"credit", "other"}
    assert owners(engine, "2" * 32 + ".dir") == set()


def test_a_version_is_an_event_once(engine: Engine) -> None:
    """It says whether the model has a champion; the same version again is no second event."""
    record_version(engine, _version("credit", "0"), [], "/remote", AT)
    start_tenure(engine, "credit", 1, expected_sequence=0, kind="approval", reason="r", actor="a", at=AT)
    record_version(engine, _version("credit", "0", LATER), [], "/remote", LATER)
    record_version(engine, _version("credit", "1", LATER), [], "/remote", LATER)
    assert _told(engine) == [("0" * 32 + ".dir", "false"), ("1" * 32 + ".dir", "true")]


def test_a_tree_is_on_the_remotes_it_reached(engine: Engine) -> None:
    """A push to one remote says nothing about another; the newest push counts."""
    record_version(engine, _version("credit", "0"), ["t" * 36, "u" * 36], "/remote", AT)
    record_version(engine, _version("credit", "0"), ["t" * 36], "/remote", LATER)
    record_version(engine, _version("credit", "0"), ["t" * 36], "/other", AT)
    assert pushed_trees(engine, "/remote") == {"t" * 36, "u" * 36}
    assert pushed_trees(engine, "/other") == {"t" * 36}
    chosen = select(DataPushRow.tree, DataPushRow.pushed_at).where(DataPushRow.remote == "/remote")
    with reading(engine) as connection:
        moments = {row.tree: row.pushed_at for row in connection.execute(chosen)}
    assert moments == {"t" * 36: LATER, "u" * 36: AT}
