"""A connection to a database server that writes the prediction log, by SQLAlchemy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import create_engine, delete
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from store.database import open_database, storage_error
from store.tables import PredictionRequestRow, UtcDateTime


class LogServer:
    """Writes rows to a server, see :class:`~store.log.connection.LogConnection`.

    Parameters
    ----------
    address
        SQLAlchemy address.
    wait_seconds
        Timeout of a lock, a connection or a statement.

    Raises
    ------
    StorageError
        The database cannot be reached.
    """

    def __init__(self, address: str, wait_seconds: float) -> None:
        engine = open_database(address, create=False)
        try:
            self._connection = create_engine(
                engine.url, poolclass=NullPool, connect_args=_options(wait_seconds)
            ).connect()
        except (SQLAlchemyError, OSError) as error:
            raise storage_error(engine.url, error) from error
        # A transaction may have been committed although its answer was lost: inserting the same ids again is harmless.
        insert = postgresql.insert(PredictionRequestRow).on_conflict_do_nothing(index_elements=["id"])
        # Compiled once and given to the driver: otherwise half of the time per row is spent on its parameters.
        compiled = insert.compile(dialect=engine.dialect)
        self._statement, self._order = str(compiled), compiled.positiontup
        self._moment = UtcDateTime().dialect_impl(engine.dialect).bind_processor(engine.dialect)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Run a transaction."""
        try:
            with self._connection.begin():
                yield
        except (SQLAlchemyError, OSError) as error:
            raise storage_error(self._connection.engine.url, error) from error

    def insert(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Insert rows whose ids are new."""
        self._connection.exec_driver_sql(self._statement, [self._parameters(row) for row in rows])

    def _parameters(self, row: Mapping[str, Any]) -> Any:
        given = {**row, "at": self._moment(row["at"]) if self._moment else row["at"]}
        return given if self._order is None else tuple(given[name] for name in self._order)

    def delete(self, request: str) -> None:
        """Delete a row by its id."""
        self._connection.execute(delete(PredictionRequestRow).where(PredictionRequestRow.id == request))

    def check(self) -> None:
        """Run a statement that changes nothing."""
        self._connection.exec_driver_sql("SELECT 1")

    def close(self) -> None:
        """Close the connection."""
        try:
            self._connection.close()
        except (SQLAlchemyError, OSError):
            self._connection.invalidate()


def _options(seconds: float) -> dict[str, Any]:
    return {
        "connect_timeout": max(1, round(seconds)),
        "tcp_user_timeout": round(1000 * seconds),
        # A machine that vanished after it received a statement is noticed too.
        "keepalives_idle": max(1, round(seconds)),
        "keepalives_interval": 2,
        "keepalives_count": 2,
        "options": f"-c statement_timeout={round(1000 * seconds)} -c lock_timeout={round(1000 * seconds)}",
    }
