"""The inbox of webhooks: a trigger is stored durably in it before the sender gets 202."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.pool import NullPool

from store.database import open_database

WAIT_SECONDS = 4
"""Timeout of a lock, a connection or a statement: GitHub times out after 10 s, and deliveries may queue for a lock."""

_SERVER_OPTIONS = {
    "connect_timeout": WAIT_SECONDS,
    "tcp_user_timeout": 1000 * WAIT_SECONDS,
    "options": f"-c statement_timeout={WAIT_SECONDS}s -c lock_timeout={WAIT_SECONDS}s",
}


def open_inbox(address: str) -> Engine:
    """Open the operational database for triggers whose senders get a 202.

    A committed transaction survives a power cut, also on SQLite, where other connections only survive a crash of the
    process. A lock or an answer is waited for at most :data:`WAIT_SECONDS`, so that the sender has not timed out.

    Raises
    ------
    StorageError
        The database cannot be reached.
    """
    engine = open_database(address)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _make_durable)
        return engine
    return create_engine(engine.url, poolclass=NullPool, connect_args=_SERVER_OPTIONS)


def _make_durable(connection: Any, record: object) -> None:  # noqa: ARG001 - SQLAlchemy's signature
    cursor = connection.cursor()
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.execute(f"PRAGMA busy_timeout = {1000 * WAIT_SECONDS}")
    cursor.close()
