"""The connection that writes the prediction log."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

import store.log.connection
from core.errors import ConfigError, StorageError
from store.database import open_database, reading
from store.log.connection import LogConnection, LogFile
from tests.serving.obstacles import locked, read_only

ROOT = Path(__file__).resolve().parents[3]
AT = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)


@pytest.fixture
def address(tmp_path: Path) -> str:
    """Address of an empty database."""
    address = f"sqlite:///{tmp_path / 'perennial.db'}"
    open_database(address)
    return address


@pytest.fixture
def log(address: str) -> Iterator[LogConnection]:
    """Return an open connection."""
    with closing(LogConnection(address, durable=False)) as connection:
        yield connection


def _file(connection: LogConnection) -> LogFile:
    assert isinstance(connection._database, LogFile)
    return connection._database


def _request(place: int, **more: Any) -> dict[str, Any]:
    return {
        "id": f"019b76da-a800-7000-8000-{place:012x}",
        "model": "credit",
        "version": 1,
        "variant": "champion",
        "at": AT,
        "n_rows": 1,
        "latency_ms": 1.0,
        "rows": "[{}]",
        "columns": None,
        "failure": None,
        "served_id": None,
        "outputs": "[0.5]",
        "entity_keys": None,
        **more,
    }


def _rows(address: str) -> list[tuple[str, str]]:
    with reading(open_database(address)) as connection:
        found = connection.execute(text("SELECT rows, at FROM prediction_requests ORDER BY id"))
        return [(row[0], row[1]) for row in found]


def test_the_same_id_again_changes_nothing(address: str, log: LogConnection) -> None:
    """The first content stays, in the same call and in the next."""
    log.write([_request(1), _request(1, rows="[1]"), _request(2)])
    log.write([_request(1, rows="[2]")])
    assert [rows for rows, _ in _rows(address)] == ["[{}]", "[{}]"]


def test_moments_are_written_alike(address: str, log: LogConnection) -> None:
    """SQLite compares them as texts, so zones are gone and the form is one."""
    log.write([_request(1), _request(2, at=AT.astimezone(timezone(timedelta(hours=5))))])
    assert {at for _, at in _rows(address)} == {"2026-03-01 12:30:00.000000"}


def test_a_group_is_written_whole_or_not_at_all(address: str, log: LogConnection) -> None:
    """A row that the database refuses takes the rest of its group along."""
    with pytest.raises(StorageError, match="NOT NULL"):
        log.write([_request(1), _request(2, rows=None)])
    assert _rows(address) == []
    log.write([_request(3)])
    assert len(_rows(address)) == 1


@pytest.mark.parametrize(("durable", "level"), [(True, 2), (False, 1)])
def test_durable_is_a_word_of_the_disk(address: str, durable: bool, level: int) -> None:
    """Only where it is asked for does each transaction wait for the disk."""
    with closing(LogConnection(address, durable=durable)) as connection:
        assert _file(connection)._connection.execute("PRAGMA synchronous").fetchone() == (level,)


def test_a_closed_connection_can_be_closed_again(address: str) -> None:
    """What ends a worker may come twice."""
    connection = LogConnection(address, durable=False)
    connection.close()
    connection.close()
    assert _rows(address) == []


def test_a_probe_writes_and_leaves_nothing(address: str, log: LogConnection) -> None:
    """It fails where a row could not be written: the database is locked, full or read-only."""
    log.write([_request(1)])
    log.probe()
    log.check()
    assert len(_rows(address)) == 1
    with read_only(address):
        log.check()
        with pytest.raises(StorageError, match="read-only"):
            log.probe()
    assert len(_rows(address)) == 1


def test_a_locked_database_fails_the_check_too(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Within the time that a write waits for a lock."""
    monkeypatch.setattr(store.log.connection, "WAIT_SECONDS", 0.1)
    with closing(LogConnection(address, durable=True)) as connection, locked(address):
        with pytest.raises(StorageError, match="locked"):
            connection.check()
        with pytest.raises(StorageError, match="locked"):
            connection.probe()


def test_an_address_that_is_none_is_the_users_to_correct() -> None:
    """Before anything is answered."""
    with pytest.raises(ConfigError, match="must be an address"):
        LogConnection("nonsense", durable=False)


def test_a_file_that_was_moved_away_is_not_written_to(address: str, tmp_path: Path) -> None:
    """An open connection would go on, a new one would make an empty database; back in its place it is written again."""
    file, moved = Path(address.removeprefix("sqlite:///")), tmp_path / "moved.db"
    engine = open_database(address)
    with closing(LogConnection(address, durable=True)) as log:
        log.probe()
        file.rename(moved)
        for attempt in (log.check, log.probe, lambda: log.write([_request(1)])):
            with pytest.raises(StorageError, match="No such file"):
                attempt()
    with pytest.raises(StorageError, match="does not exist"):
        LogConnection(address, durable=True)
    with pytest.raises(StorageError, match="unable to open"), reading(engine):
        pass
    assert not file.exists()
    moved.rename(file)
    with closing(LogConnection(address, durable=True)) as log:
        log.write([_request(2)])
    assert len(_rows(address)) == 1


def test_a_file_that_was_replaced_is_not_written_to(address: str, tmp_path: Path) -> None:
    """After a backup was restored, the next connection writes to it."""
    file = Path(address.removeprefix("sqlite:///"))
    with closing(LogConnection(address, durable=True)) as log:
        other = tmp_path / "other.db"
        open_database(f"sqlite:///{other}")
        file.rename(tmp_path / "old.db")
        other.rename(file)
        with pytest.raises(StorageError, match="replaced by another"):
            log.probe()


def test_a_current_file_needs_no_sqlalchemy(address: str) -> None:
    """Its import would be a quarter of a worker's start; rows are those that SQLAlchemy writes."""
    code = f"""
import sys
from datetime import UTC, datetime
from store.log.connection import LogConnection
log = LogConnection({address!r}, durable=True)
log.probe()
log.check()
log.write([{{"at" if name == "at" else name: datetime(2026, 3, 1, 12, 30, tzinfo=UTC) if name == "at" else value
            for name, value in {_request(1, at=None)!r}.items()}}])
log.close()
print("sqlalchemy" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
    assert _rows(address) == [("[{}]", "2026-03-01 12:30:00.000000")]


def test_an_older_schema_is_migrated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As by any other command."""
    address = f"sqlite:///{tmp_path / 'old.db'}"
    with monkeypatch.context() as earlier:
        earlier.setattr("store.database.HEAD", "0005")
        open_database(address)
    with closing(LogConnection(address, durable=False)) as connection:
        connection.write([_request(1)])
    assert len(_rows(address)) == 1
