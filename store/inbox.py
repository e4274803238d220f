"""The inbox of webhooks: what was answered with 202 is in it, whatever happens next."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.pool import NullPool

from store.database import open_database

WAIT_SECONDS = 4
"""For a lock, a connection or a statement: GitHub gives up after ten seconds, and one delivery may wait for another."""

_SERVER_OPTIONS = {
    "connect_timeout": WAIT_SECONDS,
    "tcp_user_timeout": 1000 * WAIT_SECONDS,
    "options": f"-c statement_timeout={WAIT_SECONDS}s -c lock_timeout={WAIT_SECONDS}s",
}


def open_inbox(address: str) -> Engine:
    """Open the operational database for triggers that somebody is promised will be kept.

    A transaction outlives a power cut, on SQLite too, where others outlive a crash of the process only. Nothing waits
    longer than :data:`WAIT_SECONDS` for a lock or an answer: the sender would be gone.

    Raises
    ------
    StorageError
        The database cannot be reached.
    """
    engine = open_database(address)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _keep)
        return engine
    return create_engine(engine.url, poolclass=NullPool, connect_args=_SERVER_OPTIONS)


def _keep(connection: Any, record: object) -> None:  # noqa: ARG001 - SQLAlchemy's signature
    cursor = connection.cursor()
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.execute(f"PRAGMA busy_timeout = {1000 * WAIT_SECONDS}")
    cursor.close()
