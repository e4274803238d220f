"""What supervisord is told."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
from pathlib import Path

import pytest

from config.settings import PlatformSettings, Settings
from core.errors import StorageError
from tasks.platform.process_manager import (
    MAX_SOCKET_PATH,
    Supervisor,
    configuration,
    left_over,
    marked_processes,
    socket_path,
    sweep,
)
from tasks.platform.processes import MARK
from tests.platform_states import platform_state
from tests.tasks.platform.platforms import await_true

NAMES = ["prefect", "mlflow", "serve", "relay", "worker"]


def test_the_configuration_holds_no_secret_and_no_open_percent(tmp_path: Path) -> None:
    """What looks like %(name)s is replaced by supervisord, and its file is for everybody to read."""
    folder = tmp_path / "100%(x)s"
    written = configuration(platform_state(), Settings(root=folder, var=folder / "var"), PlatformSettings())
    assert "secret" not in written
    assert "100%%(x)s" in written
    assert [line for line in written.splitlines() if line.startswith("[program:")] == [f"[program:{n}]" for n in NAMES]


def test_processes_create_nothing_that_others_can_read(tmp_path: Path) -> None:
    """They get the umask of the user that starts the platform, without a permission of others."""
    before = os.umask(0o002)
    try:
        written = configuration(platform_state(), Settings(root=tmp_path, var=tmp_path), PlatformSettings())
        assert os.umask(0o002) == 0o002
    finally:
        os.umask(before)
    assert "umask=007" in written.splitlines()


def test_what_runs_elsewhere_is_not_started_here(tmp_path: Path) -> None:
    """Somebody's Prefect and MLflow servers leave the worker, the relay and the service."""
    state = platform_state(prefect_port=None, mlflow_port=None)
    written = configuration(state, Settings(root=tmp_path, var=tmp_path), PlatformSettings())
    assert "[program:prefect]" not in written
    assert "[program:mlflow]" not in written
    assert "[program:worker]" in written


def test_the_socket_has_a_path_the_kernel_takes(tmp_path: Path) -> None:
    """A project deep in the tree has its socket in a short folder for its owner alone."""
    assert socket_path(Path("/srv/p/var/supervisor")) == "/srv/p/var/supervisor/supervisor.sock"
    short = Path(socket_path(tmp_path / ("deep" * 30)))
    assert len(str(short)) <= MAX_SOCKET_PATH
    assert stat.S_IMODE(short.parent.stat().st_mode) == 0o700
    short.parent.rmdir()


def test_a_process_manager_that_hangs_is_no_wait_for_ever(tmp_path: Path) -> None:
    """It takes the connection and says nothing; the command says so after its time limit."""
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(path)
        silent.listen()
        for ask in (lambda: Supervisor(path, 0.2).processes(), lambda: Supervisor(path, 0.2).shut_down()):
            with pytest.raises(StorageError, match="does not respond"):
                ask()
        assert not Supervisor(path, 0.2).answers()


def test_what_a_platform_left_is_found_without_its_state_file(tmp_path: Path) -> None:
    """By the environment of its processes; those of the platform that runs and of other projects are left alone."""
    told = [("old", "here"), ("old", "here"), ("new", "here"), ("other", "elsewhere")]
    started = [
        subprocess.Popen(["sleep", "60"], env=os.environ | {MARK: mark, "PERENNIAL_VAR": str(tmp_path / var)})
        for mark, var in told
    ]
    try:
        await_true(lambda: len(marked_processes("old")) == 2)
        found = left_over(tmp_path / "here", present="new")
        assert {mark: sorted(pids) for mark, pids in found.items()} == {"old": sorted(p.pid for p in started[:2])}
        started[0].send_signal(signal.SIGSTOP)
        assert sweep("old", seconds=0.5) == 2
        assert [process.poll() is None for process in started] == [False, False, True, True]
    finally:
        for process in started:
            process.kill()
            process.wait(120)
