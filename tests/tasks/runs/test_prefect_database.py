"""Prefect's database is made from a script that is what its own migrations make."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from importlib.metadata import version
from pathlib import Path

import pytest

from store.scripts.script import revision_of
from tasks.runs import prefect_database
from tasks.runs.prefect_database import ADDRESSES, DATABASE, SCRIPT, migrated_script, prepare_database


@pytest.fixture(autouse=True)
def _no_other_database(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ADDRESSES:
        monkeypatch.delenv(name, raising=False)


def lines(text: str) -> list[str]:
    """Return the lines of a schema, sorted: the migrations give the constraints of a table in any order."""
    return sorted(line.strip().rstrip(",") for line in text.splitlines())


@pytest.mark.slow
def test_the_script_is_what_the_migrations_make() -> None:
    """Every table, index and row, at the pinned release; a hundred migrations run for it, which takes ten seconds."""
    expected = lines(migrated_script())
    assert lines(SCRIPT.read_text()) == expected, "run 'python -m tasks.runs.prefect_database' and commit the script"


def test_a_database_is_made_once_and_for_this_user(tmp_path: Path) -> None:
    """It has the newest tables, no one else reads it, and nothing but it is left in the folder."""
    home = tmp_path / "var" / "prefect"
    assert prepare_database(home)
    with closing(sqlite3.connect(home / DATABASE)) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [(revision_of(SCRIPT),)]
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        connection.execute("INSERT INTO flow (name) VALUES ('kept')")
        connection.commit()
    assert (home / DATABASE).stat().st_mode & 0o777 == 0o600
    assert home.stat().st_mode & 0o777 == 0o700
    assert prepare_database(home)
    assert [path.name for path in home.iterdir()] == [DATABASE]
    with closing(sqlite3.connect(home / DATABASE)) as connection:
        assert connection.execute("SELECT name FROM flow").fetchall() == [("kept",)]


def test_tables_of_another_release_are_left_to_prefect(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An older database, one that is none, one on a server, and another release: Prefect migrates as ever."""
    assert prepare_database(tmp_path)
    with closing(sqlite3.connect(tmp_path / DATABASE)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'older'")
        connection.commit()
    assert not prepare_database(tmp_path)
    (tmp_path / DATABASE).write_text("none" * 1000)
    assert not prepare_database(tmp_path)
    other = tmp_path / "other"
    with monkeypatch.context() as patch:
        patch.setenv(ADDRESSES[0], "postgresql+asyncpg://server/prefect")
        assert not prepare_database(other)
    monkeypatch.setattr(prefect_database, "version", lambda _: f"{version('prefect')}.1")
    assert not prepare_database(other)
    assert not other.exists()
    assert os.listdir(tmp_path) == [DATABASE]  # noqa: PTH208 - names only
