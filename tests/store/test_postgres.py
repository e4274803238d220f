"""One PostgreSQL database for Prefect, MLflow and us."""

import importlib.util

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

from core.errors import ConfigError, StorageError
from store.postgres import is_postgres, mlflow_database, postgres_url, prefect_database, prepare_postgres


def test_each_server_gets_the_address_in_its_own_form() -> None:
    """The drivers differ, and so do the names of their options."""
    given = "postgresql://ada:p%40ss@db:5433/perennial?sslmode=require"
    assert prefect_database(given) == "postgresql+asyncpg://ada:p%40ss@db:5433/perennial?ssl=require"
    made = mlflow_database(given)
    assert made.startswith("postgresql+psycopg://ada:p%40ss@db:5433/perennial?")
    assert "options=-csearch_path%3Dmlflow" in made
    assert "sslmode=require" in made
    assert "-c+jit%3Doff+-csearch_path%3Dmlflow" in mlflow_database("postgresql://db/x?options=-c%20jit%3Doff")


def test_other_databases_are_told_apart() -> None:
    """Only PostgreSQL's addresses are; what is none does not come back in a message."""
    assert not is_postgres("sqlite:////x.db")
    with pytest.raises(ConfigError, match="found 'sqlite'"):
        postgres_url("sqlite:////x.db")
    with pytest.raises(ConfigError, match="such as postgresql") as caught:
        postgres_url("postgresql://ada:secret@db:port/x")
    assert "secret" not in str(caught.value)


def test_a_missing_driver_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message is what to type."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(ConfigError, match=r"pip install 'perennial\[postgres\]'"):
        postgres_url("postgresql://db/x")


def test_the_schemas_are_made_once(postgres_address: str) -> None:
    """A repeat changes nothing."""
    assert {prepare_postgres(postgres_address) for _ in range(2)} == {"prefect"}
    with create_engine(postgres_address, poolclass=NullPool).connect() as connection:
        found = set(connection.execute(text("SELECT schema_name FROM information_schema.schemata")).scalars())
        extensions = set(connection.execute(text("SELECT extname FROM pg_extension")).scalars())
    assert {"prefect", "mlflow"} <= found
    assert "pg_trgm" in extensions


def test_a_role_that_may_not_is_told_what_an_owner_has_to_run(postgres_address: str) -> None:
    """The message is the SQL."""
    engine = create_engine(postgres_address, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for statement in ("CREATE DATABASE narrow", "CREATE ROLE guest LOGIN"):
            connection.execute(text(statement))
    inside = postgres_address.replace("/postgres?", "/narrow?")
    with create_engine(inside, poolclass=NullPool).begin() as connection:
        connection.execute(text("GRANT CREATE ON SCHEMA public TO guest"))
    address = inside.replace("perennial@", "guest@")
    with pytest.raises(StorageError, match=r"CREATE SCHEMA IF NOT EXISTS prefect.*GRANT ALL ON SCHEMA prefect"):
        prepare_postgres(address)


def test_an_extension_that_is_there_already_stays_where_it_is(postgres_address: str) -> None:
    """Prefect is told where to find it, and finds no table of ours in place of its own."""
    engine = create_engine(postgres_address, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text("CREATE DATABASE trigrams"))
    inside = postgres_address.replace("/postgres?", "/trigrams?")
    with create_engine(inside, poolclass=NullPool).begin() as connection:
        connection.execute(text("CREATE EXTENSION pg_trgm SCHEMA public"))
    assert prepare_postgres(inside) == "prefect, public"
    with create_engine(inside, poolclass=NullPool).begin() as connection:
        connection.execute(text("SET search_path = prefect, public"))
        assert connection.execute(text("SELECT count(*) FROM alembic_version")).scalar() == 0
