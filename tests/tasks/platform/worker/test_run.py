"""Flow runs of the worker in forks: logs, cancellation and crashes are those of runs in processes of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from config.settings import Settings
from tasks.platform.stopped_runs import RUN_VARIABLE
from tasks.platform.worker.run import SERVER, SUPERVISOR, place
from tests.factories import add_credit_model, credit_rows, make_project
from tests.tasks.platform.platforms import await_true, cleared, perennial

ROOT = Path(__file__).resolve().parents[4]
ENDED = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")


def test_runs_of_one_environment_share_a_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run, its folder and Prefect's settings may differ, for a fork reads them; nothing else may."""
    given = {"XDG_RUNTIME_DIR": "/tmp", "HOME": str(tmp_path), "PREFECT__FLOW_RUN_ID": "1"}  # noqa: S108 - short
    first = place(given)
    monkeypatch.chdir(tmp_path)
    assert place(given | {"PREFECT__FLOW_RUN_ID": "2", "PREFECT_FLOWS_DEFAULT_RETRIES": "1"}) == first is not None
    assert place(given | {"OMP_NUM_THREADS": "7"}) != first


def test_without_a_warm_process_a_run_becomes_that_of_prefect(tmp_path: Path) -> None:
    """Prefect's own process of a run reads the file and reports what is wrong with it."""
    command = [sys.executable, "-m", "tasks.platform.worker.run", "prefect.engine", str(tmp_path / "none.json")]
    told = {**os.environ, "PYTHONPATH": str(ROOT), "PERENNIAL_WARM": "0"}
    done = subprocess.run(command, env=told, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert SUPERVISOR.rpartition(".")[2] in done.stderr
    assert "FileNotFoundError" in done.stderr


class Platform:
    """A platform with a model.

    Parameters
    ----------
    address
        Of Prefect's API.
    """

    def __init__(self, address: str) -> None:
        self._address = address
        self._deployments = {one["entrypoint"].partition(":")[2]: one["id"] for one in self.ask("deployments/filter")}

    def ask(self, path: str, body: dict[str, Any] | None = None, *, get: bool = False) -> Any:
        """Ask Prefect's API."""
        data = None if get else json.dumps(body or {}).encode()
        request = urllib.request.Request(f"{self._address}/{path}", data, {"content-type": "application/json"})  # noqa: S310 - our own server
        with urllib.request.urlopen(request, timeout=120) as answer:  # noqa: S310 - our own loopback address
            return json.loads(answer.read())

    def start(self, flow: str) -> str:
        """Request a run; return its id."""
        body = {"state": {"type": "SCHEDULED"}}
        return str(self.ask(f"deployments/{self._deployments[flow]}/create_flow_run", body)["id"])

    def state(self, run: str) -> str:
        """Return the type of the state of a run."""
        return str(self.ask(f"flow_runs/{run}", get=True)["state_type"])

    def end(self, run: str) -> str:
        """Wait for the end of a run."""
        await_true(lambda: self.state(run) in ENDED, 200)
        return self.state(run)

    def stopped(self, how: Callable[[str], object]) -> str:
        """Stop a training while it works; return its last state, once no process of it is left."""
        run = self.start("train")
        await_true(lambda: self.state(run) == "RUNNING" and _forks() != [], 100)
        forks = _forks()
        how(run)
        found = self.end(run)
        psutil.wait_procs([*forks, *_processes(run)], timeout=60)
        assert [one for one in (*forks, *_processes(run)) if one.is_running()] == []
        return found


def _servers() -> list[psutil.Process]:
    found = psutil.process_iter(["cmdline"])
    return [one for one in found if SERVER in (one.info["cmdline"] or [])]


def _forks() -> list[psutil.Process]:
    servers = _servers()
    return [one for one in servers if one.ppid() in {other.pid for other in servers}]


def _kill(processes: Iterable[psutil.Process]) -> None:
    for process in processes:
        process.kill()


def _processes(run: str) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(RUN_VARIABLE) == run:
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[Settings]:
    """Return a project with a model; no platform is left."""
    settings = make_project(tmp_path)
    add_credit_model(settings, credit_rows(400))
    with cleared(settings):
        yield settings


@pytest.mark.e2e
@pytest.mark.timeout(2700)
def test_runs_in_forks_are_runs(settings: Settings, short_path: Path) -> None:
    """The second run is a fork, with the log of the first; one that is cancelled or killed ends as Prefect says.

    It starts the platform, imports all libraries and begins three trainings.
    """
    raised = perennial(settings, "up", "--detach", "--json", XDG_RUNTIME_DIR=str(short_path))
    assert raised.returncode == 0, raised.stderr
    platform = Platform(json.loads(raised.stdout)["prefect_api_url"])
    first = platform.start("ingest")
    assert platform.end(first) == "COMPLETED"
    await_true(lambda: list(short_path.glob("*/run-*.sock")) != [], 200)
    [server] = _servers()
    before = server.cpu_times().children_user
    second = platform.start("ingest")
    assert platform.end(second) == "COMPLETED"
    await_true(lambda: server.cpu_times().children_user > before)
    await_true(lambda: _steps(platform, first) >= {"stage", "version"})
    await_true(lambda: _steps(platform, second) >= {"stage"})
    cancelling = {"state": {"type": "CANCELLING", "name": "Cancelling"}}
    assert platform.stopped(lambda run: platform.ask(f"flow_runs/{run}/set_state", cancelling)) == "CANCELLED"
    assert platform.stopped(lambda run: _kill(_processes(run))) == "CRASHED"
    assert platform.stopped(lambda _: _kill(_forks())) == "CRASHED"
    assert perennial(settings, "down").returncode == 0
    psutil.wait_procs(_servers(), timeout=120)
    assert _servers() == []


def _steps(platform: Platform, run: str) -> set[str]:
    """Return the tasks that a run's log names."""
    found = platform.ask("logs/filter", {"logs": {"flow_run_id": {"any_": [run]}}, "limit": 200})
    tasks = platform.ask("task_runs/filter", {"task_runs": {"flow_run_id": {"any_": [run]}}})
    assert not [line for line in found if line["level"] >= 40]
    logged = {line["task_run_id"] for line in found}
    return {task["name"].rpartition("-")[0] for task in tasks if task["id"] in logged}
