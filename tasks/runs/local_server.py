"""The project's local Prefect server: started once in the background, reused, and stopped when idle.

A flow run needs an API. Every process would start an ephemeral API of Prefect in 8 to 18 s. This server starts once,
while the command imports its libraries, and serves all later runs. It is not used if ``PREFECT_API_URL`` is set
(a self-hosted server or Prefect Cloud).
"""

from __future__ import annotations

import http.client
import json
import logging
import os
import shutil
import signal
import socket
import sys
import threading
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from config.background import start_in_background
from config.home import own_folder
from config.platform import read_platform
from config.private_file import append_privately, make_private_folder
from config.settings import PACKAGES, Settings, load_settings
from config.var_folder import make_var
from core.errors import StorageError
from core.storage_failure import REMEDY
from tasks.runs.local_requests import Application, LocalRequests, Message, Receive, Send
from tasks.runs.prefect_database import prepare_database

if TYPE_CHECKING:
    from filelock import FileLock

_logger = logging.getLogger("perennial.local_server")

PREFERRED_PORT = 4200
START_SECONDS = 120.0
AGAIN_SECONDS = 10.0
"""Time that a server has to take its lock; a busy host starts the interpreter slowly."""

LOOK_SECONDS = 0.5
HANG_SECONDS = 60.0
"""A server that was started before and has not answered for this long hangs."""

END_SECONDS = 15.0
FULL_BYTES = 2**20
"""Free space below which the server, with its lock, log and database, cannot start."""

MODULE = "tasks.runs.local_server"
STARTER = "PERENNIAL_SERVER_STARTER"
"""Environment variable of the server with the command that starts it: process id and start time."""


@dataclass(frozen=True)
class LocalServer:
    """A running server: its process and its address."""

    pid: int
    port: int

    @property
    def url(self) -> str:
        """Address of the user interface."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def api_url(self) -> str:
        """Address for ``PREFECT_API_URL``."""
        return f"{self.url}/api"


def prefect_environment(settings: Settings) -> dict[str, str]:
    """Return the environment of a local run: Prefect's home in ``var``, no telemetry, JSON results, our console."""
    return {
        "PREFECT_HOME": str(prefect_home(settings)),
        "DO_NOT_TRACK": "1",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        # A deleted flow run leaves its artifacts, which the server looks for once a day.
        "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "events,orphans",
        "PREFECT_RESULTS_DEFAULT_SERIALIZER": "json",
        "PREFECT_LOGGING_EXTRA_LOGGERS": "perennial",
        "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
        "PREFECT_LOGGING_SETTINGS_PATH": str(Path(__file__).with_name("prefect_logging.yml")),
        "PREFECT_CLIENT_METRICS_ENABLED": "false",
    }


def prefect_home(settings: Settings) -> Path:
    """Return the folder of Prefect's database and of the local server, which belongs to one user."""
    return own_folder(settings.var, "prefect")


def running_server(settings: Settings) -> LocalServer | None:
    """Return the project's server if it answers, else None."""
    server = _recorded_server(settings)
    return server if server is not None and _answers(server) else None


def _recorded_server(settings: Settings) -> LocalServer | None:
    """Return the server that the state file names, whether or not it answers or runs."""
    try:
        return LocalServer(**json.loads(_state_file(settings).read_text()))
    except (OSError, ValueError, TypeError):
        return None


def start_server(settings: Settings) -> None:
    """Start the server in the background unless it runs; do not wait for it.

    Two concurrent commands start two processes; the process that finds the lock held ends immediately. If this command
    ends before the server answers, the server ends too.
    """
    if running_server(settings):
        return
    make_var(settings)
    log = settings.var / "log" / "prefect-server.log"
    environment = {**os.environ, **prefect_environment(settings), "PERENNIAL_ROOT": str(settings.root)}
    environment |= {"PERENNIAL_VAR": str(settings.var), "PYTHONPATH": str(PACKAGES), STARTER: _this_process()}
    # With PYTHONDONTWRITEBYTECODE, every start would compile Prefect's server again.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    with append_privately(log) as output:
        start_in_background([sys.executable, "-m", MODULE], environment, output, settings.root)


def await_server(settings: Settings, seconds: float = START_SECONDS) -> LocalServer:
    """Wait until the project's server answers.

    Raises
    ------
    StorageError
        It did not answer in time; the message names its log. Or the disk is full, so that it could not even write that.
    """
    deadline, again = time.monotonic() + seconds, time.monotonic() + AGAIN_SECONDS
    hangs_at = time.monotonic() + HANG_SECONDS
    while time.monotonic() < deadline:
        if server := running_server(settings):
            return server
        _check_disk(settings)
        if time.monotonic() > again:
            again = time.monotonic() + AGAIN_SECONDS
            if time.monotonic() > hangs_at and stop_server(settings):
                _logger.warning("the local Prefect server did not answer for %.0f s; restarting it", HANG_SECONDS)
            if not _is_starting(settings):
                # The command that was starting it has ended, and the server with it.
                start_server(settings)
                deadline = time.monotonic() + seconds
        time.sleep(0.05)
    raise StorageError(
        f"the local Prefect server did not answer within {seconds:.0f} s; "
        f"read its log {settings.var / 'log' / 'prefect-server.log'}, or set PREFECT_API_URL to another server"
    )


def _check_disk(settings: Settings) -> None:
    folder = settings.var if settings.var.is_dir() else settings.root
    if shutil.disk_usage(folder).free < FULL_BYTES:
        raise StorageError(f"the disk of {settings.var} is full, so the local Prefect server cannot start. {REMEDY}")


