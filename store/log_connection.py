"""A connection that stays open and writes the prediction log, one transaction per group of requests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from sqlalchemy import Connection, Engine, create_engine, delete
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from store.database import open_database, sqlite_file, storage_error
from store.tables import PredictionRequestRow, UtcDateTime

WAIT_SECONDS = 5
"""Timeout of a lock, a connection or a statement, about as long as a caller waits for a prediction."""

_SERVER_OPTIONS = {
    "connect_timeout": WAIT_SECONDS,
    "tcp_user_timeout": 1000 * WAIT_SECONDS,
    # A machine that vanished after it received a statement is noticed too.
    "keepalives_idle": WAIT_SECONDS,
    "keepalives_interval": 2,
    "keepalives_count": 2,
    "options": f"-c statement_timeout={WAIT_SECONDS}s -c lock_timeout={WAIT_SECONDS}s",
}

_PROBE = {
    "model": "",
    "version": 0,
    "variant": "probe",
    "n_rows": 0,
    "latency_ms": 0.0,
    "rows": "[]",
    "columns": None,
    "outputs": "[]",
    "entity_keys": None,
}


class LogConnection:
    """Writes answered requests.

    Parameters
    ----------
    address
        SQLAlchemy address of the operational database; the schema is migrated if it is not up to date.
    durable
        SQLite: whether a committed transaction survives a power cut, and not only a crash of the process.

    Raises
    ------
    StorageError
        The database cannot be reached.
    """

    def __init__(self, address: str, *, durable: bool) -> None:
        engine = open_database(address, create=False)
        self._file = sqlite_file(address)
        try:
            self._connection = _connected(engine, durable)
            self._identity = _identity(self._file)
        except (SQLAlchemyError, OSError) as error:
            raise storage_error(engine.url, error) from error
        dialect = sqlite if engine.dialect.name == "sqlite" else postgresql
        # A transaction may have been committed although its answer was lost: inserting the same ids again is harmless.
        insert = dialect.insert(PredictionRequestRow).on_conflict_do_nothing(index_elements=["id"])
        # Compiled once and given to the driver: otherwise half of the time per row is spent on its parameters.
        compiled = insert.compile(dialect=engine.dialect)
        self._statement, self._order = str(compiled), compiled.positiontup
        # The dialect's own format: SQLite compares times as texts, so all must be written in the same format.
        self._moment = UtcDateTime().dialect_impl(engine.dialect).bind_processor(engine.dialect)

    def write(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Insert rows in one transaction; return once it is committed.

        Raises
        ------
        StorageError
            The database failed; whether the rows were committed is unknown. The connection cannot be used again.
        """
        with self._transaction():
            self._insert(rows)

    def probe(self) -> None:
        """Write a row and remove it in the same transaction: proves that rows can be written, and leaves none.

        Raises
        ------
        StorageError
            They cannot. The connection cannot be used again.
        """
        row = {**_PROBE, "id": str(uuid4()), "at": datetime.now(UTC)}
        with self._transaction():
            self._insert([row])
            self._connection.execute(delete(PredictionRequestRow).where(PredictionRequestRow.id == row["id"]))

    def check(self) -> None:
        """Open a transaction that writes nothing; cheaper than :meth:`probe`, and finds that the database is away.

        Raises
        ------
        StorageError
            It cannot be reached, or is locked. The connection cannot be used again.
        """
        with self._transaction():
            self._connection.exec_driver_sql("SELECT 1")

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        try:
            self._refuse_another_file()
            with self._connection.begin():
                yield
        except (SQLAlchemyError, OSError) as error:
            raise storage_error(self._connection.engine.url, error) from error

    def _refuse_another_file(self) -> None:
        if _identity(self._file) != self._identity:
            raise OSError("its file was replaced by another one")

    def _insert(self, rows: Sequence[Mapping[str, Any]]) -> None:
        self._connection.exec_driver_sql(self._statement, [self._parameters(row) for row in rows])

    def _parameters(self, row: Mapping[str, Any]) -> Any:
        given = {**row, "at": self._moment(row["at"]) if self._moment else row["at"]}
        return given if self._order is None else tuple(given[name] for name in self._order)

    def close(self) -> None:
        """Close the connection."""
        try:
            self._connection.close()
        except (SQLAlchemyError, OSError):
            self._connection.invalidate()


def _identity(file: Path | None) -> tuple[int, int] | None:
    """Identify a file of SQLite: an open connection would go on writing to one that was moved away or deleted."""
    if file is None:
        return None
    found = file.stat()
    return found.st_dev, found.st_ino


def _connected(engine: Engine, durable: bool) -> Connection:
    if engine.dialect.name == "sqlite":
        connection = engine.connect().execution_options(sqlite_begin="BEGIN IMMEDIATE")
        driver = connection.connection.driver_connection
        assert driver is not None  # noqa: S101 - just connected
        driver.execute(f"PRAGMA busy_timeout = {1000 * WAIT_SECONDS}")
        driver.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
        return connection
    return create_engine(engine.url, poolclass=NullPool, connect_args=_SERVER_OPTIONS).connect()
