"""Start the workers on one port, restart workers that end, and follow the champions in a thread."""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from config.platform import service_beat
from config.settings import PACKAGES, HookSettings, ServingSettings, Settings
from config.var_folder import make_var
from core.errors import ConfigError, StorageError
from core.operate.patience import PatientClock
from serving.instance.folder import METRICS_VARIABLE, make_instance
from serving.processes.following import Following, Pulse
from serving.processes.liveness import Vigil
from serving.release.copies import IN_PROGRESS, copies_pair

if TYPE_CHECKING:
    from serving.telemetry.metrics import Metrics

_logger = logging.getLogger("perennial.supervisor")

POLL_SECONDS = 0.1
MAX_STEP_SECONDS = 1.0
BEAT_SECONDS = 1.0

QUICK_SECONDS = 5.0
MAX_PAUSE_SECONDS = 10.0
"""Maximum pause between two starts of a worker that ends within ``QUICK_SECONDS`` or before it serves."""

SHADOW = "serving.processes.shadow"
"""Module of the process that answers copies of requests for a version in the shadow."""

SHADOW_END_SECONDS = 2.0
BIND_SECONDS = 5.0
MAX_SIGNS_BYTES = 65536

# Environment variables that a worker inherits. Its settings come on standard input; it must not have the credentials of
# the registry and the artifact store.
PASSED_ON = (
    "HOME",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "LD_LIBRARY_PATH",
    "PATH",
    "PYTHONPATH",
    "SYSTEMROOT",
    "TMPDIR",
    "TZ",
)
PASSED_ON_PREFIXES = ("PG", "SSL_CERT", "OMP_", "OPENBLAS", "MKL_")


@dataclass
class Worker:
    """A place for a worker or the shadow, its present process, and the pipe by which that shows that it lives."""

    module: str = "serving.processes.worker"

    vigil: Vigil = field(default_factory=Vigil)
    process: subprocess.Popen[bytes] | None = None
    signs: int = -1
    started: float = 0.0
    pause: float = 0.0
    start_at: float = 0.0
    is_slow: bool = False
    is_killed: bool = False


