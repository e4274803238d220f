"""The whole platform on one machine: Prefect's and MLflow's servers, the worker, the relay and the service."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Literal
from uuid import uuid4

from config.load import model_names
from config.platform import PlatformState, forget_platform, last_platform, read_platform, write_platform
from config.settings import PlatformSettings, Settings
from core.errors import ConfigError, StorageError
from store.database import open_database
from store.postgres import is_postgres, mlflow_database, prepare_postgres
from tasks.platform.http import ask, prefect_headers
from tasks.platform.ports import free_port, holder, is_free
from tasks.platform.process_manager import (
    CALL_SECONDS,
    Process,
    ProcessState,
    Supervisor,
    cpu_seconds,
    descendants,
    left_over,
    log_file,
    socket_path,
    start_supervisor,
    sweep,
)
from tasks.platform.processes import Service, is_healthy, is_suspended, services
from tasks.platform.stopped_runs import flow_runs_in_work, tell_crashed
from tasks.runs.deployments import deploy_models
from tasks.runs.local_server import prefect_home, running_server, stop_server
from tasks.runs.lock import hold_model
from tasks.runs.prefect_database import prepare_database
from tasks.runs.progress import step
from tasks.runs.working_folder import check_folders

_logger = logging.getLogger("perennial.platform")

HEALTHY_SECONDS = 180.0
MAX_HEALTHY_SECONDS = 900.0
"""Time limits for a process to become healthy: without progress, and in all. On a slow machine, creating a database
takes most of a minute, and on a busy one the imports take minutes."""

PROGRESS_SECONDS = 1.0
"""Processor time that counts as progress of a start."""

SILENT_SECONDS = 60.0
"""Time after which a process manager that does not respond hangs."""

WORKER_SECONDS = 25.0
STOP_SECONDS = 150.0
POLL_SECONDS = 0.2
ENDING_SECONDS = 0.5
"""Time after which a process that closed its connections has ended."""

WATCH_SECONDS = 2.0
FAILED_STARTS = 3
"""Failed starts of a process after which starting the platform is aborted."""

LOG_TAIL = 5

PORT_OPTIONS = {
    "prefect_port": ("Prefect server", "--prefect-port", "PERENNIAL_PREFECT_PORT"),
    "mlflow_port": ("MLflow server", "--mlflow-port", "PERENNIAL_MLFLOW_PORT"),
    "serving_port": ("prediction service", "--port", "PERENNIAL_SERVE_PORT"),
}


ServiceStatus = Literal["healthy", "starting", "unhealthy", "waiting", "stopping", "stopped"]


@dataclass(frozen=True)
class Status:
    """State of a process of the platform.

    Parameters
    ----------
    name, address
        See :class:`tasks.platform.processes.Service`.
    state
        ``unhealthy``: the process does not respond; ``waiting``: it ended and will be restarted.
    pid
        0 if there is no process.
    log
        Its log file.
    """

    name: str
    state: ServiceStatus
    address: str
    pid: int
    log: Path

    def to_dict(self) -> dict[str, Any]:
        """Content that JSON can hold."""
        return {
            "name": self.name,
            "state": self.state,
            "address": self.address,
            "pid": self.pid,
            "log": str(self.log),
        }


def bring_up(settings: Settings, platform: PlatformSettings, serving_port: int) -> PlatformState:
    """Start all processes, and return when they are healthy.

    The caller checks first that the platform is not already running (:func:`config.platform.read_platform`). If a step
    fails, all processes are stopped.

    Raises
    ------
    ConfigError
        A port is in use, or the database's address is malformed.
    StorageError
        A folder or database cannot be used, or a process does not become healthy; the message names its log.
    RunInProgressError
        A run uses the local Prefect server, which would have to be stopped.
    """
    check_folders(settings)
    with _alone(settings):
        _clear_remains(settings)
        _end_local_server(settings)
        state = _prepare_databases(_plan(settings, platform, serving_port), settings)
        try:
            with step("Starting the process manager"):
                state = start_supervisor(state, settings, platform)
            _start_all(state, settings)
        except BaseException:
            bring_down(settings, last_platform(settings.var) or state)
            raise
        state = state.model_copy(update={"ready": True})
        write_platform(settings.var, state)
        return state


def bring_down(settings: Settings, state: PlatformState) -> None:
    """Stop all processes, first the worker and its runs, which report to Prefect; a repeat is harmless."""
    with suppress(OSError):
        if last_platform(settings.var) is not None:
            write_platform(settings.var, state.model_copy(update={"ready": False}))
    try:
        supervisor = Supervisor(state.socket)
        with step("Stopping the worker and its runs"):
            _stop_worker(supervisor, state)
        with step("Stopping the services and servers"):
            supervisor.shut_down()
    except StorageError:  # it was killed or hangs: its processes are ended directly
        _end_supervisor(state, signal.SIGKILL)
    _clear_up(settings, state)


def _clear_up(settings: Settings, state: PlatformState) -> None:
    """Wait for the end of the process manager, and remove what is left; two commands may do so at once."""
    _await_end(state)
    sweep(state.id)
    _remove_socket(state, settings)
    forget_platform(settings.var, state)


def run_platform(
    settings: Settings,
    platform: PlatformSettings,
    serving_port: int,
    told: Callable[[PlatformState], None],
    changed: Callable[[Status, Status], None],
) -> None:
    """Run the platform until Ctrl-C, SIGTERM or ``perennial down``; then stop all processes.

    Parameters
    ----------
    settings, platform, serving_port
        Settings of the project, of the platform and of the prediction service.
    told
        Called when all processes are healthy.
    changed
        Called with the previous and the present status of a process when it changes.

    Raises
    ------
    StorageError
        The platform did not start, or the process manager was killed.
    """
    state, stop = None, bring_down
    with interruptible() as stopped:
        try:
            state = bring_up(settings, platform, serving_port)
            told(state)
            watch(settings, state, stopped, changed)
            _logger.info("another command stops the platform")
            stop = _clear_up
        except KeyboardInterrupt:
            _logger.info("stopping")
        finally:
            # From here on, signals raise no exception, so that stopping is not interrupted.
            stopped.set()
            if state is not None:
                stop(settings, state)


def statuses(settings: Settings, state: PlatformState, seconds: float = CALL_SECONDS) -> list[Status]:
    """Return the present status of each process; none while the process manager shuts down.

    Parameters
    ----------
    settings, state
        The project and its platform.
    seconds
        Time limit of the process manager's answer.

    Raises
    ------
    StorageError
        The process manager does not respond.
    """
    processes = Supervisor(state.socket, seconds).processes()
    if not processes:
        return []

    def status(service: Service) -> Status:
        process = processes[service.name]
        return Status(
            service.name,
            _state_of(service, process, state, settings),
            service.address,
            process.pid,
            log_file(settings, service.name),
        )

    found = services(state)
    with ThreadPoolExecutor(len(found)) as pool:
        return list(pool.map(status, found))


def watch(
    settings: Settings, state: PlatformState, stopped: threading.Event, changed: Callable[[Status, Status], None]
) -> None:
    """Report each change of a status until ``stopped`` is set or another command stops the platform.

    Raises
    ------
    StorageError
        The process manager was killed, or has not responded for :data:`SILENT_SECONDS`.
    """
    known = {status.name: status for status in _watched(settings, state)}
    answered = time.monotonic()
    while not stopped.wait(WATCH_SECONDS):
        present = last_platform(settings.var)
        if present is None or present.id != state.id or not present.ready:
            return
        try:
            found = _watched(settings, state)
        except StorageError:
            # On a busy host the process manager may answer late; a killed one is named at once.
            if read_platform(settings.var) is None or time.monotonic() - answered > SILENT_SECONDS:
                raise
            continue
        answered = time.monotonic()
        for status in found:
            before, known[status.name] = known[status.name], status
            if (before.state, before.pid) != (status.state, status.pid):
                changed(before, status)


def _watched(settings: Settings, state: PlatformState) -> list[Status]:
    """Return the statuses; name a killed process manager as such, also where it dies while it is asked."""
    try:
        found = statuses(settings, state) if read_platform(settings.var) is not None else None
    except StorageError:
        time.sleep(ENDING_SECONDS)
        if read_platform(settings.var) is not None:
            raise
        found = None
    if found is None:
        raise StorageError(
            f"the process manager was killed; its log is {log_file(settings, 'supervisord')}. "
            "Its processes are being ended; restart with: perennial up"
        )
    return found


@contextmanager
def interruptible() -> Iterator[threading.Event]:
    """Turn Ctrl-C, SIGTERM and SIGHUP into an event, and raise KeyboardInterrupt in the block.

    When the event is set, further signals are ignored, so that stopping is not interrupted.
    """
    stopped = threading.Event()

    def stop(_number: int, _frame: FrameType | None) -> None:
        if not stopped.is_set():
            stopped.set()
            raise KeyboardInterrupt

    kinds = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {kind: signal.signal(kind, stop) for kind in kinds}
    try:
        yield stopped
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)


@contextmanager
def _alone(settings: Settings) -> Iterator[None]:
    from filelock import FileLock, Timeout

    folder = settings.var / "supervisor"
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    try:
        with FileLock(folder / "up.lock", timeout=0):
            yield
    except Timeout as error:
        raise ConfigError("another 'perennial up' of this project is starting the platform; wait for it") from error


def end_left_over(settings: Settings) -> int:
    """End the processes of platforms whose state file is gone; return their number."""
    present = last_platform(settings.var)
    return sum(sweep(platform) for platform in left_over(settings.var, present.id if present else ""))


def _clear_remains(settings: Settings) -> None:
    """End the remaining processes of platforms that were killed while running or starting."""
    if n_ended := end_left_over(settings):
        _logger.info("ended %d processes of a platform whose state file is gone", n_ended)
    remains = last_platform(settings.var)
    if remains is None:
        return
    if read_platform(settings.var) is not None:
        bring_down(settings, remains)
        return
    n_ended = sweep(remains.id)
    _logger.info("cleaned up after a platform that was killed: ended %d processes", n_ended)
    _remove_socket(remains, settings)
    forget_platform(settings.var, remains)


def _end_local_server(settings: Settings) -> None:
    """Stop the local background server, which uses the same database."""
    if running_server(settings) is None:
        if stop_server(settings):
            _logger.info("stopped the local Prefect server, which did not answer")
        return
    for model in model_names(settings.root):
        with hold_model(model, settings):  # raises if a run is in progress
            pass
    stop_server(settings)
    _logger.info("stopped the local Prefect server; the platform's server replaces it and uses the same database")


def _plan(settings: Settings, platform: PlatformSettings, serving_port: int) -> PlatformState:
    """Choose the processes and their ports, and refuse ports that are in use."""
    own_prefect, own_mlflow = settings.prefect_api_url is None, not settings.mlflow_uri.startswith("http")
    wanted = {
        "prefect_port": platform.prefect_port if own_prefect else None,
        "mlflow_port": platform.mlflow_port if own_mlflow else None,
        "serving_port": serving_port,
    }
    ports = {name: _port(name, port) for name, port in wanted.items() if port is not None}
    if len(set(ports.values())) < len(ports):
        raise ConfigError(f"the platform needs a port for each server, found {ports}")
    return PlatformState(
        id=uuid4().hex,
        socket=socket_path(settings.var / "supervisor"),
        pool=settings.work_pool,
        runs_at_once=platform.runs_at_once,
        serving_port=ports["serving_port"],
        prefect_port=ports.get("prefect_port"),
        mlflow_port=ports.get("mlflow_port"),
        prefect_api_url=settings.prefect_api_url or f"http://127.0.0.1:{ports['prefect_port']}/api",
        mlflow_uri=f"http://127.0.0.1:{ports['mlflow_port']}" if own_mlflow else settings.mlflow_uri,
        mlflow_store=_mlflow_store(settings),
        database_url=settings.database_url,
    )


def _mlflow_store(settings: Settings) -> str:
    """Return MLflow's database: the configured one, else a schema in PostgreSQL, else our SQLite file."""
    usual = settings.mlflow_uri == f"sqlite:///{settings.var / 'mlflow.db'}"
    return (
        mlflow_database(settings.database_url) if usual and is_postgres(settings.database_url) else settings.mlflow_uri
    )


