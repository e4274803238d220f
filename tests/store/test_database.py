from __future__ import annotations

import re
import sqlite3
import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import Engine, inspect, text

from core.errors import ConfigError, StorageError
from store.data import (
    batches,
    owners,
    pushed_trees,
    record_batches,
    record_hashes,
    record_version,
    versions,
)
from store.database import open_database, reading, writing
from store.schema_version import HEAD
from store.tables import Base
from tests.postgres import call_with_driver, postgres_address  # noqa: F401 - a fixture

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
BATCH = {
    "model": "credit",
    "name": "0001-aaaaaaaaaaaa.parquet",
    "fingerprint": "a" * 64,
    "source": "rows.csv",
    "n_rows": 10,
    "size_bytes": 100,
    "n_quarantined": 1,
    "ingested_at": AT,
}
VERSION = {
    "model": "credit",
    "version": "0" * 32 + ".dir",
    "n_rows": 10,
    "n_batches": 1,
    "size_bytes": 100,
    "created_at": AT,
    "git_commit": "c" * 40,
}
TABLES = [
    "alembic_version",
    "alerts",
    "api_keys",
    "batches",
    "built_bundles",
    "champions",
    "data_pushes",
    "data_versions",
    "drift_windows",
    "erasures",
    "events",
    "label_history",
    "prediction_requests",
    "projections",
    "registered_versions",
    "release_looks",
    "release_steps",
    "release_trips",
    "releases",
    "reviews",
    "scored_batches",
    "triggers",
    "verdicts",
]


def address(tmp_path: Path) -> str:
    """Address of a database whose folder is not there yet."""
    return f"sqlite:///{tmp_path / 'var' / 'perennial.db'}"


def use_every_table(engine: Engine) -> None:
    """Write everything twice and read it back."""
    for moment in (AT, AT.replace(year=2027)):
        record_batches(engine, [{**BATCH, "ingested_at": moment}])
        record_version(engine, {**VERSION, "created_at": moment}, ["t" * 36], "/remote", moment)
    record_hashes(engine, "credit", [(str(BATCH["name"]), "f" * 32, "1:2:3")])
    (batch,) = batches(engine, "credit").values()
    assert (batch.ingested_at, batch.md5, batch.file_state) == (AT, "f" * 32, "1:2:3")
    (version,) = versions(engine, "credit")
    assert version.created_at == AT
    assert owners(engine, version.version) == {"credit"}
    assert pushed_trees(engine, "/remote") == {"t" * 36}
    assert pushed_trees(engine, "/elsewhere") == set()


def test_writes_may_be_repeated(tmp_path: Path) -> None:
    """The same record twice is one row, and the first moment stays."""
    use_every_table(open_database(address(tmp_path)))


def test_sqlite_is_safe_for_several_processes(tmp_path: Path) -> None:
    """SQLite runs with a write-ahead log and with foreign keys."""
    with reading(open_database(address(tmp_path))) as connection:
        assert connection.execute(text("PRAGMA journal_mode")).scalar() == "wal"
        assert connection.execute(text("PRAGMA foreign_keys")).scalar() == 1


def test_the_migrations_make_the_tables_of_the_code(tmp_path: Path) -> None:
    """A migrated database is exactly what the models describe, at the version the code expects."""
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    with reading(open_database(address(tmp_path))) as connection:
        context = MigrationContext.configure(connection)
        assert compare_metadata(context, Base.metadata) == []
        assert context.get_current_revision() == HEAD


def test_a_current_database_opens_without_alembic(tmp_path: Path) -> None:
    """The cost of importing Alembic is paid once per database, not per command."""
    open_database(address(tmp_path))
    code = f"import sys; from store.database import open_database; open_database({address(tmp_path)!r}); "
    code += "print('alembic' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


def test_processes_that_migrate_at_once_do_not_collide(tmp_path: Path) -> None:
    """Whoever comes second finds the tables made."""
    code = f"from store.database import open_database; open_database({address(tmp_path)!r})"
    running = [subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE) for _ in range(3)]
    errors = [process.communicate()[1].decode() for process in running]
    assert errors == ["", "", ""]


def test_a_failed_migration_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables are made in one transaction: after a failure the next attempt starts from nothing and succeeds."""
    import alembic.op

    def fail(*_: object, **__: object) -> None:
        raise OSError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr("store.database.make_prepared_tables", lambda *_: False)
        patch.setattr(alembic.op, "create_index", fail)
        with pytest.raises(StorageError, match="disk is full"):
            open_database(address(tmp_path))
    with closing(sqlite3.connect(tmp_path / "var" / "perennial.db")) as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == []
    use_every_table(open_database(address(tmp_path)))


def test_an_older_database_is_brought_up_to_date(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What an earlier release recorded stays, and the tables of this one are there."""
    with monkeypatch.context() as earlier:
        earlier.setattr("store.database.HEAD", "0001")
        record_batches(open_database(address(tmp_path)), [{**BATCH, "ingested_at": AT}])
    engine = open_database(address(tmp_path))
    assert [batch.ingested_at for batch in batches(engine, "credit").values()] == [AT]
    with reading(engine) as connection:
        assert sorted(inspect(connection).get_table_names()) == TABLES