class Supervisor:
    """Runs the service until it is stopped.

    Parameters
    ----------
    settings, serving
        Settings of the project and of the service.
    fetch
        Command that fetches bundles, see :class:`serving.processes.follower.Fetch`.
    hooks
        Keys of the webhook senders.
    """

    def __init__(self, settings: Settings, serving: ServingSettings, fetch: Sequence[str], hooks: HookSettings) -> None:
        self._settings = settings
        self._serving = serving
        self._hooks = hooks
        self._fetch = fetch
        self._stop_requested = False
        self._metrics: Metrics | None = None
        self._beat_at = 0.0
        self._clock = PatientClock(MAX_STEP_SECONDS)
        self._shadow = Worker(module=SHADOW)
        self._copies: tuple[socket.socket, ...] = ()
        self._state_stamp: tuple[int, int] | None = None
        self._has_shadow = False

    def run(self) -> None:
        """Serve.

        Raises
        ------
        ConfigError
            The service cannot listen on the address, or it would be unprotected.
        StorageError
            The service's folder cannot be written.
        """
        home = self._settings.var / "serving"
        make_var(self._settings)
        self._check_access(home)
        sender, reader = copies_pair()
        with sender, reader, bound(self._serving) as listening:
            self._copies = sender, reader
            port = listening.getsockname()[1]
            instance = make_instance(home, port)
            self._serve(listening, instance, home / "bundles")

    def _check_access(self, home: Path) -> None:
        from serving.access.access import refuse_unprotected

        refuse_unprotected(self._serving, has_keys=not self._serving.is_open and self._has_keys(home))

    def _has_keys(self, home: Path) -> bool:
        from serving.instance.state import read_state
        from store.api_keys import api_keys
        from store.database import open_database

        now = datetime.now(UTC)
        try:
            keys = api_keys(open_database(self._settings.database_url))
        except StorageError:
            # The database is unavailable at start: use the keys of the last state.
            state = read_state(home / str(self._serving.port))
            keys = list(state.keys) if state else []
        return any(key.revoked_at is None and (key.expires_at is None or key.expires_at > now) for key in keys)

    def _serve(self, listening: socket.socket, instance: Path, bundles: Path) -> None:
        from serving.telemetry.metrics import Metrics

        self._metrics = Metrics()
        for sort in (signal.SIGTERM, signal.SIGINT):
            signal.signal(sort, self._end)
        following = Following(partial(self._follow, instance, bundles))
        workers = [Worker() for _ in range(self._serving.workers)]
        # Of a service that was killed as a whole: the version is not to blame.
        (instance / IN_PROGRESS).unlink(missing_ok=True)
        beat = service_beat(self._settings.var, listening.getsockname()[1])
        environment = _environment() | {METRICS_VARIABLE: os.environ[METRICS_VARIABLE]}
        _logger.info("%s", self._about(listening))
        try:
            while not self._stop_requested:
                now = self._clock.read()
                self._beat(beat, now)
                following.keep(now)
                for worker in workers:
                    self._keep_alive(worker, now, listening, instance, environment)
                self._keep_shadow(now, listening, instance, environment)
                time.sleep(POLL_SECONDS)
        finally:
            following.end()
            self._end_all(workers)
            self._end_shadow()
        _logger.info("the service has stopped")

    def _beat(self, path: Path, now: float) -> None:
        if now < self._beat_at:
            return
        self._beat_at = now + BEAT_SECONDS
        with suppress(OSError):  # on a disk that cannot be written, the service goes on without the heartbeat
            path.touch()

    def _about(self, listening: socket.socket) -> str:
        host, port = listening.getsockname()[:2]
        shown = f"[{host}]" if ":" in host else host
        count = f"{self._serving.workers} worker{'s' if self._serving.workers > 1 else ''}"
        access = "open to this machine" if self._serving.is_open else "keys and tokens"
        senders = sorted({f"{key.sender} ({key.convention})" for key in self._hooks.keys})
        about = f"log: {self._serving.log}; access: {access}; webhook senders: {', '.join(senders) or 'none'}"
        return f"listening on http://{shown}:{port} with {count}; {about}"

    def _follow(self, instance: Path, bundles: Path, pulse: Pulse) -> None:
        from serving.processes.follower import Fetch, Follower

        metrics = self._metrics
        assert metrics is not None  # noqa: S101 - created before the thread starts
        Follower(
            self._settings,
            self._serving,
            instance,
            bundles,
            Fetch(self._fetch, pulse.beat),
            failed=lambda model, kind: metrics.bundle_failures.labels(model, kind).inc(),
            pulse=pulse,
        ).run()

    def _keep_alive(
        self, worker: Worker, now: float, listening: socket.socket, instance: Path, environment: dict[str, str]
    ) -> None:
        if worker.process is not None:
            if worker.process.poll() is None:
                _watch(worker, worker.process, now)
                return
            self._note_end(worker, now)
        if now >= worker.start_at:
            worker.vigil.begin(now)
            worker.process = self._start(worker, listening, instance, environment)
            worker.started, worker.is_killed = now, False

    def _keep_shadow(self, now: float, listening: socket.socket, instance: Path, environment: dict[str, str]) -> None:
        """Run the process of the shadow while a release is in it; it ends by itself."""
        shadow = self._shadow
        if self._wants_shadow(instance) or (shadow.process is not None and shadow.process.poll() is None):
            self._keep_alive(shadow, now, listening, instance, environment)
        elif shadow.process is not None:
            self._forget(shadow)
            shadow.pause = shadow.start_at = 0.0

    def _end_shadow(self) -> None:
        process = self._shadow.process
        if process is None:
            return
        process.terminate()
        try:
            process.wait(SHADOW_END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _wants_shadow(self, instance: Path) -> bool:
        from serving.instance.state import read_state, state_stamp

        stamp = state_stamp(instance)
        if stamp != self._state_stamp:
            with suppress(StorageError):  # the follower writes another one
                state = read_state(instance)
                releases = [model.release for model in state.models if model.release] if state else []
                self._has_shadow = any(release.stage == "shadow" for release in releases)
            self._state_stamp = stamp
        return self._has_shadow

    def _forget(self, worker: Worker) -> subprocess.Popen[bytes]:
        from serving.telemetry.metrics import forget_process

        process, worker.process = worker.process, None
        os.close(worker.signs)
        assert process is not None  # noqa: S101 - it has just ended
        forget_process(process.pid)
        return process

    def _note_end(self, worker: Worker, now: float) -> None:
        process = self._forget(worker)
        assert self._metrics is not None  # noqa: S101 - created before the first worker starts
        if worker.module != SHADOW:
            self._metrics.restarts.inc()
        quick = now - worker.started < QUICK_SECONDS or not worker.vigil.is_serving
        worker.pause = min(MAX_PAUSE_SECONDS, max(0.1, 2 * worker.pause)) if quick else 0.0
        worker.start_at = now + worker.pause
        if not worker.is_killed:  # otherwise that was logged
            _logger.warning("worker %d ended (%s); restarting it", process.pid, process.returncode)

    def _start(
        self, worker: Worker, listening: socket.socket, instance: Path, environment: dict[str, str]
    ) -> subprocess.Popen[bytes]:
        # Heartbeats come by a pipe, which works also where no file can be written.
        worker.signs, signs = os.pipe()
        os.set_blocking(worker.signs, False)
        copies = self._copies[worker.module == SHADOW].fileno()
        inherited = (copies,) if worker.module == SHADOW else (copies, listening.fileno())
        process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            (sys.executable, "-m", "serving.processes.start", worker.module, str(signs)),
            stdin=subprocess.PIPE,
            pass_fds=(*inherited, signs),
            cwd=PACKAGES,
            env=environment,
        )
        os.close(signs)
        assignment = {
            "settings": self._serving.model_dump(mode="json"),
            "database_url": self._settings.database_url,
            "instance": str(instance),
            "socket": listening.fileno(),
            "signs": signs,
            "mlflow_uri": self._settings.mlflow_uri,
            "root": str(self._settings.root),
            "hooks": {} if worker.module == SHADOW else self._hooks.to_dict(),
            "copies": copies,
        }
        assert process.stdin is not None  # noqa: S101 - stdin is a pipe
        try:
            # The pipe stays open: when it closes, the worker knows that its supervisor has ended.
            process.stdin.write(json.dumps(assignment).encode() + b"\n")
            process.stdin.flush()
        except BrokenPipeError:  # it has already ended; the next round restarts it
            _logger.warning("worker %d ended during start", process.pid)
        return process

    def _end(self, _signal: int, _frame: FrameType | None) -> None:
        # A flag instead of the event: this may run while the main thread holds the event's lock.
        self._stop_requested = True

    def _end_all(self, workers: Sequence[Worker]) -> None:
        running = [worker.process for worker in workers if worker.process is not None]
        for process in running:
            process.terminate()
        deadline = time.monotonic() + self._serving.drain_seconds + 2 * self._serving.grace_seconds + 5
        for process in running:
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                _logger.warning("worker %d did not end in time; killing it", process.pid)
                process.kill()
                process.wait()


