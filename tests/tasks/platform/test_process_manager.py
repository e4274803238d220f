"""What supervisord is told."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

from config.platform import PlatformState
from config.settings import PlatformSettings, Settings
from tasks.platform.process_manager import MAX_SOCKET_PATH, configuration, socket_path

NAMES = ["prefect", "mlflow", "serve", "relay", "worker"]


def _state(**changes: Any) -> PlatformState:
    given = {
        "id": "0" * 32,
        "socket": "/tmp/s",  # noqa: S108 - never made
        "pool": "perennial",
        "runs_at_once": 2,
        "serving_port": 3,
        "prefect_port": 1,
        "mlflow_port": 2,
        "prefect_api_url": "http://127.0.0.1:1/api",
        "mlflow_uri": "http://127.0.0.1:2",
        "mlflow_store": "postgresql://ada:secret@db/x",
        "database_url": "postgresql://ada:secret@db/x",
    }
    return PlatformState.model_validate({**given, **changes})


def test_the_configuration_holds_no_secret_and_no_open_percent(tmp_path: Path) -> None:
    """What looks like %(name)s is replaced by supervisord, and its file is for everybody to read."""
    folder = tmp_path / "100%(x)s"
    written = configuration(_state(), Settings(root=folder, var=folder / "var"), PlatformSettings())
    assert "secret" not in written
    assert "100%%(x)s" in written
    assert [line for line in written.splitlines() if line.startswith("[program:")] == [f"[program:{n}]" for n in NAMES]


def test_what_runs_elsewhere_is_not_started_here(tmp_path: Path) -> None:
    """Somebody's Prefect and MLflow servers leave the worker, the relay and the service."""
    state = _state(prefect_port=None, mlflow_port=None)
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
