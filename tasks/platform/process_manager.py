"""The process manager (supervisord) of the platform: configuration, start, commands and status."""

from __future__ import annotations

import os
import socket
import stat
import sys
import tempfile
import time
import xmlrpc.client
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any, Literal

from config.background import start_in_background
from config.platform import PlatformState, read_platform, write_platform
from config.private_file import append_privately
from config.settings import PACKAGES, PlatformSettings, Settings
from core.errors import StorageError
from tasks.platform.processes import MARK, Service, common_environment, services

QUICK_SECONDS = 15
"""A process that ends sooner is restarted after a pause that grows by a second each time; others at once."""

START_SECONDS = 15.0
MAX_START_SECONDS = 180.0
"""Time limits of the process manager's start: the longer one for as long as it is being started by a busy host."""

CALL_SECONDS = 20.0
"""Time limit of a command to the process manager; one that hangs never answers."""

MAX_SOCKET_PATH = 90
"""Maximum bytes; the kernel's limit is 108 (104 on macOS), and supervisord temporarily appends its process id."""

ALIVE = ("STARTING", "RUNNING")

ProcessState = Literal["STOPPED", "STARTING", "RUNNING", "BACKOFF", "STOPPING", "EXITED", "FATAL"]


@dataclass(frozen=True)
class Process:
    """State of a process as reported by the process manager.

    Parameters
    ----------
    name
        Name of the service.
    state
        Supervisor's name of the state.
    pid
        0 if there is no process.
    started
        Start time in seconds since the epoch.
    """

    name: str
    state: ProcessState
    pid: int
    started: float

    @property
    def is_alive(self) -> bool:
        """Whether there is a process."""
        return self.state in ALIVE


class Supervisor:
    """Client of a running process manager.

    Parameters
    ----------
    path
        Path of its socket.
    seconds
        Time limit of a command.
    """

    def __init__(self, path: str, seconds: float = CALL_SECONDS) -> None:
        self._path = path
        self._seconds = seconds

    def processes(self) -> dict[str, Process]:
        """Return all processes by name; empty while the process manager shuts down.

        Raises
        ------
        StorageError
            The process manager does not respond.
        """
        return {
            item["name"]: Process(item["name"], item["statename"], int(item["pid"]), float(item["start"]))
            for item in self._call(lambda client: client.supervisor.getAllProcessInfo()) or ()
        }

    def start(self, name: str) -> None:
        """Start a process, without waiting for it; a repeat changes nothing."""
        self._call(lambda client: client.supervisor.startProcess(name, False))

    def stop(self, name: str) -> None:
        """Stop a process, without waiting for its end; a repeat changes nothing."""
        self._call(lambda client: client.supervisor.stopProcess(name, False))

    def shut_down(self) -> None:
        """Stop every process, the last started first, and then the process manager itself."""
        self._call(lambda client: client.supervisor.shutdown())

    def answers(self) -> bool:
        """Whether a process manager responds at the socket."""
        try:
            self._call(lambda client: client.supervisor.getPID())
        except StorageError:
            return False
        return True

    def _call(self, question: Callable[[xmlrpc.client.ServerProxy], Any]) -> Any:
        from supervisor.xmlrpc import Faults, SupervisorTransport  # type: ignore[import-untyped]

        harmless = (Faults.ALREADY_STARTED, Faults.NOT_RUNNING, Faults.SHUTDOWN_STATE)
        transport = SupervisorTransport(serverurl=f"unix://{self._path}")
        transport._get_connection = lambda: _Connection(self._path, self._seconds)
        try:
            with xmlrpc.client.ServerProxy("http://127.0.0.1", transport=transport, allow_none=True) as client:
                return question(client)
        except xmlrpc.client.Fault as fault:
            if fault.faultCode in harmless:
                return None
            raise StorageError(f"the process manager refused the command: {fault.faultString}") from fault
        except (OSError, HTTPException, xmlrpc.client.Error) as error:
            raise StorageError(
                f"the process manager at {self._path} does not respond ({error}); end it and its processes with: "
                "perennial down"
            ) from error


