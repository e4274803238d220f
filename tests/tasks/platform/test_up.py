"""The whole platform: up from nothing, looked after, and gone without a trace."""

import json
import os
import signal
import socket
import stat
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

from config.platform import last_platform, platform_file, write_platform
from config.settings import PlatformSettings, Settings
from core.errors import ConfigError
from tasks.platform.ports import free_port, holder, is_free
from tasks.platform.up import HEALTHY_SECONDS, MAX_HEALTHY_SECONDS, StartLimit, bring_up
from tests.factories import add_credit_model, make_project
from tests.platform_states import platform_state
from tests.postgres import postgres_server
from tests.tasks.platform.platforms import (
    COMMAND,
    await_true,
    cleared,
    environment,
    family,
    marked,
    perennial,
    shown_platform,
)

NAMES = ["prefect", "mlflow", "serve", "relay", "worker"]


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """Return a project with a model; its databases are made by the first test that needs them."""
    settings = make_project(tmp_path_factory.mktemp("platform"))
    add_credit_model(settings)
    with cleared(settings):
        yield settings


def _document(url: str, body: dict[str, Any] | None = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"content-type": "application/json"})  # noqa: S310 - our own server
    with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 - our own loopback address
        return json.loads(answer.read())


@pytest.mark.e2e
@pytest.mark.timeout(1800)
def test_up_from_nothing_and_down_to_nothing(settings: Settings) -> None:
    """All is healthy, what is killed or stopped comes back, other terminals find the servers, and down leaves nothing.

    It takes the time that processes need to start twice, and 15 s until those that hang are restarted.
    """
    raised = perennial(settings, "up", "--detach", "--json", PERENNIAL_HANG_SECONDS="15")
    assert raised.returncode == 0, raised.stderr
    document = json.loads(raised.stdout)
    assert {process["name"]: process["state"] for process in document["processes"]} == dict.fromkeys(NAMES, "healthy")
    assert _document(f"{document['serving_url']}/health/live")
    deployed = _document(f"{document['prefect_api_url']}/deployments/filter", {})
    assert {deployment["name"] for deployment in deployed} == {"credit", "perennial"}
    everything = family(settings)
    listening = {c.laddr.ip for process in everything for c in _sockets(process) if c.status == psutil.CONN_LISTEN}
    assert listening == {"127.0.0.1"}

    again = perennial(settings, "up")
    assert again.returncode == 0
    assert "already up" in again.stderr
    assert document["mlflow_uri"] in again.stdout
    served = perennial(settings, "doctor", "--json")
    levels = {finding["check"]: finding["level"] for finding in json.loads(served.stdout)}
    assert {levels[check] for check in ("prefect", "work pool", "worker", "deployments", "mlflow", "relay")} == {"ok"}
    assert "credit" in perennial(settings, "models").stdout

    os.kill(_pid(document, "mlflow"), signal.SIGKILL)
    for name in ("prefect", "serve", "relay", "worker"):
        os.kill(_pid(document, name), signal.SIGSTOP)
    await_true(lambda: _all_are_new_and_healthy(settings, document), 150)
    everything += family(settings)

    assert perennial(settings, "down").returncode == 0
    psutil.wait_procs(everything, timeout=120)
    assert [process for process in everything if process.is_running()] == []
    assert all(is_free(int(url.rpartition(":")[2])) for url in (document["serving_url"], document["mlflow_uri"]))
    assert not platform_file(settings.var).exists()
    assert perennial(settings, "down").stdout == "not running\n"


@pytest.mark.e2e
@pytest.mark.timeout(2100)
@pytest.mark.parametrize("end", ["SIGTERM", "killed manager", "down"])
def test_the_command_in_the_foreground_takes_everything_with_it(settings: Settings, end: str) -> None:
    """SIGTERM or ``down`` ends all in order, with exit code 0; after a killed process manager the command clears up."""
    said = settings.var / "up.out"
    said.parent.mkdir(parents=True, exist_ok=True)
    with said.open("wb") as output:
        process = subprocess.Popen([COMMAND, "up"], env=environment(settings), stdout=output, stderr=output)
    await_true(lambda: "Ctrl-C" in said.read_text() or process.poll() is not None, 400)
    state = last_platform(settings.var)
    assert state is not None, said.read_text()
    everything = family(settings)
    if end == "SIGTERM":
        process.terminate()
    elif end == "down":
        assert perennial(settings, "down").stdout == "stopped\n"
    else:
        os.kill(state.pid, signal.SIGKILL)
    code = process.wait(200)
    assert code == (2 if end == "killed manager" else 0), said.read_text()
    psutil.wait_procs(everything, timeout=120)
    assert [process for process in everything if process.is_running()] == []
    assert marked(state.id) == []
    assert ("the process manager was killed" in said.read_text()) == (end == "killed manager")
    assert "error" not in said.read_text() or end == "killed manager"


