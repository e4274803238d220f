"""What the doctor says of databases, servers and remotes."""

from __future__ import annotations

import socket
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from config.settings import Settings
from core.operate.trigger import Trigger
from store.database import open_database
from store.schema_version import HEAD
from store.triggers import receive
from tasks.platform.doctor import run_checks
from tasks.platform.doctor_services import check_database, check_mlflow, check_prefect, check_relay, check_remote
from tasks.platform.ports import free_port
from tasks.runs.heartbeat import beat_path
from tests.tasks.platform.examined import changed, only


def test_a_database_that_somebody_holds_is_locked(settings: Settings) -> None:
    """The check waits for a moment, not for the half minute that a run waits."""
    with closing(sqlite3.connect(settings.var / "perennial.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        finding = only(run_checks({"database": lambda: check_database(settings)}))
    assert finding.level == "problem"
    assert "locked" in finding.says


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"no database at all" * 100, "not a database"), (b"", "no tables yet")],
    ids=["garbage", "empty"],
)
def test_a_file_that_is_no_database_is_told(settings: Settings, content: bytes, words: str) -> None:
    """An empty one will be made into one; any other will not."""
    path = settings.var / "other.db"
    path.write_bytes(content)
    other = changed(settings, database_url=f"sqlite:///{path}")
    assert words in only(run_checks({"database": lambda: check_database(other)})).says


def test_a_database_of_another_kind_is_no_new_one(settings: Settings) -> None:
    """Its address is the user's to correct, before the first command fails."""
    other = changed(settings, database_url="mysql://ada@host/db")
    finding = only(run_checks({"database": lambda: check_database(other)}))
    assert (finding.level, "SQLite or PostgreSQL" in finding.says) == ("problem", True)


def test_a_database_of_a_newer_release_is_told(settings: Settings) -> None:
    """An older release must not write into it."""
    with closing(sqlite3.connect(settings.var / "perennial.db")) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    finding = only(check_database(settings))
    assert finding.level == "problem"
    assert HEAD in finding.says
    assert "upgrade" in finding.advice


def test_a_database_server_that_is_away_is_told_without_its_password(settings: Settings) -> None:
    """There is no server at the address."""
    pytest.importorskip("psycopg", reason="the driver of PostgreSQL is not installed")
    url = f"postgresql://ada:s3cret@127.0.0.1:{free_port()}/perennial"
    finding = only(run_checks({"database": lambda: check_database(changed(settings, database_url=url))}))
    assert finding.level == "problem"
    assert "refused" in finding.says
    assert "s3cret" not in finding.says


def test_a_remote_that_is_gone_is_told(settings: Settings, tmp_path: Path) -> None:
    """A disk that is not mounted takes the folder's parent with it."""
    assert only(check_remote(settings)).level == "ok"
    gone = changed(settings, data_remote=str(tmp_path / "unmounted" / "remote"))
    finding = only(check_remote(gone))
    assert finding.level == "problem"
    assert "no folder" in finding.says


@pytest.mark.parametrize("kind", ["no server", "no answer"])
def test_servers_that_are_away_hang_nothing(settings: Settings, kind: str) -> None:
    """A refused connection and a silent one are both told; a question without a bound would never come back."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        if kind == "no answer":
            silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        away = changed(settings, prefect_api_url=f"{url}/api", mlflow_uri=url)
        findings = run_checks({"prefect": lambda: check_prefect(away), "mlflow": lambda: check_mlflow(away)})
    assert [finding.level for finding in findings] == ["problem", "problem"]
    assert all("does not answer" in finding.says for finding in findings)


def test_the_relay_is_missed_where_something_waits_for_it(settings: Settings) -> None:
    """A sign of life that is young is enough; none is needed while nothing waits."""
    assert only(check_relay(settings)).level == "ok"
    now = datetime.now(UTC)
    receive(open_database(settings.database_url), Trigger("credit", "webhook:a:1", "webhook", "a", "{}", now))
    finding = only(check_relay(settings))
    assert finding.level == "problem"
    assert "1 trigger" in finding.says
    beat_path(settings).parent.mkdir(parents=True)
    beat_path(settings).touch()
    assert only(check_relay(settings)).level == "ok"


@pytest.mark.e2e
def test_a_server_without_our_pool_is_told(settings: Settings, prefect_api: str) -> None:
    """It is ready and of our version, and nothing was deployed to it."""
    named = changed(settings, prefect_api_url=prefect_api, work_pool="nobody-made-it")
    ready, pool = check_prefect(named)
    assert (ready.check, ready.level) == ("prefect", "ok")
    assert pool.level == "problem"
    assert "perennial deploy" in pool.advice
