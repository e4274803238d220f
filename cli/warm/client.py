"""Hand a command over to a warm process, and behave as the command would: its output, signals and exit code."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

from cli.warm.place import PACKAGES, socket_path
from config.background import start_in_background

CONNECT_SECONDS = 1.0
FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGWINCH)
KILLED = 128 + signal.SIGKILL
"""Exit code if the command was killed, as a shell reports it."""


def run_warm(arguments: list[str], environment: Mapping[str, str]) -> int | None:
    """Run a command in a fork of a warm process and return its exit code; None if none fits or answers.

    Parameters
    ----------
    arguments
        Of the command, without its name.
    environment
        Environment variables of the command.
    """
    path = socket_path(environment)
    if path is None:
        return None
    connection = _connected(path)
    if connection is None:
        return None
    with connection:
        pid = _handed_over(connection, arguments, environment)
        return None if pid is None else _exit_code(connection, pid)


def start_warm(environment: Mapping[str, str]) -> None:
    """Start the warm process that fits this command in the background, unless it runs; do not wait for it."""
    path = socket_path(environment)
    if path is None or path.exists():
        return
    given = {**environment, "PYTHONPATH": _python_path(environment)}
    with suppress(OSError):  # the next command tries again
        start_in_background([sys.executable, "-m", "cli.warm.server", str(path)], given, subprocess.DEVNULL)


def _python_path(environment: Mapping[str, str]) -> str:
    before = environment.get("PYTHONPATH")
    return f"{PACKAGES}{os.pathsep}{before}" if before else str(PACKAGES)


def _connected(path: Path) -> socket.socket | None:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(CONNECT_SECONDS)
    try:
        connection.connect(str(path))
    except ConnectionRefusedError:  # the process was killed
        path.unlink(missing_ok=True)
    except OSError:  # there is none, or it does not answer
        pass
    else:
        return connection
    connection.close()
    return None


def _handed_over(connection: socket.socket, arguments: list[str], environment: Mapping[str, str]) -> int | None:
    """Send the command with this process's standard streams, and return the id of the process that runs it."""
    request = json.dumps({"arguments": arguments, "environment": dict(environment), "umask": _umask()}).encode()
    try:
        socket.send_fds(connection, [len(request).to_bytes(8, "big")], [0, 1, 2])
        connection.sendall(request)
        answer = connection.recv(8)
    except OSError:
        return None
    connection.settimeout(None)
    return int.from_bytes(answer, "big") if len(answer) == 8 else None


def _umask() -> int:
    present = os.umask(0o077)
    os.umask(present)
    return present


def _exit_code(connection: socket.socket, pid: int) -> int:
    with _forwarding(pid):
        answer = connection.recv(1)
    return answer[0] if answer else KILLED


@contextmanager
def _forwarding(pid: int) -> Iterator[None]:
    """Pass signals on to the process that runs the command, and stop and go on with it."""

    def forward(number: int, _frame: FrameType | None) -> None:
        with suppress(ProcessLookupError):
            os.kill(pid, number)

    def pause(_number: int, frame: FrameType | None) -> None:
        forward(signal.SIGSTOP, frame)
        os.kill(os.getpid(), signal.SIGSTOP)
        forward(signal.SIGCONT, frame)

    before = {number: signal.signal(number, forward) for number in FORWARDED}
    before[signal.SIGTSTP] = signal.signal(signal.SIGTSTP, pause)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
