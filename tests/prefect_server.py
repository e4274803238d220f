"""A real Prefect server, real workers and flows that take no time, for what only they can show."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx

from tasks.platform.ports import free_port

ROOT = Path(__file__).resolve().parents[1]
POOL = "perennial"

LIGHT_FLOW = """
import time
from prefect import flow
from tasks.runs.slots import skipped, superseded

@flow(name="light")
def light(seconds: float = 0.0, fails: bool = False) -> str:
    if reason := superseded():
        return skipped(reason, str)
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        time.sleep(0.1)
    if fails:
        raise ValueError("it was told to")
    return "worked"
"""

LIGHT_FILE = """
prefect-version: 3.8.8
name: light
pull: [{{prefect.deployments.steps.set_working_directory: {{directory: {folder}}}}}]
deployments:
- name: {name}
  entrypoint: light.py:light
  tags: [perennial]
  concurrency_limit: {{limit: {limit}, collision_strategy: {strategy}}}
  work_pool: {{name: perennial, job_variables: {{env: {environment}}}}}
"""


class PrefectServer:
    """A server of its own; its workers take what is in the pool ``perennial`` every second.

    Parameters
    ----------
    folder
        Of its database and logs.
    environment
        Of the server, beside ours.
    """

    def __init__(self, folder: Path, environment: dict[str, str] | None = None) -> None:
        self.folder = folder
        self.port = free_port()
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "PERENNIAL_"))}
        clean.pop("PYTHONDONTWRITEBYTECODE", None)
        self.environment = clean | {
            "PREFECT_HOME": str(folder / "home"),
            "PREFECT_API_URL": self.api_url,
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "PREFECT_WORKER_QUERY_SECONDS": "1",
            "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
            "DO_NOT_TRACK": "1",
            "PYTHONPATH": str(ROOT),
            **(environment or {}),
        }
        self._processes: list[subprocess.Popen[bytes]] = []
        self._server: subprocess.Popen[bytes] | None = None
        self._http = httpx.Client(base_url=self.api_url, timeout=120)

    @property
    def api_url(self) -> str:
        """Address for ``PREFECT_API_URL``."""
        return f"http://127.0.0.1:{self.port}/api"

    def start(self) -> None:
        """Start, and return once it answers."""
        self._server = self.run("server", "start", "--no-ui", "--port", str(self.port))
        await_that(self._answers, seconds=200)

    def kill(self) -> None:
        """End the server at once, as a power cut does."""
        assert self._server is not None
        kill_group(self._server)

    def run(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start a command of Prefect's in a group of its own; it is ended with the server."""
        log = (self.folder / f"{arguments[0]}.log").open("ab")
        with log:
            process = subprocess.Popen(
                [sys.executable, "-m", "prefect", *arguments],
                cwd=self.folder,
                env=self.environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._processes.append(process)
        return process

    def start_worker(self) -> subprocess.Popen[bytes]:
        """Start a worker of the pool."""
        return self.run("worker", "start", "--pool", POOL, "--type", "process")

    def stop(self) -> None:
        """End everything that was started here."""
        self._http.close()
        for process in reversed(self._processes):
            kill_group(process)

    def deploy_light(
        self, name: str, *, limit: int = 1, strategy: str = "ENQUEUE", environment: dict[str, str] | None = None
    ) -> str:
        """Deploy a flow that does nothing for some seconds; return the deployment's id."""
        self.request("POST", "/work_pools/", json={"name": POOL, "type": "process"}, expected=(201, 409))
        (self.folder / "light.py").write_text(LIGHT_FLOW)
        env = {"PYTHONPATH": str(ROOT), **(environment or {})}
        text = LIGHT_FILE.format(folder=self.folder, name=name, limit=limit, strategy=strategy, environment=env)
        (self.folder / "light.yaml").write_text(text)
        deployed = self.run("--no-prompt", "deploy", "--all", "--prefect-file", "light.yaml")
        assert deployed.wait(120) == 0, (self.folder / "--no-prompt.log").read_text()
        return str(self.request("GET", f"/deployments/name/light/{name}")["id"])

    def request(self, method: str, path: str, json: Any = None, expected: tuple[int, ...] = (200, 201, 204)) -> Any:
        """Ask the server's API; again where its SQLite database is busy."""
        answer = await_that(lambda: self._answer(method, path, json))
        assert answer.status_code in expected, answer.text
        return answer.json() if answer.content else None

    def _answer(self, method: str, path: str, json: Any) -> httpx.Response | None:
        answer = self._http.request(method, path, json=json)
        return None if answer.status_code == httpx.codes.SERVICE_UNAVAILABLE else answer

    def runs(self, deployment: str) -> list[dict[str, Any]]:
        """Return the runs of a deployment that are due, in the order of their slots."""
        asked = {"deployments": {"id": {"any_": [deployment]}}, "sort": "EXPECTED_START_TIME_ASC"}
        return list(self.request("POST", "/flow_runs/filter", json=asked))

    def miss_slots(self, deployment: str, now: datetime, number: int = 3) -> None:
        """Let the server make the runs of the minutes that have passed, as if nobody had taken them."""
        (schedule,) = self.request(
            "POST", f"/deployments/{deployment}/schedules", json=[{"schedule": {"cron": "* * * * *"}, "active": True}]
        )
        asked = {
            "start_time": (now - timedelta(minutes=number)).isoformat(),
            "end_time": now.isoformat(),
            "min_time": 60 * number,
            "max_runs": number,
        }
        self.request("POST", f"/deployments/{deployment}/schedule", json=asked)
        # No further slot shall come while the test looks; turning the schedule off leaves what is due.
        self.request("PATCH", f"/deployments/{deployment}/schedules/{schedule['id']}", json={"active": False})

    def _answers(self) -> bool:
        with contextlib.suppress(httpx.TransportError):
            return self._http.get("/health").status_code == httpx.codes.OK
        return False


@contextmanager
def prefect_server(folder: Path, environment: dict[str, str] | None = None) -> Iterator[PrefectServer]:
    """Run a server for the duration of a block."""
    folder.mkdir(parents=True, exist_ok=True)
    server = PrefectServer(folder, environment)
    try:
        server.start()
        yield server
    finally:
        server.stop()


def await_that(holds: Callable[[], Any], seconds: float = 200, pause: float = 0.2) -> Any:
    """Wait until something holds, and return what it returned."""
    deadline = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < deadline, f"it did not come true within {seconds:.0f} s"
        time.sleep(pause)
    return found


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and all that it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(120)
