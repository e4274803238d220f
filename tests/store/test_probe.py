"""A look at the operational database that neither changes it nor waits."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from core.errors import ConfigError, StorageError
from store.database import open_database
from store.probe import probe_database
from store.schema_version import HEAD


def test_a_file_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    """No tables yet is an answer."""
    path = tmp_path / "var" / "perennial.db"
    found = probe_database(f"sqlite:///{path}", 0.1)
    assert (found.version, found.is_at_head, found.now) == (None, False, None)
    assert not path.parent.exists()


def test_the_schemas_version_is_read(tmp_path: Path) -> None:
    """Of a current database, of one that an earlier release left, and of an empty file."""
    path = tmp_path / "perennial.db"
    path.touch()
    assert probe_database(f"sqlite:///{path}", 0.1).version is None
    open_database(f"sqlite:///{path}")
    assert probe_database(f"sqlite:///{path}", 0.1).is_at_head
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '0001'")
        connection.commit()
    found = probe_database(f"sqlite:///{path}", 0.1)
    assert (found.version, found.is_at_head) == ("0001", HEAD == "0001")


def test_a_lock_is_waited_for_no_longer_than_was_said(tmp_path: Path) -> None:
    """A process that holds the write lock is a problem that the message names."""
    path = tmp_path / "perennial.db"
    open_database(f"sqlite:///{path}")
    with closing(sqlite3.connect(path, isolation_level=None)) as holder:
        holder.execute("BEGIN IMMEDIATE")
        began = time.monotonic()
        with pytest.raises(StorageError, match="database is locked"):
            probe_database(f"sqlite:///{path}", 0.1)
        assert time.monotonic() - began < 20, "the lock's usual time to wait is 30 s"


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    """And left as it is."""
    path = tmp_path / "perennial.db"
    path.write_bytes(b"no database at all " * 100)
    with pytest.raises(StorageError, match=r"perennial\.db: file is not a database"):
        probe_database(f"sqlite:///{path}", 0.1)
    assert path.read_bytes() == b"no database at all " * 100


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ("nonsense", "must be an address such as sqlite"),
        ("mysql://root@host/db", "SQLite or PostgreSQL"),
        ("sqlite://", "must name a file"),
    ],
)
def test_an_address_that_is_none_is_the_users_to_correct(wrong: str, says: str) -> None:
    """With the words of the commands that open the database."""
    with pytest.raises(ConfigError, match=says):
        probe_database(wrong, 0.1)