def test_a_newer_database_is_refused(tmp_path: Path) -> None:
    """A database that a newer release has migrated is left alone, with advice."""
    engine = open_database(address(tmp_path))
    with writing(engine) as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(StorageError, match="newer release"):
        open_database(address(tmp_path))


@pytest.mark.parametrize(
    ("wrong", "match"),
    [
        ("not an address", "must be an address such as sqlite"),
        ("sqlite://", "must name a file"),
        ("mysql://root@host/db", "SQLite or PostgreSQL"),
        ("postgresql://ada:secret@host:port/db", "must be an address such as sqlite"),
    ],
)
def test_a_wrong_address_is_the_users_to_correct(wrong: str, match: str) -> None:
    """An address that cannot be used says what is expected."""
    with pytest.raises(ConfigError, match=match) as caught:
        open_database(wrong)
    assert "secret" not in str(caught.value)


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    """The message names the file and what to do, not a stack of SQL."""
    path = tmp_path / "perennial.db"
    path.write_text("not a database, and longer than its header would be" * 10)
    with pytest.raises(StorageError, match=re.escape(str(path))):
        open_database(f"sqlite:///{path}")


def test_no_program_replaces_rows_of_append_only_tables(tmp_path: Path) -> None:
    """A connection without our pragmas adds rows; INSERT OR REPLACE of a key or a rowid that exists is refused."""
    open_database(address(tmp_path))
    with closing(sqlite3.connect(tmp_path / "var" / "perennial.db")) as other:
        triggers = other.execute("SELECT tbl_name FROM sqlite_master WHERE name LIKE '%_refuse_delete'").fetchall()
        assert len(triggers) == 13
        for (table,) in triggers:
            about = other.execute(f"PRAGMA table_info({table})").fetchall()
            key = {name: 1 if "INT" in kind else "a" for _, name, kind, _, _, is_key in about if is_key}
            rest = {name: 1 if "INT" in kind else "x" for _, name, kind, _, _, is_key in about if not is_key}
            changed = dict.fromkeys(rest, 2)
            _put(other, table, key | rest)
            before = _rows(other, table)
            for row in (key | changed, {"rowid": 1} | dict.fromkeys(key, 1) | changed):
                with pytest.raises(sqlite3.IntegrityError, match=f"{table} is append-only"):
                    _put(other, table, row)
            assert _rows(other, table) == before
            _put(other, table, dict.fromkeys(key, 3) | changed)
            assert len(_rows(other, table)) == 2


def _rows(connection: sqlite3.Connection, table: str) -> list[tuple[object, ...]]:
    return connection.execute(f"SELECT * FROM {table}").fetchall()  # noqa: S608 - a name from the schema


def _put(connection: sqlite3.Connection, table: str, row: Mapping[str, object]) -> None:
    marks = ", ".join("?" * len(row))
    names = ", ".join(row)
    connection.execute(f"INSERT OR REPLACE INTO {table} ({names}) VALUES ({marks})", [*row.values()])  # noqa: S608 - names from the schema


def test_naive_moments_are_refused(tmp_path: Path) -> None:
    """A moment without a zone is a bug of ours, found when it is written."""
    from sqlalchemy.exc import StatementError

    with pytest.raises(StatementError, match="time zone"):
        record_batches(open_database(address(tmp_path)), [{**BATCH, "ingested_at": datetime(2026, 1, 1)}])


def test_postgresql_runs_the_same_code(postgres_address: str) -> None:  # noqa: F811 - a fixture
    """Three that migrate at once do not collide on PostgreSQL either, and every table works there."""

    def tables() -> list[str]:
        engine = open_database(postgres_address)
        with reading(engine) as connection:
            return sorted(inspect(connection).get_table_names())

    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(lambda _: call_with_driver(tables), range(3)))
    assert found == [TABLES] * 3
    call_with_driver(lambda: use_every_table(open_database(postgres_address)))


def test_a_lost_postgresql_hides_the_password(tmp_path: Path) -> None:
    """The message says which server did not answer, without the secret in its address."""
    from tests.postgres import DRIVER

    lost = f"postgresql+{DRIVER}://user:secret@/db?host={tmp_path}"
    with pytest.raises(StorageError, match="user") as caught:
        call_with_driver(lambda: open_database(lost))
    assert "secret" not in str(caught.value)