def _port(name: str, port: int) -> int:
    if port == 0:
        return free_port()
    if is_free(port):
        return port
    title, option, variable = PORT_OPTIONS[name]
    found = holder(port)
    raise ConfigError(
        f"port {port}, for the {title}, is in use by {found or 'a process of another user'}. "
        f"End that process, or choose another port: {option} {_next_free(port)} (or {variable})"
    )


def _next_free(port: int) -> int:
    return next((other for other in range(port + 1, min(port + 100, 65536)) if is_free(other)), 0)


def _prepare_databases(state: PlatformState, settings: Settings) -> PlatformState:
    with step("Preparing the databases"):
        if state.prefect_port is None:
            _check_elsewhere(state)
        if is_postgres(state.database_url):
            return state.model_copy(update={"prefect_search_path": prepare_postgres(state.database_url)})
        open_database(state.database_url)
        if state.prefect_port is not None:
            prepare_database(prefect_home(settings))
        return state


def _check_elsewhere(state: PlatformState) -> None:
    answer = ask(f"{state.prefect_api_url}/health", headers=prefect_headers(), seconds=10)
    if answer is None or answer.status != 200:
        what = "does not answer" if answer is None else f"answers {answer.status}"
        raise StorageError(
            f"Prefect at {state.prefect_api_url} {what}; check PREFECT_API_URL and PREFECT_API_KEY, "
            "or unset them to start a server here"
        )


