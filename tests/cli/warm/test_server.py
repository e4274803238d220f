"""The command ``perennial`` with a warm process."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from config.settings import Settings
from tests.factories import add_credit_model, credit_rows

ROOT = Path(__file__).resolve().parents[3]
COMMAND = [sys.executable, "-m", "cli"]
SECONDS = 300


@pytest.fixture
def environment(project: Settings, short_path: Path) -> Iterator[dict[str, str]]:
    """Return the variables of commands in a project; at the end no process is left."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "PERENNIAL_"))},
        "PERENNIAL_ROOT": str(project.root),
        "PERENNIAL_FOLLOW_UP": "later",
        "XDG_RUNTIME_DIR": str(short_path),
        "PERENNIAL_WARM": "1",
        "PYTHONPATH": str(ROOT),
        "LC_ALL": "C.UTF-8",
    }
    yield environment
    for one in _servers(short_path):
        one.terminate()
    subprocess.run([*COMMAND, "server", "stop"], env=environment, cwd=ROOT, check=False)


def _servers(folder: Path) -> list[psutil.Process]:
    found = psutil.process_iter(["cmdline"])
    return [one for one in found if any(word.startswith(str(folder)) for word in one.info["cmdline"] or [])]


def _run(environment: dict[str, str], *words: str, **more: str) -> tuple[int, str, str]:
    done = subprocess.run(
        [*COMMAND, *words], env=environment | more, cwd=ROOT, check=False, capture_output=True, text=True
    )
    return done.returncode, done.stdout, done.stderr


def _shown(environment: dict[str, str], *words: str) -> tuple[int, bytes]:
    """Run a command in a terminal; return its exit code and everything that it shows."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(ROOT)
        os.execve(sys.executable, [*COMMAND, *words], environment)  # noqa: S606 - our own interpreter
    shown = b""
    while True:
        try:
            shown += (part := os.read(terminal, 4096))
        except OSError:
            part = b""
        if not part:
            break
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), shown


@pytest.mark.e2e
@pytest.mark.timeout(1800)
def test_a_command_in_a_fork_is_one_in_a_process(
    project: Settings, environment: dict[str, str], short_path: Path
) -> None:
    """A training starts the warm process; later commands run in it, with the same output, terminal and exit codes.

    It imports all libraries and trains twice.
    """
    add_credit_model(project, credit_rows(400))
    assert _run(environment, "train", "credit")[0] == 0
    until = time.monotonic() + SECONDS
    while not list(short_path.glob("*/*.sock")):
        assert time.monotonic() < until
        time.sleep(0.1)
    [server] = _servers(short_path)
    n_forks = _forks(server)
    same = [("train", "credit", "--json"), ("models", "--json"), ("models",), ("train", "nothing"), ("train", "-x")]
    for words in same:
        assert _run(environment, *words) == _run(environment, *words, PERENNIAL_WARM="0"), words
        assert _shown(environment, *words) == _shown(environment | {"PERENNIAL_WARM": "0"}, *words), words
    code, _, errors = _run(environment, "train", "credit", "--set", "training.params.max_iter=11")
    assert code in (0, 3), errors
    assert "version 2" in errors
    assert _forks(server) > n_forks
    assert len(_servers(short_path)) == 1


def _forks(server: psutil.Process) -> float:
    """Return the processor seconds of forks that have ended."""
    return float(server.cpu_times().children_user)
