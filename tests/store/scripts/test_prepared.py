"""A new SQLite database is made by one script, which is what all migrations together make."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import create_engine

from core.errors import StorageError
from store.database import open_database, run_migrations
from store.schema_version import HEAD
from store.scripts import prepared
from store.scripts.prepared import make_prepared_tables


def content(path: Path) -> list[tuple[object, ...]]:
    """Return every statement that a database was made of, and its revision."""
    with closing(sqlite3.connect(path)) as connection:
        made = connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY type, name").fetchall()
        return [*made, *connection.execute("SELECT * FROM alembic_version")]


def test_the_script_makes_what_the_migrations_make(tmp_path: Path) -> None:
    """Tables, indexes, triggers, views and the revision are the same."""
    with create_engine(f"sqlite:///{tmp_path / 'migrated.db'}").begin() as connection:
        run_migrations(connection)
    with create_engine(f"sqlite:///{tmp_path / 'made.db'}").begin() as connection:
        assert make_prepared_tables(connection, HEAD)
    assert content(tmp_path / "made.db") == content(tmp_path / "migrated.db")
    assert {row[0] for row in content(tmp_path / "made.db") if len(row) > 1} == {"table", "index", "trigger", "view"}


def test_a_new_database_needs_no_alembic(tmp_path: Path) -> None:
    """Its import takes longer than the tables."""
    code = f"import sys; from store.database import open_database; open_database('sqlite:///{tmp_path / 'a.db'}'); "
    code += "print('alembic' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


def test_a_script_of_another_revision_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A release whose script was forgotten migrates, and so does a database that has tables."""
    with create_engine(f"sqlite:///{tmp_path / 'a.db'}").begin() as connection:
        assert not make_prepared_tables(connection, "0001")
        connection.exec_driver_sql("CREATE TABLE other (a)")
        assert not make_prepared_tables(connection, HEAD)
    stale = tmp_path / "stale.sql"
    stale.write_text("-- revision 0001\nCREATE TABLE wrong (a)")
    monkeypatch.setattr(prepared, "SCRIPT", stale)
    open_database(f"sqlite:///{tmp_path / 'b.db'}")
    assert content(tmp_path / "b.db")[-1] == (HEAD,)
    assert "wrong" not in [row[1] for row in content(tmp_path / "b.db") if len(row) > 1]


def test_a_script_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All statements are one transaction: the next attempt starts from nothing and succeeds."""
    broken = tmp_path / "broken.sql"
    broken.write_text(prepared.SCRIPT.read_text() + ";\n\n--\n\nINSERT INTO nowhere VALUES (1)")
    with monkeypatch.context() as patch:
        patch.setattr(prepared, "SCRIPT", broken)
        with pytest.raises(StorageError, match="nowhere"):
            open_database(f"sqlite:///{tmp_path / 'a.db'}")
    with closing(sqlite3.connect(tmp_path / "a.db")) as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == []
    open_database(f"sqlite:///{tmp_path / 'a.db'}")
    assert content(tmp_path / "a.db")[-1] == (HEAD,)