class _Connection(HTTPConnection):
    """supervisor's own connection has no time limit."""

    def __init__(self, path: str, seconds: float) -> None:
        super().__init__("localhost", timeout=seconds)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def socket_path(folder: Path) -> str:
    """Return a socket path short enough for the kernel: in the folder, else in a new temporary folder."""
    path = folder / "supervisor.sock"
    if len(os.fsencode(path)) <= MAX_SOCKET_PATH:
        return str(path)
    # mkdtemp makes a folder that only its owner can read.
    short = tempfile.gettempdir() if len(tempfile.gettempdir()) < MAX_SOCKET_PATH - 30 else "/tmp"  # noqa: S108
    return str(Path(tempfile.mkdtemp(prefix="perennial-", dir=short)) / "supervisor.sock")


def log_file(settings: Settings, name: str) -> Path:
    """Return the path of a process's log file."""
    return settings.var / "log" / f"{name}.log"


def configuration(state: PlatformState, settings: Settings, platform: PlatformSettings) -> str:
    """Return supervisord's configuration. It holds no secrets: processes inherit them or read the state file."""
    folder = settings.var / "supervisor"
    rotation = f"maxbytes={int(platform.log_mb * 1024 * 1024)}", f"backups={platform.log_backups}"
    lines = [
        "[supervisord]",
        f"logfile={_quoted(log_file(settings, 'supervisord'))}",
        *(f"logfile_{rule}" for rule in rotation),
        f"pidfile={_quoted(folder / 'supervisord.pid')}",
        f"childlogdir={_quoted(folder)}",
        "nodaemon=true",
        "silent=true",
        # Its own default is 022, whatever the umask of the user: logs and data of runs would be readable by all.
        f"umask={_umask() | stat.S_IRWXO:03o}",
        # Avoids supervisord's warning if it runs as root.
        *(["user=root"] if os.geteuid() == 0 else []),
        "[unix_http_server]",
        f"file={_quoted(state.socket)}",
        "chmod=0600",
        "[rpcinterface:supervisor]",
        "supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface",
    ]
    for rank, service in enumerate(services(state)):
        lines += _program(service, rank, settings, rotation)
    return "\n".join(lines) + "\n"


def _umask() -> int:
    # There is no call that only reads it; 0o077 in between creates nothing that others can read.
    found = os.umask(0o077)
    os.umask(found)
    return found


def _program(service: Service, rank: int, settings: Settings, rotation: Iterable[str]) -> list[str]:
    return [
        f"[program:{service.name}]",
        f'command="{_quoted(sys.executable)}" -m tasks.platform.processes {service.name}',
        f"directory={_quoted(settings.root)}",
        f"stdout_logfile={_quoted(log_file(settings, service.name))}",
        *(f"stdout_logfile_{rule}" for rule in rotation),
        "redirect_stderr=true",
        "autostart=false",
        "autorestart=true",
        f"startsecs={QUICK_SECONDS}",
        # A dependency of a process may be unavailable for long; retry for as long as the platform runs.
        "startretries=1000000",
        # At shutdown, processes with the highest priority number are stopped first.
        f"priority={rank}",
        f"stopwaitsecs={service.stop_seconds}",
        "killasgroup=true",
    ]


def _quoted(value: object) -> str:
    # supervisord replaces %(name)s.
    return str(value).replace("%", "%%")


