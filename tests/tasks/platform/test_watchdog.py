"""Which processes of the platform the watchdog restarts."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import psutil
import pytest

from config.platform import PlatformState, service_beat, write_platform
from config.settings import Settings
from core.operate.patience import HANG_SECONDS, PatientClock
from tasks.platform import watchdog as module
from tasks.platform.process_manager import Process
from tasks.platform.processes import is_suspended
from tasks.platform.watchdog import Watchdog, end_process
from tasks.runs.heartbeat import beat_path
from tests.platform_states import platform_state
from tests.tasks.platform.answering import answering
from tests.tasks.platform.platforms import await_true

NAMES = ("prefect", "mlflow", "serve", "relay", "worker")


@dataclass
class Watched:
    """A platform of sleeping processes, whose servers are one that answers everything."""

    settings: Settings
    state: PlatformState
    processes: dict[str, subprocess.Popen[bytes]]
    seconds: list[float] = field(default_factory=lambda: [0.0])
    started: float = field(default_factory=lambda: time.time() - 1)

    def watchdog(self) -> Watchdog:
        """Return a watchdog whose clock stands still."""
        clock = PatientClock(1e9, lambda: self.seconds[0])
        return Watchdog(self.state, self.settings, HANG_SECONDS, clock)

    def described(self) -> dict[str, Process]:
        """Return what the process manager would say."""
        return {
            name: Process(name, "RUNNING" if one.poll() is None else "BACKOFF", one.pid, self.started)
            for name, one in self.processes.items()
        }

    def suspend(self, name: str) -> None:
        """Stop a process, and wait until it stands."""
        self.processes[name].send_signal(signal.SIGSTOP)
        await_true(lambda: is_suspended(self.processes[name].pid))

    def beat(self) -> None:
        """Let the relay and the service's supervisor show that they run."""
        for path in (beat_path(self.settings), service_beat(self.settings.var, self.state.serving_port)):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()

    def alive(self) -> set[str]:
        """Return the names of the processes that run."""
        time.sleep(0.1)
        return {name for name, one in self.processes.items() if one.poll() is None}


@pytest.fixture
def watched(project: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Watched]:
    """Return a platform that is ready."""
    with answering() as port:
        url = f"http://127.0.0.1:{port}/api"
        state = platform_state(prefect_port=port, mlflow_port=port, serving_port=port, prefect_api_url=url, ready=True)
        project.var.mkdir(exist_ok=True)
        write_platform(project.var, state)
        sleeping = {name: subprocess.Popen(["sleep", "300"], process_group=0) for name in NAMES}
        found = Watched(project, state, sleeping)
        found.beat()

        class Manager:
            def __init__(self, _socket: str) -> None:
                pass

            def processes(self) -> dict[str, Process]:
                return found.described()

        monkeypatch.setattr(module, "Supervisor", Manager)
        yield found
        for process in sleeping.values():
            process.kill()
            process.wait(120)


@pytest.mark.parametrize("name", NAMES)
def test_a_process_that_is_stopped_is_restarted(watched: Watched, name: str) -> None:
    """After its deadline, and none of the others; a stopped server takes no other process with it."""
    watchdog = watched.watchdog()
    assert watchdog.round() == []
    watched.suspend(name)
    watched.seconds[0] = HANG_SECONDS
    assert watchdog.round() == []
    watched.seconds[0] = HANG_SECONDS + 1
    assert watchdog.round() == [name]
    assert watched.alive() == set(NAMES) - {name}


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("relay", lambda watched: beat_path(watched.settings)),
        ("serve", lambda watched: service_beat(watched.settings.var, watched.state.serving_port)),
    ],
)
def test_a_process_without_heartbeat_is_restarted(
    watched: Watched, name: str, path: Callable[[Watched], os.PathLike[str]]
) -> None:
    """Also one that runs: its heartbeat file is old, although its port answers."""
    watchdog = watched.watchdog()
    watchdog.round()
    os.utime(path(watched), (1.0, 1.0))
    watchdog.round()
    watched.seconds[0] = HANG_SECONDS + 1
    assert watchdog.round() == [name]


def test_while_prefect_is_away_its_clients_are_left(watched: Watched) -> None:
    """Their heartbeats go there; to restart the worker would help nothing."""
    watchdog = watched.watchdog()
    watchdog.round()
    watched.processes["prefect"].kill()
    watched.processes["prefect"].wait(120)
    watched.suspend("worker")
    watched.seconds[0] = HANG_SECONDS - 1
    watchdog.round()
    watched.seconds[0] = 100 * HANG_SECONDS
    assert "worker" not in watchdog.round()
    assert "worker" in watched.alive()


def test_a_platform_that_starts_or_stops_is_left_to_the_command(watched: Watched) -> None:
    """It looks after the processes itself."""
    watchdog = watched.watchdog()
    watchdog.round()
    watched.suspend("relay")
    write_platform(watched.settings.var, watched.state.model_copy(update={"ready": False}))
    watched.seconds[0] = 100 * HANG_SECONDS
    assert watchdog.round() == []
    assert watched.alive() == set(NAMES)


_PARENT = "import subprocess, sys; p = subprocess.Popen(['sleep', '300']); print(p.pid, flush=True); p.wait()"


@pytest.mark.parametrize(("name", "survives"), [("mlflow", False), ("worker", True), ("serve", True)])
def test_children_that_finish_their_work_survive(name: str, survives: bool) -> None:
    """Flow runs go on, and workers of the service answer what they have; children of a server would keep its port."""
    command = [sys.executable, "-c", _PARENT]
    with subprocess.Popen(command, stdout=subprocess.PIPE, process_group=0) as parent:
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        end_process(name, parent.pid)
        assert parent.wait(120) == -signal.SIGKILL
        time.sleep(0.3)
        alive = child.is_running() and child.status() != psutil.STATUS_ZOMBIE
        assert alive == survives
        if alive:
            child.kill()
    end_process(name, parent.pid)  # it is gone: nothing happens
