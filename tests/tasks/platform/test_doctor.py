"""Every kind of trouble made for real, and found."""

import json
import os
import socket
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import tasks.platform.doctor_machine
import tasks.platform.doctor_services
from cli.lines.findings import finding_lines
from cli.main import main
from config.platform import PlatformState, write_platform
from config.settings import PlatformSettings, ServingSettings, Settings, load_settings
from core.operate.findings import Finding
from core.operate.trigger import Trigger
from store.database import HEAD, open_database
from store.triggers import receive
from tasks.platform.doctor import examine, run_checks
from tasks.platform.doctor_machine import check_clock, check_folder, check_libraries, check_models, check_ports
from tasks.platform.doctor_services import check_database, check_mlflow, check_prefect, check_relay, check_remote
from tasks.platform.ports import free_port
from tasks.runs.heartbeat import beat_path
from tests.factories import add_credit_model

OPTIONS = PlatformSettings(prefect_port=0, mlflow_port=0)
SERVING = ServingSettings(port=0)


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait a moment where a person would wait seconds."""
    for module in (tasks.platform.doctor_machine, tasks.platform.doctor_services):
        monkeypatch.setattr(module, "SECONDS", 0.5)
    for name in ("PREFECT_API_URL", "PERENNIAL_DATABASE_URL"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def settings(project: Settings) -> Settings:
    """Return a project with a model and a database."""
    add_credit_model(project)
    open_database(project.database_url)
    return load_settings()


def _only(findings: list[Finding]) -> Finding:
    assert len(findings) == 1, findings
    return findings[0]


def _changed(settings: Settings, **changes: object) -> Settings:
    return settings.model_copy(update=changes)


def test_a_healthy_project_has_no_problem(settings: Settings) -> None:
    """Everything is looked at, nothing is wrong, and nothing is left behind."""
    before = set(settings.root.rglob("*"))
    findings = examine(settings, OPTIONS, SERVING)
    assert [finding for finding in findings if finding.level == "problem"] == []
    assert {finding.check for finding in findings} >= {"python", "libraries", "disk", "clock", "database", "prefect"}
    assert {
        path for path in set(settings.root.rglob("*")) - before if not path.name.startswith("perennial.db-")
    } == set()


def test_a_database_that_somebody_holds_is_locked(settings: Settings) -> None:
    """The check waits for a moment, not for the half minute that a run waits."""
    with closing(sqlite3.connect(settings.var / "perennial.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        finding = _only(run_checks({"database": lambda: check_database(settings)}))
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
    changed = _changed(settings, database_url=f"sqlite:///{path}")
    assert words in _only(run_checks({"database": lambda: check_database(changed)})).says


def test_a_database_of_a_newer_release_is_told(settings: Settings) -> None:
    """An older release must not write into it."""
    with closing(sqlite3.connect(settings.var / "perennial.db")) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    finding = _only(check_database(settings))
    assert finding.level == "problem"
    assert HEAD in finding.says
    assert "upgrade" in finding.advice


def test_a_database_server_that_is_away_is_told_without_its_password(settings: Settings) -> None:
    """Nobody listens at the address."""
    pytest.importorskip("psycopg", reason="the driver of PostgreSQL is not installed")
    url = f"postgresql://ada:s3cret@127.0.0.1:{free_port()}/perennial"
    finding = _only(run_checks({"database": lambda: check_database(_changed(settings, database_url=url))}))
    assert finding.level == "problem"
    assert "refused" in finding.says
    assert "s3cret" not in finding.says


def test_a_port_that_is_held_is_told_with_its_holder(settings: Settings) -> None:
    """The advice is the option that chooses another one."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen()
        options = PlatformSettings(prefect_port=0, mlflow_port=held.getsockname()[1])
        finding = _only(check_ports(settings, options, SERVING))
    assert finding.level == "warning"
    assert "MLflow" in finding.says
    assert str(os.getpid()) in finding.says
    assert "--mlflow-port" in finding.advice


def test_a_remote_that_is_gone_is_told(settings: Settings, tmp_path: Path) -> None:
    """A disk that is not mounted takes the folder's parent with it."""
    assert _only(check_remote(settings)).level == "ok"
    gone = _changed(settings, data_remote=str(tmp_path / "unmounted" / "remote"))
    finding = _only(check_remote(gone))
    assert finding.level == "problem"
    assert "no folder" in finding.says


def test_a_broken_model_file_is_told(settings: Settings) -> None:
    """With what is wrong in it."""
    path = settings.root / "config" / "models" / "credit.yaml"
    path.write_text(path.read_text().replace('"target"', '"targets"'))
    finding = _only(check_models(settings))
    assert finding.level == "problem"
    assert "target" in finding.says
    assert "credit.yaml" in finding.advice


def test_a_suite_that_is_gone_is_told(settings: Settings) -> None:
    """A model file alone does not make a run."""
    (settings.root / "config" / "expectations" / "credit.json").unlink()
    assert _only(check_models(settings)).level == "problem"


def test_another_version_than_the_locked_one_is_told(settings: Settings) -> None:
    """The project's own lock file is what counts."""
    (settings.root / "requirements.lock").write_text("click==0.0.1 \\\n    --hash=sha256:00\n")
    finding = _only(check_libraries(settings))
    assert finding.level == "warning"
    assert "instead of 0.0.1" in finding.says


