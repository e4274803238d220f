"""The processes of the platform: how each is started, with which environment, and how its health is checked.

``python -m tasks.platform.processes NAME`` becomes the process of that name. It reads its parameters from the state
file, so that no address with a password appears in a command line or in the process manager's configuration.
"""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path

from config.platform import PlatformState, last_platform, service_beat
from config.settings import PACKAGES, Settings, load_settings
from core.errors import ConfigError
from core.operate.patience import Health
from store.postgres import is_postgres, prefect_database
from tasks.platform.http import Answer, ask, prefect_headers
from tasks.runs.heartbeat import beat_path
from tasks.runs.local_server import prefect_environment
from tasks.runs.session import NUMERICS

MARK = "PERENNIAL_PLATFORM"
"""Environment variable with the platform's id, set for every process of the platform."""

HEALTH_SECONDS = 3.0
BEAT_SECONDS = 60.0
"""Maximum age of the relay's heartbeat file; one duty takes long while Prefect does not respond."""

SERVICE_BEAT_SECONDS = 15.0
"""Maximum age of the heartbeat file of the service's supervisor, which touches it every second."""

WORKER_HEARTBEAT_SECONDS = 10
WORKER_BEAT_SECONDS = 45.0
"""Maximum age of the worker's last heartbeat at Prefect: three may be lost."""


@dataclass(frozen=True)
class Service:
    """A process of the platform.

    Parameters
    ----------
    name
        One word, also the name of its log.
    address
        Its URL, or a description of its work.
    health
        URL that answers 200 while it is healthy; empty if health is not checked over HTTP.
    stop_seconds
        Time to end before it is killed.
    """

    name: str
    address: str
    health: str = ""
    stop_seconds: int = 20


def services(state: PlatformState) -> list[Service]:
    """Return the processes in the order they are started; they are stopped in the reverse order."""
    found = []
    if state.prefect_port is not None:
        url = f"http://127.0.0.1:{state.prefect_port}"
        found.append(Service("prefect", url, f"{url}/api/ready"))
    if state.mlflow_port is not None:
        url = f"http://127.0.0.1:{state.mlflow_port}"
        found.append(Service("mlflow", url, f"{url}/health"))
    url = f"http://127.0.0.1:{state.serving_port}"
    # The service completes open requests before it ends, within its own limit of 30 s.
    found.append(Service("serve", url, f"{url}/health/live", stop_seconds=70))
    found.append(Service("relay", "triggers, events, alerts"))
    found.append(Service("worker", f"pool {state.pool}, {state.runs_at_once} runs at once"))
    return found


def is_healthy(service: Service, state: PlatformState, started: float, settings: Settings) -> bool:
    """Return whether a process, started at ``started`` (seconds since the epoch), is healthy."""
    return health(service, state, started, settings) == "healthy"


def health(
    service: Service, state: PlatformState, started: float, settings: Settings, seconds: float = HEALTH_SECONDS
) -> Health:
    """Return the sign of life of a process.

    Parameters
    ----------
    service, state, settings
        The process, its platform, and the settings of the project.
    started
        Start time of the process in seconds since the epoch; older heartbeats are those of the process before.
    seconds
        Time limit of a request.
    """
    if service.name == "relay":
        if _is_recent(relay_beat(settings), started, BEAT_SECONDS):
            return "healthy"
        # It performs its duties one by one, and some wait for Prefect.
        return "unresponsive" if _prefect_answers(state, seconds) else "unknown"
    if service.name == "worker":
        return _worker_health(state, started, seconds)
    answer = ask(service.health, seconds=seconds)
    if answer is None or answer.status != 200:
        return "unresponsive"
    if service.name != "serve" or _is_recent(service_beat_at(settings, state), started, SERVICE_BEAT_SECONDS):
        return "healthy"
    # A file system that is read-only stops the heartbeat and not the service.
    return "unresponsive" if os.access(service_beat(settings.var, state.serving_port).parent, os.W_OK) else "unknown"


def _is_recent(beat: float | None, started: float, seconds: float) -> bool:
    return beat is not None and beat >= started and time.time() - beat < seconds


def _prefect_answers(state: PlatformState, seconds: float) -> bool:
    answer = ask(f"{state.prefect_api_url}/health", headers=prefect_headers(), seconds=seconds)
    return answer is not None and answer.status == 200


def _worker_health(state: PlatformState, started: float, seconds: float) -> Health:
    answer = _ask_workers(state.prefect_api_url, state.pool, seconds)
    if answer is None or answer.status != 200:
        return "unknown"
    seen = _last_heartbeat(answer, worker_name())
    is_recent = seen is not None and (_moment_of(answer) - seen).total_seconds() < WORKER_BEAT_SECONDS
    return "healthy" if seen is not None and is_recent and seen.timestamp() >= started else "unresponsive"


def is_suspended(pid: int) -> bool:
    """Return whether a process was stopped by a signal or a debugger."""
    import psutil

    try:
        return bool(psutil.Process(pid).status() in (psutil.STATUS_STOPPED, psutil.STATUS_TRACING_STOP))
    except psutil.Error:
        return False


def relay_beat(settings: Settings) -> float | None:
    """Return when the relay last completed a duty, in seconds since the epoch; None if it never did."""
    return _changed_at(beat_path(settings))