def start_supervisor(state: PlatformState, settings: Settings, platform: PlatformSettings) -> PlatformState:
    """Start the process manager, without processes yet, and return the state with its process id.

    It is detached and has its own session: Ctrl-C reaches only the command, which then stops everything in order.

    Raises
    ------
    StorageError
        It did not start; the message names its log.
    """
    folder = settings.var / "supervisor"
    for name in ("supervisord", *(service.name for service in services(state))):
        append_privately(log_file(settings, name)).close()
    file = folder / "supervisord.conf"
    file.write_text(configuration(state, settings, platform), encoding="utf-8")
    write_platform(settings.var, state)
    environment = os.environ | common_environment(state, settings)
    with (folder / "start.log").open("wb") as output:
        start_in_background(
            [sys.executable, "-m", "tasks.platform.supervise", str(file)], environment, output, PACKAGES
        )
    return _await_supervisor(state, settings, folder)


def _await_supervisor(state: PlatformState, settings: Settings, folder: Path) -> PlatformState:
    began = time.monotonic()
    while time.monotonic() - began < START_SECONDS or _is_starting(state, time.monotonic() - began):
        found = read_platform(settings.var)
        if found is not None and found.id == state.id and Supervisor(found.socket).answers():
            return found
        time.sleep(0.05)
    said = (folder / "start.log").read_text(errors="replace").strip().splitlines()[-1:]
    raise StorageError(
        f"the process manager did not start within {time.monotonic() - began:.0f} s{': ' if said else ''}"
        f"{''.join(said)}; its log is {log_file(settings, 'supervisord')}"
    )


def _is_starting(state: PlatformState, seconds: float) -> bool:
    """Return whether a start that takes long is only slow: its process is there."""
    return seconds < MAX_START_SECONDS and bool(marked_processes(state.id))


def marked_processes(platform_id: str) -> list[Any]:
    """Return the processes of a platform, whatever their parent."""
    import psutil

    return [process for process in psutil.process_iter() if _mark(process) == platform_id]


def left_over(var: Path, present: str = "") -> dict[str, list[int]]:
    """Return the processes of platforms of this project that no process manager looks after, by their platform.

    Parameters
    ----------
    var
        Folder of the project's state.
    present
        Id of the platform that runs.
    """
    import psutil

    found: dict[str, list[int]] = {}
    for process in psutil.process_iter():
        mark = _mark(process, str(var))
        if mark and mark != present:
            found.setdefault(mark, []).append(process.pid)
    return found


def sweep(platform_id: str, *, spare: Iterable[int] = (), seconds: float = 10.0) -> int:
    """End all remaining processes of a platform, whatever their parent; return their number.

    Flow runs have their own sessions and outlive a worker that was killed. They receive SIGTERM first, so that a run
    reports that it crashed, and are killed after some seconds.
    """
    import psutil

    spared = set(spare)
    left = [process for process in marked_processes(platform_id) if process.pid not in spared]
    for process in left:
        _signal(process.terminate)
    _, alive = psutil.wait_procs(left, timeout=seconds)
    for process in alive:
        _signal(process.kill)
    psutil.wait_procs(alive, timeout=5)
    return len(left)


def descendants(pid: int) -> list[int]:
    """Return the ids of a process and of its descendants."""
    import psutil

    try:
        process = psutil.Process(pid)
        return [pid, *(child.pid for child in process.children(recursive=True))]
    except psutil.Error:
        return []


def cpu_seconds(pid: int) -> float:
    """Return the processor time of a process and its descendants."""
    import psutil

    total = 0.0
    for each in descendants(pid):
        with suppress(psutil.Error):
            times = psutil.Process(each).cpu_times()
            total += times.user + times.system
    return total


def _mark(process: Any, var: str | None = None) -> str | None:
    """Return the platform of a process; None for this one, and for one of another project where one is named."""
    import psutil

    try:
        told = process.environ() if process.pid != os.getpid() else {}
    except (psutil.Error, OSError):  # it ended, or belongs to another user
        return None
    return told.get(MARK) if var is None or told.get("PERENNIAL_VAR") == var else None


def _signal(send: Callable[[], None]) -> None:
    import psutil

    try:
        send()
    except psutil.Error:  # it has ended in the meantime
        return
