"""One PostgreSQL database for Perennial (default schema), Prefect and MLflow (a schema each)."""

from __future__ import annotations

import importlib.util

from sqlalchemy import make_url, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError, DBAPIError, ProgrammingError

from core.errors import ConfigError, StorageError
from store.database import open_database, storage_error

PREFECT_SCHEMA = "prefect"
MLFLOW_SCHEMA = "mlflow"

_STATEMENTS = (
    f"CREATE SCHEMA IF NOT EXISTS {PREFECT_SCHEMA}",
    f"CREATE SCHEMA IF NOT EXISTS {MLFLOW_SCHEMA}",
    # Prefect indexes names by trigrams, so the extension must be on its search path.
    f"CREATE EXTENSION IF NOT EXISTS pg_trgm SCHEMA {PREFECT_SCHEMA}",
    # Prefect's migrations look for this table along the search path; without one in its schema they would use ours.
    f"CREATE TABLE IF NOT EXISTS {PREFECT_SCHEMA}.alembic_version (version_num VARCHAR(32) NOT NULL, "
    "CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num))",
)
_TRIGRAMS = (
    "SELECT nspname FROM pg_extension JOIN pg_namespace ON pg_namespace.oid = extnamespace WHERE extname = 'pg_trgm'"
)


def is_postgres(address: str) -> bool:
    """Return whether an address names a PostgreSQL database."""
    return address.startswith(("postgresql:", "postgresql+", "postgres:"))


def postgres_url(address: str) -> URL:
    """Parse the address of a PostgreSQL database.

    Raises
    ------
    ConfigError
        The address is not that of a PostgreSQL database, or the driver is not installed.
    """
    if importlib.util.find_spec("psycopg") is None:
        raise ConfigError("the PostgreSQL driver is not installed; run: pip install 'perennial[postgres]'")
    try:
        url = make_url(address)
    except (ArgumentError, ValueError):
        # Without its cause, which quotes the address and could show a password.
        raise ConfigError(
            "expected a database address such as postgresql://user@host/database; the address given cannot be parsed"
        ) from None
    if not is_postgres(address):
        raise ConfigError(f"expected the address of a PostgreSQL database, found {url.get_backend_name()!r}")
    return url


def prefect_database(address: str) -> str:
    """Return the address in the form of Prefect's server, whose driver has ``ssl`` in place of ``sslmode``.

    >>> prefect_database("postgresql://ada:pw@db/perennial?sslmode=require")
    'postgresql+asyncpg://ada:pw@db/perennial?ssl=require'
    """
    url = postgres_url(address)
    query = {("ssl" if name == "sslmode" else name): value for name, value in url.query.items()}
    return url.set(drivername="postgresql+asyncpg", query=query).render_as_string(hide_password=False)


def mlflow_database(address: str) -> str:
    """Return the address in the form of MLflow, with its schema as search path.

    >>> mlflow_database("postgresql://ada:pw@db/perennial")
    'postgresql+psycopg://ada:pw@db/perennial?options=-csearch_path%3Dmlflow'
    """
    url = postgres_url(address).set(drivername="postgresql+psycopg")
    given = url.query.get("options")
    options = " ".join([*([given] if isinstance(given, str) else []), f"-csearch_path={MLFLOW_SCHEMA}"])
    return url.update_query_dict({"options": options}).render_as_string(hide_password=False)


def prepare_postgres(address: str) -> str:
    """Migrate our tables and create the schemas of Prefect and MLflow; a repeat changes nothing.

    Returns
    -------
    str
        Search path for Prefect: its schema, and the schema of the trigram extension if that is another one.

    Raises
    ------
    ConfigError
        The address is not that of a PostgreSQL database, or the driver is not installed.
    StorageError
        The database cannot be reached, or the role lacks privileges.
    """
    url = postgres_url(address)
    engine = open_database(url.render_as_string(hide_password=False))
    try:
        with engine.begin() as connection:
            for statement in _STATEMENTS:
                connection.execute(text(statement))
            trigrams = connection.execute(text(_TRIGRAMS)).scalar_one()
    except ProgrammingError as error:
        if getattr(error.orig, "sqlstate", "") != "42501":
            raise storage_error(url, error) from error
        raise StorageError(
            f"the role {url.username!r} may not create the schemas of Prefect and MLflow in {engine.url.database!r}. "
            f"As an owner of the database, run once: {'; '.join(_STATEMENTS[:3])}; "
            f"GRANT ALL ON SCHEMA {PREFECT_SCHEMA}, {MLFLOW_SCHEMA} TO {url.username}"
        ) from error
    except DBAPIError as error:
        raise storage_error(url, error) from error
    return PREFECT_SCHEMA if trigrams == PREFECT_SCHEMA else f"{PREFECT_SCHEMA}, {trigrams}"
