"""Restart the platform's processes that hang: they run, and show no sign of life before their deadline.

The process manager restarts what ends, so a process that hangs is ended. It runs as a thread of the process manager.
"""

from __future__ import annotations

import logging
import os
import signal
import time
from contextlib import suppress
from logging.handlers import RotatingFileHandler
from pathlib import Path

from config.platform import PlatformState, last_platform
from config.settings import PlatformSettings, Settings
from core.errors import StorageError
from core.operate.patience import Health, Patience, PatientClock
from tasks.platform.process_manager import Process, Supervisor, log_file
from tasks.platform.processes import Service, health, is_suspended, services

_logger = logging.getLogger("perennial.watchdog")

ROUND_SECONDS = 5.0
MAX_STEP_SECONDS = 30.0
REQUEST_SECONDS = 10.0
"""Time limit of a health request, longer than that of a status: a busy process is not one that hangs."""

NEEDS_PREFECT = ("relay", "worker")
LEAVES_CHILDREN = ("serve", "worker")
"""Processes whose children outlive them: workers of the service finish their requests, and flow runs go on."""


class Watchdog:
    """Looks after the processes of a platform.

    Parameters
    ----------
    state, settings
        The platform and its project.
    hang_seconds
        See :class:`core.operate.patience.Patience`.
    clock
        Counts the time in which the processes could show a sign of life.
    """

    def __init__(
        self, state: PlatformState, settings: Settings, hang_seconds: float, clock: PatientClock | None = None
    ) -> None:
        self._state = state
        self._settings = settings
        self._hang_seconds = hang_seconds
        self._clock = clock or PatientClock(MAX_STEP_SECONDS)
        self._patience: dict[str, Patience] = {}

    def round(self) -> list[str]:
        """Look at every process once; return the names of those that were restarted.

        Raises
        ------
        StorageError
            The process manager does not respond.
        """
        present = last_platform(self._settings.var)
        if present is None or present.id != self._state.id or not present.ready:
            # While the platform starts or stops, the command that does so looks after the processes.
            return []
        processes, now = Supervisor(self._state.socket).processes(), self._clock.read()
        found = {one.name: self._health(one, processes[one.name]) for one in services(self._state) if processes}
        if found.get("prefect", "healthy") != "healthy":
            found |= dict.fromkeys(NEEDS_PREFECT, "unknown")
        return [name for name in found if self._judge(processes[name], found[name], now)]

    def _health(self, service: Service, process: Process) -> Health:
        if not process.is_alive or is_suspended(process.pid):
            return "unresponsive"
        return health(service, self._state, process.started, self._settings, REQUEST_SECONDS)

    def _judge(self, process: Process, found: Health, now: float) -> bool:
        pid = process.pid if process.is_alive else 0
        if process.name not in self._patience:
            # The platform is ready, so each process has been healthy, also one that hangs at the first look.
            self._patience[process.name] = Patience(self._hang_seconds)
            self._patience[process.name].look(pid, "healthy", now)
        patience = self._patience[process.name]
        if not patience.look(pid, found, now):
            return False
        _logger.warning(
            "%s (process %d) showed no sign of life for %.0f s; restarting it. See %s",
            process.name,
            pid,
            patience.deadline,
            log_file(self._settings, process.name),
        )
        patience.note_restart()
        end_process(process.name, pid)
        return True


def end_process(name: str, pid: int) -> None:
    """Kill a process and, unless they outlive it, its children, which would keep its port."""
    with suppress(ProcessLookupError):
        is_leader = os.getpgid(pid) == pid
        if is_leader and name not in LEAVES_CHILDREN:
            os.killpg(pid, signal.SIGKILL)
        else:
            os.kill(pid, signal.SIGKILL)


def watch_over(state: PlatformState, settings: Settings, platform: PlatformSettings) -> None:
    """Look after the processes for as long as this process runs."""
    # The process manager closes all files when it starts, and opens its socket afterwards.
    while not Path(state.socket).exists():
        time.sleep(ROUND_SECONDS / 10)
    _write_log(settings, platform)
    watchdog = Watchdog(state, settings, platform.hang_seconds)
    while True:
        time.sleep(ROUND_SECONDS)
        try:
            watchdog.round()
        except StorageError as error:
            _logger.warning("%s", error)
        except Exception:
            # The edge of a thread that must not end: otherwise nothing would notice the next process that hangs.
            _logger.exception("the processes could not be examined; retrying")


def _write_log(settings: Settings, platform: PlatformSettings) -> None:
    handler = RotatingFileHandler(
        log_file(settings, "watchdog"), maxBytes=int(platform.log_mb * 1024 * 1024), backupCount=platform.log_backups
    )
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    _logger.addHandler(handler)
    _logger.setLevel(logging.INFO)