@pytest.mark.e2e
def test_one_postgres_database_serves_all_three(tmp_path: Path) -> None:
    """Schemas are made and migrated, and the password is in no log, no list of processes and no open file."""
    settings = make_project(tmp_path)
    with postgres_server() as server, cleared(settings):
        server_address = server.address.replace("postgresql+psycopg", "postgresql")
        secret = "s3cret-of-the-database"  # noqa: S105 - of this test's own server
        address = server_address.replace("perennial@", f"perennial:{secret}@")
        refused = perennial(settings, "up", "--detach", "--postgres", address)
        assert refused.returncode == 2
        assert "PERENNIAL_DATABASE_URL" in refused.stderr
        assert secret not in refused.stdout + refused.stderr
        raised = perennial(settings, "up", "--detach", PERENNIAL_DATABASE_URL=address)
        assert raised.returncode == 0, raised.stderr
        tables = _tables(server.address)
        assert {("public", "champions"), ("prefect", "flow_run"), ("mlflow", "experiments")} <= tables
        assert not (settings.var / "mlflow.db").exists()
        assert list((settings.var / "prefect").glob("prefect.db")) == []
        assert all(secret not in " ".join(process.cmdline()) for process in family(settings))
        found = [path for path in settings.var.rglob("*") if path.is_file() and secret.encode() in path.read_bytes()]
        assert {stat.S_IMODE(path.stat().st_mode) for path in found} == {0o600}
        assert found == [platform_file(settings.var)]
        assert secret not in raised.stdout + raised.stderr
        assert '"level": "problem"' not in perennial(settings, "doctor", "--json").stdout
        assert perennial(settings, "down").returncode == 0


def test_a_port_that_is_held_is_told_with_its_holder(tmp_path: Path) -> None:
    """The message names the process, and a port that is free."""
    settings = make_project(tmp_path)
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen()
        port = held.getsockname()[1]
        assert not is_free(port)
        assert str(os.getpid()) in str(holder(port))
        options = PlatformSettings(prefect_port=port, mlflow_port=0)
        with pytest.raises(
            ConfigError, match=rf"port {port}, for the Prefect server, is in use by process {os.getpid()}"
        ):
            bring_up(settings, options, 0)
    assert not platform_file(settings.var).exists()
    assert is_free(free_port())


def test_the_state_file_is_for_its_owner(tmp_path: Path) -> None:
    """It may hold the password of the database."""
    write_platform(tmp_path, platform_state())
    assert stat.S_IMODE(platform_file(tmp_path).stat().st_mode) == 0o600
    assert last_platform(tmp_path) == platform_state()


def test_a_slow_start_is_waited_for_while_it_computes() -> None:
    """On a busy host the imports take minutes; a start that stands still fails, and one without end too."""
    limit, began = StartLimit(), time.monotonic()
    for second in range(0, int(MAX_HEALTHY_SECONDS), 30):
        assert not limit.is_over(began + second, computed=second / 10)
    assert limit.is_over(began + MAX_HEALTHY_SECONDS + 60, computed=1e6)
    still = StartLimit()
    assert not still.is_over(time.monotonic() + HEALTHY_SECONDS - 1, computed=0.5)
    assert still.is_over(time.monotonic() + HEALTHY_SECONDS + 1, computed=0.5)


def _pid(document: dict[str, Any], name: str) -> int:
    return int(next(process["pid"] for process in document["processes"] if process["name"] == name))


def _all_are_new_and_healthy(settings: Settings, before: dict[str, Any]) -> bool:
    found = shown_platform(settings)["processes"]
    is_new = {one["name"]: one["pid"] != _pid(before, one["name"]) for one in found}
    return all(is_new.values()) and all(one["state"] == "healthy" for one in found)


def _sockets(process: psutil.Process) -> list[Any]:
    try:
        return list(process.net_connections(kind="inet"))
    except psutil.Error:
        return []


def _tables(address: str) -> set[tuple[str, str]]:
    with create_engine(address, poolclass=NullPool).connect() as connection:
        rows = connection.execute(text("SELECT table_schema, table_name FROM information_schema.tables"))
        return {(row[0], row[1]) for row in rows}
