"""A SQLite database of another program, made from a script instead of by that program's migrations.

A script belongs to one release of the program, which its first line names.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Collection
from contextlib import closing, suppress
from pathlib import Path

from config.private_file import create_private_file

LEFT_OVER_SECONDS = 3600.0
"""Age of a temporary file from which it belongs to a killed process."""

_REVISION = 'INSERT INTO "alembic_version" VALUES(\''


def script_of(database: Path, release: str, without: Collection[str] = ()) -> str:
    """Return the script that makes the tables and rows of a database.

    Parameters
    ----------
    database
        A database that the program's migrations made.
    release
        The program and its version, such as ``prefect 3.8.8``.
    without
        Tables whose rows are left out.
    """
    left_out = ("BEGIN TRANSACTION;", "COMMIT;", *(f'INSERT INTO "{name}" ' for name in without))
    with closing(sqlite3.connect(database)) as connection:
        lines = [line for line in connection.iterdump() if not line.startswith(left_out)]
    return f"-- {release}\n" + "\n".join(lines) + "\n"


def is_of(script: Path, release: str) -> bool:
    """Return whether a script belongs to a release."""
    with script.open(encoding="utf-8") as file:
        return file.readline().strip() == f"-- {release}"


def revision_of(script: Path) -> str:
    """Return the revision of Alembic's migrations that a script's tables have."""
    return script.read_text(encoding="utf-8").rpartition(_REVISION)[2].partition("'")[0]


def make_database(database: Path, script: Path) -> None:
    """Make a database unless there is one.

    It is made under a temporary name and linked into place, so that a process killed in between leaves none, and the
    first of two keeps its own. Only this user reads it, and the group that shares the project.
    """
    if database.exists():
        return
    _remove_leftovers(database)
    part = database.with_name(f".{database.name}.{os.getpid()}.part")
    part.unlink(missing_ok=True)
    create_private_file(part)
    try:
        fill(part, script)
        _put(part, database)
    finally:
        part.unlink(missing_ok=True)


def _put(part: Path, database: Path) -> None:
    """Give a database its name, unless another process was first."""
    try:
        os.link(part, database)
    except FileExistsError:
        pass
    except OSError:  # FAT and some shares have no links
        from filelock import FileLock

        with FileLock(f"{database}.lock"):
            if not database.exists():
                part.replace(database)


def fill(database: Path, script: Path) -> None:
    """Run a script in one transaction on an empty database, which is no one's before it is complete."""
    with closing(sqlite3.connect(database)) as connection:
        # A journal would be left beside the file of a killed process.
        connection.execute("PRAGMA journal_mode = MEMORY")
        connection.executescript(f"BEGIN;\n{script.read_text(encoding='utf-8')}\nCOMMIT;")


def has_revision(database: Path, revision: str) -> bool:
    """Return whether a database's tables have a revision; it is not written."""
    try:
        with closing(sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            return connection.execute("SELECT version_num FROM alembic_version").fetchall() == [(revision,)]
    except sqlite3.Error:  # no database of that program, which says so itself
        return False


def _remove_leftovers(database: Path) -> None:
    for part in database.parent.glob(f".{database.name}.*.part"):
        with suppress(FileNotFoundError):  # another process removed it
            if time.time() - part.stat().st_mtime > LEFT_OVER_SECONDS:
                part.unlink()