def _start_all(state: PlatformState, settings: Settings) -> None:
    found = {service.name: service for service in services(state)}
    servers = [found.pop(name) for name in ("prefect", "mlflow") if name in found]
    _start(servers, state, settings)
    with step("Deploying the flows"):
        _deploy(state, settings)
    _start(list(found.values()), state, settings)


def _start(wanted: Sequence[Service], state: PlatformState, settings: Settings) -> None:
    """Start processes together and wait until each is healthy."""
    supervisor = Supervisor(state.socket)
    for service in wanted:
        supervisor.start(service.name)
    waiting, limit = list(wanted), StartLimit()
    failures: dict[str, set[float]] = {service.name: set() for service in wanted}
    while waiting:
        with step(f"Waiting for {', '.join(service.name for service in waiting)}"):
            waiting = _still_waiting(waiting, state, settings, supervisor, failures)
        if waiting and limit.is_over(time.monotonic(), cpu_seconds(state.pid)):
            raise _not_healthy(waiting[0], settings, f"did not become healthy within {limit.seconds:.0f} s")
        time.sleep(POLL_SECONDS if waiting else 0)


class StartLimit:
    """Time limit of a start that goes on while the start makes progress: a busy host is slow."""

    def __init__(self) -> None:
        self._began = self._progressed = time.monotonic()
        self._computed = 0.0
        self.seconds = 0.0

    def is_over(self, now: float, computed: float) -> bool:
        """Return whether the start has failed.

        Parameters
        ----------
        now
            Monotonic time in seconds.
        computed
            Processor time of the processes that start, in seconds.
        """
        if abs(computed - self._computed) >= PROGRESS_SECONDS:  # it shrinks when a process was started again
            self._computed, self._progressed = computed, now
        self.seconds = now - self._began
        return now - self._progressed > HEALTHY_SECONDS or self.seconds > MAX_HEALTHY_SECONDS


