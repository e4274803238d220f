"""The command ``perennial`` with a warm process."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from cli.warm.client import run_warm, start_warm
from cli.warm.place import socket_path
from config.settings import Settings
from tests.factories import add_credit_model, credit_rows

ROOT = Path(__file__).resolve().parents[3]


def test_without_a_warm_process_a_command_runs_by_itself(tmp_path: Path) -> None:
    """Nothing is waited for."""
    assert run_warm(["train", "credit"], {"XDG_RUNTIME_DIR": str(tmp_path)}) is None


def test_a_client_imports_little() -> None:
    """It must be faster than what it saves."""
    code = "import sys, cli.warm.client; print([m for m in ('pydantic', 'numpy', 'click') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True)
    assert done.stdout == "[]\n"


@pytest.mark.e2e
def test_a_training_in_a_fork_is_one_in_a_process(
    project: Settings, short_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A first command starts the warm process; the next ones run in it, with its outcome and its exit codes."""
    add_credit_model(project, credit_rows(400))
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "PERENNIAL_"))},
        "PERENNIAL_ROOT": str(project.root),
        "XDG_RUNTIME_DIR": str(short_path),
        "PERENNIAL_WARM": "1",
        "PYTHONPATH": str(ROOT),
    }
    command = [sys.executable, "-m", "cli", "train", "credit", "--json"]
    monkeypatch.chdir(ROOT)
    start_warm(environment)
    path = socket_path(environment)
    assert path is not None
    until = time.monotonic() + 300
    while not path.exists():
        assert time.monotonic() < until
        time.sleep(0.1)
    [server] = [one for one in psutil.process_iter(["cmdline"]) if str(path) in (one.info["cmdline"] or [])]
    try:
        first = subprocess.run(command, env=environment, cwd=ROOT, check=False, capture_output=True, text=True)
        assert first.returncode == 0, first.stderr
        assert '"version": 1' in first.stdout
        again = subprocess.run(command, env=environment, cwd=ROOT, check=False, capture_output=True, text=True)
        assert again.returncode == 0, again.stderr
        wrong = subprocess.run(
            [*command[:-2], "nothing"], env=environment, cwd=ROOT, check=False, capture_output=True, text=True
        )
        assert wrong.returncode == 2
        assert "nothing" in wrong.stderr
        assert server.is_running()
    finally:
        server.terminate()
        subprocess.run([sys.executable, "-m", "cli", "server", "stop"], env=environment, cwd=ROOT, check=True)