def serve(settings: Settings, serving: ServingSettings, fetch: Sequence[str], hooks: HookSettings) -> None:
    """Run the prediction service until SIGTERM or Ctrl-C; see :class:`Supervisor`."""
    from serving.telemetry.logs import configure_logging

    style = serving.log_format or ("text" if sys.stdout.isatty() else "json")
    serving = serving.model_copy(update={"log_format": style})
    configure_logging(style)
    Supervisor(settings, serving, fetch, hooks).run()


def bound(serving: ServingSettings) -> socket.socket:
    """Return a socket bound to the service's address; the workers listen on it.

    Raises
    ------
    ConfigError
        The address is in use, or does not belong to this machine.
    """
    deadline = time.monotonic() + BIND_SECONDS
    while True:
        try:
            return _opened(serving)
        except OSError as error:
            # Workers of a killed supervisor keep the port until they have drained.
            if time.monotonic() > deadline:
                raise ConfigError(
                    f"cannot listen on {serving.host} port {serving.port}: {error}; choose another --port"
                ) from error
        time.sleep(0.2)


def _opened(serving: ServingSettings) -> socket.socket:
    found = socket.getaddrinfo(serving.host, serving.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, kind, protocol, _, address = found[0]
    opened = socket.socket(family, kind, protocol)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind(address)
    except OSError:
        opened.close()
        raise
    opened.set_inheritable(True)
    return opened


def _watch(worker: Worker, process: subprocess.Popen[bytes], now: float) -> None:
    """End a worker that hangs. What is wrong is logged once, however long the worker takes to end or to start."""
    if worker.is_killed:
        return
    vigil = worker.vigil
    with suppress(BlockingIOError):  # it has said nothing since the last round
        vigil.hear(os.read(worker.signs, MAX_SIGNS_BYTES), now)
    state = vigil.state(now)
    if state == "hung":
        worker.is_killed = True
        _logger.warning("%s; restarting it", _complaint(vigil, process.pid))
        if not vigil.is_serving:
            vigil.lengthen()
        process.kill()
    elif state == "slow" and not worker.is_slow:
        worker.is_slow = True
        _logger.warning(
            "worker %d has been starting for %.0f s (%s): this host is busy, or its disk is slow; waiting for it",
            process.pid,
            now - worker.started,
            vigil.stage,
        )
    elif state == "serving" and worker.is_slow:
        worker.is_slow = False
        _logger.info("worker %d has started after %.0f s", process.pid, now - worker.started)


def _complaint(vigil: Vigil, pid: int) -> str:
    if vigil.is_serving:
        return f"worker {pid} is unresponsive"
    return f"worker {pid} has not started: no progress within its deadline of {vigil.deadline:.0f} s ({vigil.stage})"


def _environment() -> dict[str, str]:
    passed_on = {
        name: value
        for name, value in os.environ.items()
        if name in PASSED_ON or name.startswith(PASSED_ON_PREFIXES) or name.lower().endswith("_proxy")
    }
    # Each worker computes many small answers: library threads would only compete with the other workers.
    return {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", **passed_on}