def _still_waiting(
    waiting: Sequence[Service],
    state: PlatformState,
    settings: Settings,
    supervisor: Supervisor,
    failures: dict[str, set[float]],
) -> list[Service]:
    processes, left = supervisor.processes(), []
    for service in waiting:
        process = processes[service.name]
        if process.is_alive and is_healthy(service, state, process.started, settings):
            _logger.info("%s is healthy: %s", service.name, service.address)
            continue
        if not process.is_alive and process.started:
            failures[service.name].add(process.started)
        if len(failures[service.name]) >= FAILED_STARTS:
            raise _not_healthy(service, settings, f"ended {FAILED_STARTS} times during start")
        left.append(service)
    return left


def _not_healthy(service: Service, settings: Settings, what: str) -> StorageError:
    path = log_file(settings, service.name)
    with suppress(OSError):
        lines = path.read_text(errors="replace").strip().splitlines()[-LOG_TAIL:]
        said = "".join(f"\n  {line[:200]}" for line in lines)
        return StorageError(f"{service.name} {what}. Last lines of its log {path}:{said}")
    return StorageError(f"{service.name} {what}; it wrote no log")


def _deploy(state: PlatformState, settings: Settings) -> None:
    if not model_names(settings.root):
        _logger.info("there is no model to deploy yet; after 'perennial init', run: perennial deploy")
        return
    if state.prefect_port is not None:
        os.environ.setdefault("PREFECT_HOME", str(prefect_home(settings)))
    deployed = deploy_models([], settings.model_copy(update={"prefect_api_url": state.prefect_api_url}))
    n_changed = sum(flow.change in ("created", "updated") for flow in deployed)
    _logger.info("%d deployments, of which %d are new or changed", len(deployed), n_changed)