def test_a_version_that_breaks_something_is_a_problem(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the lock file says."""
    monkeypatch.setattr(tasks.platform.doctor_machine, "broken_bounds", lambda _found: ["sqlalchemy 2.1.0 (no runs)"])
    assert _only(check_libraries(settings)).level == "problem"


def test_a_folder_that_cannot_be_written_is_told(settings: Settings) -> None:
    """A file stands in its place."""
    (settings.root / "file").write_text("")
    assert _only(check_folder(_changed(settings, var=settings.root / "file"))).level == "problem"


@pytest.mark.parametrize("kind", ["nobody listens", "nobody answers"])
def test_servers_that_are_away_hang_nothing(settings: Settings, kind: str) -> None:
    """A refused connection and a silent one are both told; a question without a bound would never come back."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        if kind == "nobody answers":
            silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        away = _changed(settings, prefect_api_url=f"{url}/api", mlflow_uri=url)
        findings = run_checks({"prefect": lambda: check_prefect(away), "mlflow": lambda: check_mlflow(away)})
    assert [finding.level for finding in findings] == ["problem", "problem"]
    assert all("does not answer" in finding.says for finding in findings)


@contextmanager
def _answering(date: datetime) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response_only(200)
            self.send_header("Date", format_datetime(date, usegmt=True))
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Keep quiet."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize(("minutes", "level"), [(0, "ok"), (-60, "problem")])
def test_a_clock_that_is_wrong_is_told(settings: Settings, minutes: int, level: str) -> None:
    """It is compared with the Date header of an address that is named."""
    with _answering(datetime.now(UTC) + timedelta(minutes=minutes)) as url:
        assert _only(check_clock(settings, PlatformSettings(clock_url=url))).level == level


def test_the_relay_is_missed_where_something_waits_for_it(settings: Settings) -> None:
    """A sign of life that is young is enough; none is needed while nothing waits."""
    assert _only(check_relay(settings)).level == "ok"
    now = datetime.now(UTC)
    receive(open_database(settings.database_url), Trigger("credit", "webhook:a:1", "webhook", "a", "{}", now))
    finding = _only(check_relay(settings))
    assert finding.level == "problem"
    assert "1 trigger" in finding.says
    beat_path(settings).parent.mkdir(parents=True)
    beat_path(settings).touch()
    assert _only(check_relay(settings)).level == "ok"


def test_remains_of_a_platform_that_was_killed_are_told(settings: Settings) -> None:
    """They may hold ports and the database."""
    given = {"id": "a", "pid": 2**22 + 1, "socket": "s", "pool": "p", "runs_at_once": 1, "serving_port": 1}
    given |= {"prefect_api_url": "http://127.0.0.1:1/api", "mlflow_uri": "m", "mlflow_store": "m"}
    write_platform(settings.var, PlatformState.model_validate({**given, "database_url": settings.database_url}))
    finding = _only(check_prefect(settings))
    assert finding.level == "problem"
    assert "perennial down" in finding.advice


@pytest.mark.e2e
def test_a_server_without_our_pool_is_told(settings: Settings, prefect_api: str) -> None:
    """It is ready and of our version, and nothing was deployed to it."""
    named = _changed(settings, prefect_api_url=prefect_api, work_pool="nobody-made-it")
    ready, pool = check_prefect(named)
    assert (ready.check, ready.level) == ("prefect", "ok")
    assert pool.level == "problem"
    assert "perennial deploy" in pool.advice


def test_no_secret_is_printed(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither keys of webhooks nor addresses of alerts nor passwords in addresses."""
    marker = "bWFya2VyLW1hcmtlci1tYXJrZXItbWFya2Vy"
    monkeypatch.setenv("PERENNIAL_HOOKS_STANDARD", f"shop=whsec_{marker}")
    monkeypatch.setenv("PERENNIAL_ALERTS_URLS", f"json://ada:{marker}@127.0.0.1/")
    away = f"http://ada:{marker}@127.0.0.1:{free_port()}"
    named = _changed(settings, prefect_api_url=f"{away}/api", mlflow_uri=away)
    text = "\n".join(finding_lines(examine(named, OPTIONS, SERVING)))
    assert marker not in text
    assert "shop (standard)" in text
    assert "1 destination" in text


def test_checks_that_hang_or_fail_are_findings() -> None:
    """A dead disk hangs in the kernel; a mistake of ours is told without a trace. The others are told all the same."""
    never = threading.Event()

    def hangs() -> list[Finding]:
        never.wait(30)
        return []

    def fails() -> list[Finding]:
        raise KeyError("no such thing")

    found = run_checks({"hangs": hangs, "fails": fails, "works": lambda: [Finding("works", "ok", "it does")]}, 0.5)
    never.set()
    assert [finding.level for finding in found] == ["problem", "problem", "ok"]
    assert "did not end" in found[0].says
    assert "KeyError" in found[1].says


def test_the_command_says_no_by_its_exit_code(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Problems are a no, which is 3, for people and for machines."""
    for name in ("PREFECT", "MLFLOW", "SERVE"):
        monkeypatch.setenv(f"PERENNIAL_{name}_PORT", "0")
    assert CliRunner().invoke(main, ["doctor"]).exit_code == 0
    (settings.root / "config" / "models" / "credit.yaml").write_text("model: [")
    result = CliRunner().invoke(main, ["doctor", "--json"])
    assert result.exit_code == 3
    assert [found["check"] for found in json.loads(result.stdout) if found["level"] == "problem"] == ["models"]


def test_lines_are_aligned_and_say_what_to_do() -> None:
    """Advice stands below what it is about, under the same column."""
    findings = [Finding("disk", "ok", "much is free", "nothing"), Finding("data remote", "problem", "gone", "mount it")]
    lines = [click.unstyle(line) for line in finding_lines(findings)]
    assert lines[:3] == ["ok       disk         much is free", "problem  data remote  gone", " " * 22 + "→ mount it"]
    assert lines[-1] == "1 problem"
