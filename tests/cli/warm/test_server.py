"""Commands in forks of a warm process: their output, signals, exit codes and ends are those of a new process."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from cli.warm.client import KILLED

ROOT = Path(__file__).resolve().parents[3]
SECONDS = 60

SERVER = """
import atexit, os, sys, threading, time
from cli.warm import server

def run_here(leaving):
    what = sys.argv[1]
    if what == "about":
        about = [sys.argv, dict(os.environ), os.getcwd(), os.getppid(), oct(os.umask(0o22)), os.isatty(1)]
        print(__import__("json").dumps(about))
        print("to standard error", file=sys.stderr)
        leaving.code = 3
    elif what == "read":
        print(sys.stdin.read().upper(), end="")
        leaving.code = 0
    elif what == "fail":
        raise ZeroDivisionError("on purpose")
    elif what == "exit":
        atexit.register(print, "the exit function ran")
        leaving.code = 7
    elif what == "wait":
        print("waiting", flush=True)
        try:
            time.sleep(60)
        except KeyboardInterrupt:
            print("interrupted")
            leaving.code = 130

server.run_here = run_here
server._import_libraries = lambda: print("imported", flush=True)
server.IDLE_SECONDS, server.LOOK_SECONDS = float(sys.argv[2]), 0.1
server.main()
"""

CLIENT = """
import os, sys
from cli.warm import client
from pathlib import Path
client.socket_path = lambda _: Path(os.environ["SOCKET"])
code = client.run_warm(sys.argv[1:], os.environ)
print("no warm process") if code is None else None
sys.exit(99 if code is None else code)
"""


@dataclass
class Warm:
    """A warm process with a socket, and the commands that are sent to it."""

    path: Path
    process: subprocess.Popen[str]
    environment: dict[str, str] = field(default_factory=dict)

    def start(self, *arguments: str, **more: str) -> subprocess.Popen[str]:
        """Start the process of a command."""
        return subprocess.Popen(
            [sys.executable, "-c", CLIENT, *arguments],
            env={**os.environ, "PYTHONPATH": str(ROOT), "SOCKET": str(self.path), **more},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str, given: str = "", **more: str) -> tuple[int, str, str]:
        """Run a command; return exit code, output and errors."""
        process = self.start(*arguments, **more)
        output, errors = process.communicate(given, timeout=SECONDS)
        return process.returncode, output, errors

    def waiting(self) -> tuple[subprocess.Popen[str], psutil.Process]:
        """Start a command that waits; return its process, and the fork that runs it."""
        process = self.start("wait")
        assert process.stdout is not None
        assert process.stdout.readline() == "waiting\n"
        (fork,) = psutil.Process(self.process.pid).children()
        return process, fork


@contextmanager
def _warm(folder: Path, idle: float = 600) -> Iterator[Warm]:
    path = folder / "warm.sock"
    process = subprocess.Popen(
        [sys.executable, "-c", SERVER, str(path), str(idle)],
        env={**os.environ, "PYTHONPATH": str(ROOT), "OF_THE_SERVER": "1"},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        _await(path.exists)
        yield Warm(path, process)
    finally:
        process.kill()
        process.communicate()


def _await(holds: object) -> None:
    until = time.monotonic() + SECONDS
    while not holds():  # type: ignore[operator] # a function
        assert time.monotonic() < until
        time.sleep(0.02)


@pytest.fixture(scope="module")
def warm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warm]:
    """Return a warm process that runs commands of the test in place of ours."""
    with _warm(tmp_path_factory.mktemp("warm")) as found:
        yield found


def test_a_fork_has_the_arguments_the_environment_and_the_streams_of_its_command(warm: Warm) -> None:
    """What the libraries of the warm process have set stays, and what the command has set counts."""
    code, output, errors = warm.run("about", "ä b", MINE="2")
    arguments, environment, folder, parent, umask, is_terminal = json.loads(output)
    assert (code, errors) == (3, "to standard error\n")
    assert arguments == ["perennial", "about", "ä b"]
    assert (environment["MINE"], environment["OF_THE_SERVER"]) == ("2", "1")
    assert (folder, parent, umask, is_terminal) == (str(Path.cwd()), warm.process.pid, oct(_umask()), False)


def _umask() -> int:
    present = os.umask(0o022)
    os.umask(present)
    return present


def test_a_fork_reads_the_input_of_its_command(warm: Warm) -> None:
    """Also what is piped into it."""
    assert warm.run("read", given="some rows\n") == (0, "SOME ROWS\n", "")


def test_a_fork_ends_as_a_process_does(warm: Warm) -> None:
    """Exit functions run before the exit code is told, and an error that is not caught has its trace and code 1."""
    assert warm.run("exit") == (7, "the exit function ran\n", "")
    code, _, errors = warm.run("fail")
    assert code == 1
    assert errors.rstrip().endswith("ZeroDivisionError: on purpose")


def test_commands_run_at_the_same_time(warm: Warm) -> None:
    """One that waits does not hold up another."""
    process, _ = warm.waiting()
    assert warm.run("read", given="x")[0] == 0
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=SECONDS)[0] == "interrupted\n"
    assert process.returncode == 130


def test_a_command_that_is_killed_ends_its_fork(warm: Warm) -> None:
    """No fork goes on alone; and a fork that is killed ends its command with the code of a killed process."""
    process, fork = warm.waiting()
    process.kill()
    process.communicate()
    fork.wait(SECONDS)
    process, fork = warm.waiting()
    fork.kill()
    process.communicate(timeout=SECONDS)
    assert process.returncode == KILLED


def test_terminated_and_stopped_commands_act_on_their_forks(warm: Warm) -> None:
    """A stopped command uses no processor until it goes on."""
    process, fork = warm.waiting()
    process.send_signal(signal.SIGTSTP)
    _await(lambda: fork.status() == psutil.STATUS_STOPPED)
    _await(lambda: psutil.Process(process.pid).status() == psutil.STATUS_STOPPED)
    process.send_signal(signal.SIGCONT)
    _await(lambda: fork.status() != psutil.STATUS_STOPPED)
    process.terminate()
    process.communicate(timeout=SECONDS)
    assert process.returncode == KILLED


def test_what_is_no_command_is_refused(warm: Warm) -> None:
    """Bytes without streams, or with a length of gigabytes, start no fork and end nothing."""
    for content in (b"", b"x", b"\xff" * 8, b"\0" * 100):
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(warm.path))
            connection.sendall(content)
            connection.shutdown(socket.SHUT_WR)
            with suppress(ConnectionResetError):  # it has not read everything
                assert connection.recv(8) == b""
    assert warm.run("read", given="x")[0] == 0


def test_a_killed_warm_process_leaves_nothing_in_the_way(tmp_path: Path) -> None:
    """The next command finds no process, removes the socket and runs by itself."""
    with _warm(tmp_path) as warm:
        warm.process.kill()
        warm.process.wait()
        assert warm.run("read") == (99, "no warm process\n", "")
        assert not warm.path.exists()


def test_an_idle_warm_process_ends(tmp_path: Path) -> None:
    """It takes its socket with it; a command that runs keeps it alive."""
    with _warm(tmp_path, idle=1.0) as warm:
        process, _ = warm.waiting()
        time.sleep(2)
        assert warm.process.poll() is None
        process.kill()
        process.communicate()
        assert warm.process.wait(SECONDS) == 0
        assert not warm.path.exists()


def test_a_warm_process_without_its_place_ends(tmp_path: Path) -> None:
    """Another one has the socket, which stays."""
    with _warm(tmp_path) as first:
        inode = first.path.stat().st_ino
        with _warm(tmp_path) as second:
            _await(lambda: second.path.stat().st_ino != inode)
            assert first.process.wait(SECONDS) == 0
            assert second.run("read", given="x") == (0, "X", "")


def test_a_process_with_threads_is_not_forked() -> None:
    """A fork would have locks that no thread of it releases."""
    code = "import sys; from cli.warm import server; server._import_libraries = start; sys.argv[1:] = ['/nowhere/x']"
    start = "import threading\ndef start():\n    threading.Thread(target=threading.Event().wait, daemon=True).start()\n"
    done = subprocess.run([sys.executable, "-c", f"{start}{code}; server.main()"], cwd=ROOT, check=False)
    assert done.returncode == 3
    assert threading.active_count() >= 1