def _state_of(service: Service, process: Process, state: PlatformState, settings: Settings) -> ServiceStatus:
    if process.is_alive:
        if not is_suspended(process.pid) and is_healthy(service, state, process.started, settings):
            return "healthy"
        return "starting" if process.state == "STARTING" else "unhealthy"
    not_running: dict[ProcessState, ServiceStatus] = {
        "BACKOFF": "waiting",
        "EXITED": "waiting",
        "STOPPING": "stopping",
    }
    return not_running.get(process.state, "stopped")


def _stop_worker(supervisor: Supervisor, state: PlatformState) -> None:
    runs = flow_runs_in_work(state)
    supervisor.stop("worker")
    deadline = time.monotonic() + WORKER_SECONDS
    while _is_stopping(supervisor.processes().get("worker")) and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
    # Flow runs have their own sessions, and so outlive their worker.
    sweep(state.id, spare=descendants(state.pid))
    tell_crashed(runs, state)


def _is_stopping(process: Process | None) -> bool:
    return process is not None and process.state == "STOPPING"


def _await_end(state: PlatformState) -> None:
    import psutil

    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(state.pid) if state.pid else None
        if process is not None and abs(process.create_time() - state.created) < 1:
            with suppress(psutil.TimeoutExpired):
                process.wait(STOP_SECONDS)
                return
            _end_supervisor(state, signal.SIGKILL)


def _end_supervisor(state: PlatformState, kind: signal.Signals) -> None:
    import psutil

    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(state.pid)
        if state.pid and abs(process.create_time() - state.created) < 1:
            process.send_signal(kind)


def _remove_socket(state: PlatformState, settings: Settings) -> None:
    path = Path(state.socket)
    path.unlink(missing_ok=True)
    if path.parent != settings.var / "supervisor":
        with suppress(OSError):
            path.parent.rmdir()
