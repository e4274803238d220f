"""Check the operational database without changing it, and with a short timeout."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import create_engine, inspect, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from core.errors import StorageError
from store.database import database_url
from store.postgres import is_postgres, postgres_url
from store.schema_version import HEAD


@dataclass(frozen=True)
class Probe:
    """Result of a check of the database.

    Parameters
    ----------
    address
        Address without its password.
    version
        Version of the schema; None if there are no tables yet.
    seconds
        Time to connect and to query, in seconds.
    now
        Time on the server's clock; None for SQLite.
    """

    address: str
    version: str | None
    seconds: float
    now: datetime | None = None

    @property
    def is_at_head(self) -> bool:
        """Whether the schema has the version that this release expects."""
        return self.version == HEAD


def probe_database(address: str, seconds: float) -> Probe:
    """Connect, take and release SQLite's write lock, and read the schema's version.

    Parameters
    ----------
    seconds
        Timeout of the connection, the lock and each statement, in seconds.

    Raises
    ------
    ConfigError
        The address is not valid, or its driver is not installed.
    StorageError
        The database cannot be reached or is locked, or the file is not a database.
    """
    url = postgres_url(address) if is_postgres(address) else database_url(address)
    shown = url.render_as_string(hide_password=True)
    began = time.perf_counter()
    try:
        version, now = _ask_postgres(url, seconds) if is_postgres(address) else (_ask_sqlite(url, seconds), None)
    except sqlite3.Error as error:
        raise StorageError(f"{shown}: {error}") from error
    except DBAPIError as error:
        raise StorageError(f"{shown}: {str(error.orig).strip().splitlines()[0]}") from error
    return Probe(shown, version, time.perf_counter() - began, now)


def _ask_sqlite(url: URL, seconds: float) -> str | None:
    path = Path(url.database or "")
    if not path.exists():
        return None
    with closing(sqlite3.connect(path, timeout=seconds, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("ROLLBACK")
        tables = connection.execute("SELECT name FROM sqlite_master WHERE name = 'alembic_version'").fetchall()
        found = connection.execute("SELECT version_num FROM alembic_version").fetchone() if tables else None
    return None if found is None else str(found[0])


def _ask_postgres(url: URL, seconds: float) -> tuple[str | None, datetime]:
    given = {"connect_timeout": max(2, int(seconds)), "options": f"-c statement_timeout={int(seconds * 1000)}"}
    options = url.query.get("options")
    if isinstance(options, str):
        given["options"] = f"{options} {given['options']}"
    engine = create_engine(url.set(drivername="postgresql+psycopg"), poolclass=NullPool, connect_args=given)
    with engine.connect() as connection:
        now: datetime = connection.execute(text("SELECT clock_timestamp()")).scalar_one()
        if not inspect(connection).has_table("alembic_version"):
            return None, now.astimezone(UTC)
        version = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return None if version is None else str(version), now.astimezone(UTC)
