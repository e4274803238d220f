"""The script of a new operational database, from its migrations."""

from __future__ import annotations

from sqlalchemy import create_engine

from store.database import run_migrations
from store.schema_version import HEAD
from store.scripts.prepared import script_of


def script() -> str:
    """Return the script for :data:`store.scripts.prepared.SCRIPT`."""
    with create_engine("sqlite://").begin() as connection:
        run_migrations(connection)
        return script_of(connection, HEAD)
