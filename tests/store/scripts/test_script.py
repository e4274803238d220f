"""A database that is made from a script is complete or absent, also if a process is killed or comes second."""

from __future__ import annotations

import errno
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from store.scripts.script import has_revision, is_of, make_database, revision_of, script_of

TABLES = """
CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL);
CREATE TABLE things (id INTEGER PRIMARY KEY, name TEXT);
CREATE INDEX ix_things_name ON things (name);
CREATE TRIGGER kept BEFORE DELETE ON things BEGIN SELECT RAISE(ABORT, 'kept; for ever'); END;
INSERT INTO alembic_version VALUES ('r2');
INSERT INTO things (name) VALUES ('it''s; here'), ('b');
"""


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """Return the script of a small database."""
    source = tmp_path / "source.db"
    with closing(sqlite3.connect(source)) as connection:
        connection.executescript(TABLES)
    path = tmp_path / "tables.sql"
    path.write_text(script_of(source, "things 1.0"))
    return path


def dump(database: Path) -> list[str]:
    """Everything in a database."""
    with closing(sqlite3.connect(database)) as connection:
        return list(connection.iterdump())


def test_a_database_is_what_the_script_was_made_of(script: Path, tmp_path: Path) -> None:
    """With rows, indexes and triggers; a database that is there stays as it is."""
    made = tmp_path / "folder" / "made.db"
    made.parent.mkdir()
    make_database(made, script)
    assert dump(made) == dump(tmp_path / "source.db")
    assert made.stat().st_mode & 0o777 == 0o600
    with closing(sqlite3.connect(made)) as connection:
        connection.execute("INSERT INTO things (name) VALUES ('mine')")
        connection.commit()
    make_database(made, script)
    assert "mine" in str(dump(made))
    assert [path.name for path in made.parent.iterdir()] == ["made.db"]


def test_a_script_names_its_release_and_its_revision(script: Path, tmp_path: Path) -> None:
    """What it was made for decides whether it is used."""
    assert is_of(script, "things 1.0")
    assert not is_of(script, "things 1.0.1")
    assert revision_of(script) == "r2"
    make_database(tmp_path / "made.db", script)
    assert has_revision(tmp_path / "made.db", "r2")
    assert not has_revision(tmp_path / "made.db", "r1")
    assert not has_revision(tmp_path / "gone.db", "r2")
    assert not has_revision(script, "r2")
    assert not (tmp_path / "gone.db").exists()


def test_rows_can_be_left_out(script: Path, tmp_path: Path) -> None:
    """Such as those with a time or a path of the machine that made the script."""
    assert "here" in script.read_text()
    text = script_of(tmp_path / "source.db", "things 1.0", without=["things"])
    assert "here" not in text
    assert "CREATE TABLE things" in text


def test_processes_that_start_at_once_make_one_database(script: Path, tmp_path: Path) -> None:
    """Each finds it complete, in any order."""
    made = tmp_path / "made" / "made.db"
    made.parent.mkdir()
    code = "from pathlib import Path; from store.scripts.script import has_revision, make_database\n"
    code += f"made = Path({str(made)!r}); make_database(made, Path({str(script)!r})); assert has_revision(made, 'r2')"
    running = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(4)]
    assert [process.wait() for process in running] == [0] * 4
    assert [path.name for path in made.parent.iterdir()] == ["made.db"]


@pytest.mark.parametrize("n_statements", range(1, 9, 2))
def test_a_process_that_is_killed_leaves_no_database(script: Path, tmp_path: Path, n_statements: int) -> None:
    """What it made so far has another name; the next process makes the whole, and a later one removes the rest."""
    made = tmp_path / "made" / "made.db"
    made.parent.mkdir()
    code = f"""
import os, signal, sqlite3
from pathlib import Path
from store.scripts import script
connect, seen = sqlite3.connect, []
def count(_statement):
    seen.append(1)
    if len(seen) >= {n_statements}:
        os.kill(os.getpid(), signal.SIGKILL)
def deadly(*given, **named):
    connection = connect(*given, **named)
    connection.set_trace_callback(count)
    return connection
sqlite3.connect = deadly
script.make_database(Path({str(made)!r}), Path({str(script)!r}))
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -9
    assert not made.exists()
    parts = list(made.parent.glob(".made.db.*.part"))
    assert len(parts) == 1
    os.utime(parts[0], (0, 0))
    make_database(made, script)
    assert has_revision(made, "r2")
    assert [path.name for path in made.parent.iterdir()] == ["made.db"]


def _without_links(_source: object, _target: object) -> None:
    raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))


def test_a_file_system_without_links_gets_its_database(
    script: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FAT answers a link with an error, which no file system that tests can mount without a device does."""
    monkeypatch.setattr(os, "link", _without_links)
    made = tmp_path / "folder" / "made.db"
    made.parent.mkdir()
    make_database(made, script)
    assert dump(made) == dump(tmp_path / "source.db")
    assert not list(made.parent.glob("*.part"))


def test_without_links_the_first_of_two_keeps_its_own(
    script: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process makes the database while this one fills its own."""
    made = tmp_path / "made.db"

    def late(_source: object, _target: object) -> None:
        made.write_bytes(b"first")
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr(os, "link", late)
    make_database(made, script)
    assert made.read_bytes() == b"first"
    assert not list(made.parent.glob("*.part"))
