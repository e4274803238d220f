"""A connection that stays open and writes the prediction log, one transaction per group of requests.

A file of SQLite that is up to date is opened and written without SQLAlchemy, whose import is a quarter of a worker's
start.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from config.private_file import keep_from_others, sqlite_files
from core.errors import StorageError
from store.schema_version import is_at_head

if TYPE_CHECKING:
    from store.log.server import LogServer

WAIT_SECONDS = 5.0
"""Timeout of a lock, a connection or a statement, about as long as a caller waits for a prediction."""

_PLAIN = "sqlite:///"
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
    "failure": None,
    "served_id": None,
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
        self._database: LogFile | LogServer
        file = _current_file(address) or _opened_file(address)
        if file is not None:
            self._database = LogFile(address, file, durable)
        else:
            from store.log.server import LogServer

            self._database = LogServer(address, WAIT_SECONDS)

    def write(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Insert rows in one transaction; return once it is committed.

        Raises
        ------
        StorageError
            The database failed; whether the rows were committed is unknown. The connection cannot be used again.
        """
        with self._database.transaction():
            self._database.insert(rows)

    def probe(self) -> None:
        """Write a row and remove it in the same transaction: proves that rows can be written, and leaves none.

        Raises
        ------
        StorageError
            They cannot. The connection cannot be used again.
        """
        request = str(uuid4())
        with self._database.transaction():
            self._database.insert([{**_PROBE, "id": request, "at": datetime.now(UTC)}])
            self._database.delete(request)

    def check(self) -> None:
        """Open a transaction that writes nothing; cheaper than :meth:`probe`, and finds that the database is away.

        Raises
        ------
        StorageError
            It cannot be reached, or is locked. The connection cannot be used again.
        """
        with self._database.transaction():
            self._database.check()

    def close(self) -> None:
        """Close the connection."""
        self._database.close()


class LogFile:
    """Writes rows to a file of SQLite.

    Parameters
    ----------
    address, file
        Address of the database, for messages, and its file.
    durable
        See :class:`LogConnection`.

    Raises
    ------
    StorageError
        The file cannot be opened.
    """

    def __init__(self, address: str, file: Path, durable: bool) -> None:
        self._address, self._file = address, file
        try:
            for one in sqlite_files(file):
                keep_from_others(one)
            self._connection = _connected(file, durable)
            self._identity = _identity(file)
        except (sqlite3.Error, OSError) as error:
            raise _storage_error(address, error) from error

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Run a transaction that has the write lock from its start."""
        try:
            self._refuse_another_file()
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                self._roll_back()
                raise
        except (sqlite3.Error, OSError) as error:
            raise _storage_error(self._address, error) from error

    def _roll_back(self) -> None:
        if self._connection.in_transaction:  # some errors end it
            self._connection.execute("ROLLBACK")

    def _refuse_another_file(self) -> None:
        if _identity(self._file) != self._identity:
            raise OSError("its file was replaced by another one")

    def insert(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Insert rows whose ids are new; all have the same columns."""
        names = tuple(rows[0])
        # A transaction may have been committed although its answer was lost: inserting the same ids again is harmless.
        statement = (
            f"INSERT INTO prediction_requests ({', '.join(names)}) VALUES ({', '.join('?' * len(names))}) "  # noqa: S608 - names of our columns
            "ON CONFLICT (id) DO NOTHING"
        )
        self._connection.executemany(statement, [[_stored(row[name]) for name in names] for row in rows])

    def delete(self, request: str) -> None:
        """Delete a row by its id."""
        self._connection.execute("DELETE FROM prediction_requests WHERE id = ?", (request,))

    def check(self) -> None:
        """Run a statement that changes nothing."""
        self._connection.execute("SELECT 1")

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


def _stored(value: Any) -> Any:
    """Return a value as SQLite stores it: all times in one format, because it compares them as texts."""
    return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f") if isinstance(value, datetime) else value


def _current_file(address: str) -> Path | None:
    """Return the file of an address of SQLite that exists and is up to date; None: SQLAlchemy must look at it."""
    path = address.removeprefix(_PLAIN)
    if path == address or "?" in path:
        return None
    file = Path(path)
    try:
        with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=rw", uri=True, timeout=WAIT_SECONDS)) as found:
            return file if is_at_head(found) else None
    except (sqlite3.Error, OSError, ValueError):
        return None


def _opened_file(address: str) -> Path | None:
    """Migrate the database of an address; return its file, None if it is on a server."""
    from store.database import open_database, sqlite_file

    file = sqlite_file(address)
    if file is not None:
        open_database(address, create=False)
    return file


def _identity(file: Path) -> tuple[int, int]:
    """Identify a file of SQLite: an open connection would go on writing to one that was moved away or deleted."""
    found = file.stat()
    return found.st_dev, found.st_ino


def _connected(file: Path, durable: bool) -> sqlite3.Connection:
    # A connection never creates the file, and sends no BEGIN of its own.
    connection = sqlite3.connect(
        f"{file.absolute().as_uri()}?mode=rw",
        uri=True,
        timeout=WAIT_SECONDS,
        isolation_level=None,
        check_same_thread=False,
    )
    for pragma in ("journal_mode = WAL", f"synchronous = {'FULL' if durable else 'NORMAL'}", "foreign_keys = ON"):
        connection.execute(f"PRAGMA {pragma}")
    return connection


def _storage_error(address: str, error: BaseException) -> StorageError:
    from store.database import database_url, storage_error

    return storage_error(database_url(address), error)
