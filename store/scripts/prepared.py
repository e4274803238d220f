"""The tables of a new SQLite database as one script: what all migrations together make, without Alembic's import.

``make reference`` writes the script from the migrations, and a test compares the two.
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection

SCRIPT = Path(__file__).parents[1] / "migrations" / "sqlite.sql"

_REVISION = "-- revision "
_BETWEEN = ";\n\n--\n\n"
"""Separates statements: a trigger has semicolons inside."""


def make_prepared_tables(connection: Connection, revision: str) -> bool:
    """Make all tables in an empty SQLite database; return False if there is no script for the revision.

    Parameters
    ----------
    connection
        In a transaction that holds the write lock.
    revision
        The newest migration.
    """
    if connection.dialect.name != "sqlite" or not _is_empty(connection):
        return False
    first, _, statements = SCRIPT.read_text(encoding="utf-8").partition("\n")
    if first != f"{_REVISION}{revision}":
        return False
    for statement in statements.strip().split(_BETWEEN):
        connection.exec_driver_sql(statement)
    return True


def script_of(connection: Connection, revision: str) -> str:
    """Return the script that makes the tables of a migrated SQLite database."""
    made = connection.exec_driver_sql("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY rowid")
    statements = [*made.scalars(), f"INSERT INTO alembic_version (version_num) VALUES ('{revision}')"]  # noqa: S608 - our own
    return f"{_REVISION}{revision}\n" + _BETWEEN.join(statements) + "\n"


def _is_empty(connection: Connection) -> bool:
    return connection.exec_driver_sql("SELECT 1 FROM sqlite_master LIMIT 1").first() is None