def service_beat_at(settings: Settings, state: PlatformState) -> float | None:
    """Return when the service's supervisor last showed that it runs, in seconds since the epoch; None if never."""
    return _changed_at(service_beat(settings.var, state.serving_port))


def _changed_at(path: Path) -> float | None:
    try:
        return path.stat().st_mtime
    except OSError:
        return None


def worker_seen(api_url: str, pool: str, name: str | None = None) -> datetime | None:
    """Return the time of a worker's last heartbeat; of the platform's own worker if no name is given."""
    answer = _ask_workers(api_url, pool, HEALTH_SECONDS)
    return None if answer is None or answer.status != 200 else _last_heartbeat(answer, name or worker_name())


def _ask_workers(api_url: str, pool: str, seconds: float) -> Answer | None:
    return ask(f"{api_url}/work_pools/{pool}/workers/filter", body={}, headers=prefect_headers(), seconds=seconds)


def _last_heartbeat(answer: Answer, name: str) -> datetime | None:
    moments = [worker["last_heartbeat_time"] for worker in answer.json() or () if worker["name"] == name]
    return max((datetime.fromisoformat(moment) for moment in moments if moment), default=None)


def _moment_of(answer: Answer) -> datetime:
    """Return the time of an answer by the clock that also gave its heartbeats their times."""
    try:
        return parsedate_to_datetime(answer.headers["date"])
    except (KeyError, ValueError):
        return datetime.now(UTC)


def worker_name() -> str:
    """Return the name of this machine's worker in the pool."""
    return f"perennial-{socket.gethostname()}"


def command(name: str, state: PlatformState) -> list[str]:
    """Return the command line of a process."""
    worker = "-m tasks.platform.worker.start worker start --type process"
    arguments = {
        "prefect": ["-m", "tasks.platform.prefect_server", str(state.prefect_port)],
        "mlflow": ["-m", "tasks.registry.server"],
        "worker": [*worker.split(), "--pool", state.pool, "--name", worker_name(), "--limit", str(state.runs_at_once)],
        "serve": ["-m", "cli", "serve", "--host", "127.0.0.1", "--port", str(state.serving_port)],
        "relay": ["-m", "cli", "relay"],
    }
    return [sys.executable, *arguments[name]]


def environment(name: str, state: PlatformState, settings: Settings, given: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a process, from the one it inherits."""
    found = dict(given) | common_environment(state, settings)
    if name == "prefect":
        found |= _server_environment(state)
    if name == "worker":
        # In seconds: how often the worker polls for runs, and how often a run sends a heartbeat.
        found = {"PREFECT_WORKER_QUERY_SECONDS": "2", "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30", **NUMERICS} | found
        # Not a default: the platform restarts a worker that sends none for longer than this allows.
        found["PREFECT_WORKER_HEARTBEAT_SECONDS"] = str(WORKER_HEARTBEAT_SECONDS)
    return found


def common_environment(state: PlatformState, settings: Settings) -> dict[str, str]:
    """Return the environment variables common to all processes of the platform."""
    path = os.environ.get("PYTHONPATH")
    prefect = prefect_environment(settings)
    # Those settings suit terminals in which a command prints its own lines; here Prefect's lines are the log.
    del prefect["PREFECT_LOGGING_SETTINGS_PATH"]
    return prefect | {
        MARK: state.id,
        "PERENNIAL_ROOT": str(settings.root),
        "PERENNIAL_VAR": str(settings.var),
        "PERENNIAL_DATABASE_URL": state.database_url,
        "PERENNIAL_MLFLOW_URI": state.mlflow_uri,
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "PREFECT_API_URL": state.prefect_api_url,
        "PREFECT_LOGGING_COLORS": "false",
        "PREFECT_CLI_COLORS": "false",
        "PYTHONPATH": os.pathsep.join([str(PACKAGES), *([path] if path else [])]),
        "PYTHONUNBUFFERED": "1",
    }


def _server_environment(state: PlatformState) -> dict[str, str]:
    found = {
        "PREFECT_SERVER_API_HOST": "127.0.0.1",
        "PREFECT_SERVER_API_PORT": str(state.prefect_port),
        # A run holds its concurrency slot by a lease that it renews. By default leases are kept in memory: a restarted
        # server has none, and ends every run at its next renewal.
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
        # Seconds until a run that waits for a slot retries; with Prefect's 30 s, the next run starts 20 s late.
        "PREFECT_SERVER_DEPLOYMENTS_CONCURRENCY_SLOT_WAIT_SECONDS": "5",
    }
    if is_postgres(state.database_url):
        found["PREFECT_SERVER_DATABASE_CONNECTION_URL"] = prefect_database(state.database_url)
        found["PREFECT_SERVER_DATABASE_SQLALCHEMY_CONNECT_ARGS_SEARCH_PATH"] = state.prefect_search_path
    return found


def become(name: str) -> None:
    """Replace this process by a process of the platform.

    Raises
    ------
    ConfigError
        There is no state file.
    """
    settings = load_settings()
    state = last_platform(settings.var)
    if state is None:
        raise ConfigError(f"no platform was started in {settings.var}; start it with: perennial up")
    line, told = command(name, state), environment(name, state, settings, os.environ)
    # With this variable, every start would compile the libraries again.
    told.pop("PYTHONDONTWRITEBYTECODE", None)
    os.execve(line[0], line, told)  # noqa: S606 - our own interpreter, no shell


if __name__ == "__main__":
    become(sys.argv[1])
