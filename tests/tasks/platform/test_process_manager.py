"""What supervisord is told."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from config.settings import PlatformSettings, Settings
from tasks.platform.process_manager import MAX_SOCKET_PATH, configuration, socket_path
from tests.platform_states import platform_state

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
