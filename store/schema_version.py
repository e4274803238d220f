"""The version of the operational database's schema, read without SQLAlchemy or Alembic."""

from __future__ import annotations

import sqlite3

HEAD = "0015"
"""The newest migration. Kept here so that a database that is up to date is opened without importing Alembic."""


def is_at_head(connection: sqlite3.Connection) -> bool:
    """Return whether a database of SQLite has the schema of this release.

    Raises
    ------
    sqlite3.Error
        It cannot be read, or has no tables yet.
    """
    return bool(connection.execute("SELECT version_num FROM alembic_version").fetchall() == [(HEAD,)])
