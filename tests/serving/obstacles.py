"""What may come between the service and its database, on real ones."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Connection, create_engine, make_url
from sqlalchemy.pool import NullPool


def _connected(address: str) -> Connection:
    return create_engine(make_url(address), poolclass=NullPool, isolation_level="AUTOCOMMIT").connect()


@contextmanager
def locked(address: str, table: str = "prediction_requests") -> Iterator[None]:
    """Hold the lock that a writer of a table needs."""
    statement = "BEGIN IMMEDIATE" if address.startswith("sqlite") else f"BEGIN; LOCK TABLE {table} IN EXCLUSIVE MODE"
    with _connected(address) as connection:
        connection.exec_driver_sql(statement)
        try:
            yield
        finally:
            connection.exec_driver_sql("ROLLBACK")


@contextmanager
def read_only(address: str, table: str = "prediction_requests") -> Iterator[None]:
    """Let the database refuse every insertion into a table, as a full or a read-only one does."""
    if address.startswith("sqlite"):
        refusal = f"CREATE TRIGGER refuse BEFORE INSERT ON {table} BEGIN SELECT RAISE(ABORT, 'read-only'); END"
        begin, end = [refusal], ["DROP TRIGGER refuse"]
    else:
        reload = "SELECT pg_reload_conf()"
        begin = ["ALTER SYSTEM SET default_transaction_read_only = on", reload]
        end = ["ALTER SYSTEM RESET default_transaction_read_only", reload]
    with _connected(address) as connection:
        try:
            _execute(connection, begin)
            yield
        finally:
            _execute(connection, end)


@contextmanager
def away(address: str) -> Iterator[None]:
    """Take PostgreSQL's socket away and break the connections that there are."""
    if address.startswith("sqlite"):
        pytest.skip("a file that is open does not go away")
    socket = Path(str(make_url(address).query["host"])) / ".s.PGSQL.5432"
    others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
    with _connected(address) as connection:
        moved = socket.rename(socket.with_name("away"))
        try:
            _execute(connection, [f"{others} AND backend_type = 'client backend'"])
            yield
        finally:
            moved.rename(socket)


def _execute(connection: Connection, statements: Sequence[str]) -> None:
    for statement in statements:
        connection.exec_driver_sql(statement)
    time.sleep(0.1)  # the server's processes learn it when they are idle