def await_platform(settings: Settings, seconds: float = START_SECONDS) -> None:
    """Wait while the project's platform is starting or stopping, because its server uses the same database."""
    deadline = time.monotonic() + seconds
    while (platform := read_platform(settings.var)) is not None and not platform.ready and time.monotonic() < deadline:
        time.sleep(0.1)


def stop_server(settings: Settings) -> bool:
    """Stop the project's server, also one that hangs; return False if none runs."""
    server = _recorded_server(settings)
    if server is None:
        return False
    import psutil

    try:
        process = psutil.Process(server.pid)
        if MODULE not in process.cmdline():  # the server ended, and another process has its id
            return False
        process.terminate()
        process.wait(timeout=END_SECONDS)
    except psutil.TimeoutExpired:
        process.kill()
        with suppress(psutil.Error):
            process.wait(timeout=END_SECONDS)
        # Otherwise the next server, which takes the same port, would answer for it before it is recorded.
        _state_file(settings).unlink(missing_ok=True)
    except psutil.Error:
        return False
    return True


def start_environment(settings: Settings) -> dict[str, str]:
    """Return the environment with which the server starts without what a local run does not need.

    Prefect's database is made if there is none; one with the newest tables is not looked through for migrations.
    """
    # The types of Prefect's blocks take a second of the first start. A client that saves a block registers its type.
    found = {"PREFECT_SERVER_REGISTER_BLOCKS_ON_START": "false"}
    if prepare_database(prefect_home(settings)):
        found["PREFECT_SERVER_DATABASE_MIGRATE_ON_START"] = "false"
    return found


def serve(settings: Settings) -> None:
    """Run the server in this process until it has been idle for the configured time."""
    from filelock import Timeout

    lock, is_published = _lock(settings), threading.Event()
    try:
        lock.acquire()
    except Timeout:
        return
    threading.Thread(target=_end_with_starter, args=(is_published,), daemon=True).start()
    for name, value in start_environment(settings).items():
        os.environ.setdefault(name, value)
    import uvicorn
    from prefect.server.api.server import create_app

    app = _ActivityRecorder(LocalRequests(create_app(final=True)))
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="on"))
    listener = _bind()
    # Prefect's page calls the API at this address, which is known only now.
    threading.Thread(target=_publish, args=(settings, server, listener, is_published), daemon=True).start()
    threading.Thread(target=_end_when_idle, args=(server, app, settings), daemon=True).start()
    try:
        server.run(sockets=[listener])
    finally:
        _state_file(settings).unlink(missing_ok=True)
        lock.release()


class _ActivityRecorder:
    """ASGI wrapper that records the end of the last request and the number of open requests."""

    def __init__(self, app: Application) -> None:
        self._app = app
        self._in_flight = 0
        self._last = time.monotonic()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        self._in_flight += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._in_flight -= 1
            self._last = time.monotonic()

    def begin(self) -> None:
        """Start to count idle time."""
        self._last = time.monotonic()

    def idle_seconds(self) -> float:
        """Return the seconds since the last answer; 0 during a request."""
        # The lifespan call is open for as long as the server runs.
        return 0.0 if self._in_flight > 1 else time.monotonic() - self._last


def _end_when_idle(server: Any, app: _ActivityRecorder, settings: Settings) -> None:
    while not server.started:
        time.sleep(0.05)
    app.begin()
    while app.idle_seconds() < settings.server_idle_minutes * 60:
        time.sleep(1.0)
    server.should_exit = True


def _publish(settings: Settings, server: Any, listener: socket.socket, is_published: threading.Event) -> None:
    while not server.started:
        time.sleep(0.02)
    state = _state_file(settings)
    temporary = state.with_suffix(f".{os.getpid()}")
    temporary.write_text(json.dumps(asdict(LocalServer(os.getpid(), listener.getsockname()[1]))))
    temporary.replace(state)
    is_published.set()


def _lock(settings: Settings) -> FileLock:
    from filelock import FileLock

    # The lock would create the folder with the umask, which lets a group that shares the project write.
    make_private_folder(prefect_home(settings))
    return FileLock(prefect_home(settings) / "server.lock", timeout=0)


def _is_starting(settings: Settings) -> bool:
    """Return whether a process holds the server's lock."""
    from filelock import Timeout

    try:
        with _lock(settings):
            return False
    except Timeout:
        return True


def _this_process() -> str:
    import psutil

    return f"{os.getpid()} {psutil.Process().create_time()}"


def _end_with_starter(is_published: threading.Event) -> None:
    """End this process if the command that starts it ends before the server answers: no other command knows of it."""
    starter = os.environ.get(STARTER, "")
    while not is_published.wait(LOOK_SECONDS):
        if starter and not _lives(starter):
            os.kill(os.getpid(), signal.SIGTERM)
            return


def _lives(process: str) -> bool:
    import psutil

    pid, created = process.split()
    try:
        found = psutil.Process(int(pid))
        return abs(found.create_time() - float(created)) < 1 and found.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _bind() -> socket.socket:
    """Bind Prefect's usual port if it is free, else any port; loopback only."""
    for port in (PREFERRED_PORT, 0):
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
            # Listen immediately: two servers that start together can both bind the port, but only one can listen.
            listener.listen(2048)
        except OSError:
            listener.close()
            continue
        return listener
    raise StorageError(
        "no port is free on 127.0.0.1 for the local Prefect server; end other servers, or set PREFECT_API_URL"
    )


def _answers(server: LocalServer) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
    try:
        connection.request("GET", "/api/health")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _state_file(settings: Settings) -> Path:
    return prefect_home(settings) / "server.json"


if __name__ == "__main__":
    serve(load_settings())
