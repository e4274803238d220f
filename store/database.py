"""Open the operational database, migrate its schema, and run transactions on it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, bindparam, create_engine, event, exists, inspect, make_url, select, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.pool import NullPool

from config.private_file import create_private_file, keep_from_others, make_private_folder, sqlite_files
from core.errors import ConfigError, StorageError
from store.schema_version import HEAD
from store.scripts.prepared import make_prepared_tables

BUSY_TIMEOUT_MS = 30_000
"""How long a writer of SQLite waits for the write lock."""

CONNECT_SECONDS = 10
"""Timeout of a connection to a PostgreSQL server."""

_MIGRATION_LOCK = 0x7065_7265_6E6E  # any fixed number: PostgreSQL's advisory locks are named by integers


def open_database(address: str, *, create: bool = True) -> Engine:
    """Open the database at an SQLAlchemy address and migrate it to the newest version if its schema is older.

    Opening twice, or from two processes at once, is harmless: the migration runs in one transaction that holds the
    write lock, and reads the schema's version again once it has the lock.

    Parameters
    ----------
    address
        ``sqlite:///file`` or ``postgresql://user:password@host/database``. SQLite runs in WAL mode with foreign keys.
    create
        Whether a file of SQLite that does not exist is created. A service that finds its file gone must not go on with
        an empty one, to which no key and no champion is known.

    Raises
    ------
    ConfigError
        The address is not valid, or its driver is not installed.
    StorageError
        The database cannot be reached, or was written by a newer release.
    """
    url = database_url(address)
    try:
        if not create and (file := sqlite_file(address)) is not None and not file.exists():
            raise FileNotFoundError("the file does not exist")
        engine = _engine(url)
        _migrate_if_behind(engine)
    except (DBAPIError, OSError) as error:
        raise storage_error(url, error) from error
    return engine


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """Run a transaction that writes; it takes SQLite's write lock at its start, so it cannot fail later for the lock.

    Raises
    ------
    StorageError
        The database is unreachable, full, or locked for longer than :data:`BUSY_TIMEOUT_MS`.
    """
    try:
        with engine.execution_options(sqlite_begin="BEGIN IMMEDIATE").begin() as connection:
            yield connection
    except DBAPIError as error:
        raise storage_error(engine.url, error) from error


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """Run a transaction that only reads.

    Raises
    ------
    StorageError
        The database is unreachable.
    """
    try:
        with engine.connect() as connection:
            yield connection
    except DBAPIError as error:
        raise storage_error(engine.url, error) from error


def upsert(
    connection: Connection, table: type[DeclarativeBase], rows: Iterable[Mapping[str, Any]], replace: Iterable[str]
) -> None:
    """Insert rows; if a primary key exists already, replace the columns named in ``replace`` and keep the others."""
    values = [dict(row) for row in rows]
    replaced = list(replace)
    if not values:
        return
    if not replaced:
        connection.execute(_insert_absent(connection, table, list(values[0])), values)
        return
    statement = _insert(connection, table).values(values)
    changes = {column: statement.excluded[column] for column in replaced}
    keys = list(inspect(table).primary_key)
    connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=changes))


def insert_new(connection: Connection, table: type[DeclarativeBase], row: Mapping[str, Any]) -> bool:
    """Insert a row; return False if its primary key exists already. Of two concurrent calls only one inserts."""
    statement = _insert_absent(connection, table, list(row))
    # RETURNING, because drivers count inserted rows differently and a SELECT before the INSERT would be a race.
    return connection.execute(statement.returning(inspect(table).primary_key[0]), dict(row)).first() is not None


def _insert_absent(connection: Connection, table: type[DeclarativeBase], names: Sequence[str]) -> Any:
    """Return a statement that inserts a row, given as parameters, unless its primary key exists."""
    keys = list(inspect(table).primary_key)
    statement = _insert(connection, table)
    if connection.dialect.name == "sqlite":
        # The triggers of append-only tables run before SQLite notices a conflict, and refuse a key that exists. No
        # other process writes in between: a transaction that writes holds the lock from its start.
        columns = table.__table__.columns
        taken = exists().where(*(key == bindparam(key.key, type_=key.type) for key in keys))
        row = select(*(bindparam(name, type_=columns[name].type) for name in names)).where(~taken)
        statement = statement.from_select(list(names), row)
    return statement.on_conflict_do_nothing(index_elements=keys)


def _insert(connection: Connection, table: type[DeclarativeBase]) -> Any:
    insert = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    return insert(table)


def storage_error(url: URL, error: BaseException) -> StorageError:
    """Return an error that names the failed database, without its password."""
    cause = str(error.orig if isinstance(error, DBAPIError) else error).strip().splitlines() or [type(error).__name__]
    where = url.render_as_string(hide_password=True)
    return StorageError(
        f"the operational database {where} failed: {cause[0]}. Check that it is running, has free space and is "
        "writable (PERENNIAL_DATABASE_URL), then run the same command again"
    )


def database_url(address: str) -> URL:
    """Parse the address of an operational database.

    Raises
    ------
    ConfigError
        It is none, of another kind of database, or of one in memory.
    """
    try:
        url = make_url(address)
    except (ArgumentError, ValueError):
        # Without its cause, which quotes the address or a part of it, and with it perhaps a password.
        raise ConfigError(
            "PERENNIAL_DATABASE_URL must be an address such as sqlite:///file or postgresql://user@host/database; "
            "its value cannot be parsed"
        ) from None
    if url.drivername in ("postgresql", "postgres"):
        url = url.set(drivername="postgresql+psycopg")
    if url.get_backend_name() not in ("sqlite", "postgresql"):
        raise ConfigError(
            f"PERENNIAL_DATABASE_URL must name a SQLite or PostgreSQL database, found {url.get_backend_name()!r}"
        )
    if url.get_backend_name() == "sqlite" and url.database in (None, "", ":memory:"):
        raise ConfigError(
            "PERENNIAL_DATABASE_URL must name a file, found an in-memory database; "
            "set it to, for example, sqlite:////absolute/path/perennial.db"
        )
    return url


def sqlite_file(address: str) -> Path | None:
    """Return the file of an operational database; None if it is on a server."""
    url = database_url(address)
    return Path(url.database or "") if url.get_backend_name() == "sqlite" else None


def _engine(url: URL) -> Engine:
    if url.get_backend_name() == "sqlite":
        return _sqlite_engine(url)
    try:
        # Commands are short and open a connection per transaction; a pool would keep connections open after them.
        given = {"connect_timeout": CONNECT_SECONDS} if url.get_driver_name() == "psycopg" else {}
        return create_engine(url, poolclass=NullPool, connect_args=given)
    except (ModuleNotFoundError, NoSuchModuleError) as error:
        raise ConfigError(
            f"the driver of {url.drivername} is not installed ({error}); install 'psycopg[binary]'"
        ) from error


def _sqlite_engine(url: URL) -> Engine:
    path = Path(url.database or "")
    if not path.parent.is_dir():
        make_private_folder(path.parent)
    # It holds hashes of API keys, and predictions with what they were made from.
    create_private_file(path)
    for file in sqlite_files(path):
        keep_from_others(file)
    # A connection never creates the file: it would hide that the database was moved away.
    existing = f"{path.absolute().as_uri()}?mode=rw"
    connect = partial(sqlite3.connect, existing, uri=True, timeout=BUSY_TIMEOUT_MS / 1000, check_same_thread=False)
    engine = create_engine(url, poolclass=NullPool, creator=connect)
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: Any, record: object) -> None:  # noqa: ARG001 - SQLAlchemy's signature
    # The driver sends no BEGIN before DDL, so a killed migration would leave half its tables; we send BEGIN ourselves.
    connection.isolation_level = None
    cursor = connection.cursor()
    # With recursive triggers INSERT OR REPLACE meets the triggers for deletions; revision 0011 is for other writers.
    pragmas = ("journal_mode = WAL", "synchronous = NORMAL", "foreign_keys = ON", "recursive_triggers = ON")
    for pragma in pragmas:
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    connection.exec_driver_sql(connection.get_execution_options().get("sqlite_begin", "BEGIN"))


def _migrate_if_behind(engine: Engine) -> None:
    with engine.connect() as connection:
        if _version(connection) == HEAD:
            return
    with engine.execution_options(sqlite_begin="BEGIN IMMEDIATE").begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _MIGRATION_LOCK})
        if _version(connection) != HEAD and not make_prepared_tables(connection, HEAD):
            run_migrations(connection)


def _version(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    version: str | None = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return version


def run_migrations(connection: Connection) -> None:
    """Bring a database to the newest version by its migrations, in the connection's transaction.

    Raises
    ------
    StorageError
        It was written by a newer release.
    """
    from alembic.command import upgrade
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.attributes["connection"] = connection
    try:
        upgrade(config, HEAD)
    except CommandError as error:
        where = connection.engine.url.render_as_string(hide_password=True)
        raise StorageError(
            f"the operational database {where} was written by a newer release ({error}); upgrade Perennial"
        ) from error
