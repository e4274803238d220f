"""The warm process: it imports the libraries once, and runs each command in a fork of itself.

It has one thread and runs no command itself, so a fork is as clean as a new process. It ends when it was idle for a
while, when another one has its place, or when its socket is gone.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import signal
import socket
import struct
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from cli.__main__ import Leaving, run_here

IDLE_SECONDS = 600.0
LOOK_SECONDS = 5.0
REQUEST_SECONDS = 5.0
MAX_REQUEST = 2**22
UNFIT = 3
"""Exit code of a process that cannot be forked safely."""

LIBRARIES = (
    "prefect",
    "pandas",
    "pyarrow.parquet",
    "duckdb",
    "sklearn.ensemble",
    "sklearn.compose",
    "sklearn.linear_model",
    "skops.io",
    "onnxruntime",
    "flows.ingest",
    "flows.train",
    "flows.monitor",
    "cli.main",
)


@dataclass(frozen=True)
class Task:
    """A command to run in this fork.

    Parameters
    ----------
    connection
        To the process that waits for it.
    request
        Arguments, environment and umask.
    streams
        Its standard input, output and error.
    """

    connection: socket.socket
    request: dict[str, Any]
    streams: list[int]


def main() -> None:
    """Import the libraries and run commands until idle."""
    leaving, path = Leaving(), Path(sys.argv[1])
    _import_libraries()
    if threading.active_count() > 1:
        leaving.code = UNFIT
        return
    # A collection in a fork would copy every page of the libraries' objects.
    gc.collect()
    gc.freeze()
    signal.signal(signal.SIGCHLD, _reap)
    with _listening(path) as listening:
        task = _next_task(listening, path)
    if task is not None:
        _run(task, leaving)
    else:
        leaving.code = 0


def _import_libraries() -> None:
    from config.settings import load_settings
    from tasks.registry.client import import_mlflow
    from tasks.runs.session import set_environment

    set_environment(load_settings())
    import_mlflow()
    for name in LIBRARIES:
        importlib.import_module(name)


def _reap(*_: object) -> None:
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _listening(path: Path) -> socket.socket:
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    own = path.with_name(f"{path.name}.{os.getpid()}")
    listening.bind(str(own))
    own.chmod(0o600)
    listening.listen(16)
    # In one step, so that a client finds either no process or one that listens.
    own.replace(path)
    listening.settimeout(LOOK_SECONDS)
    return listening


def _next_task(listening: socket.socket, path: Path) -> Task | None:
    """Wait for commands: return each in a fork, and None in this process once it is idle or has lost its place."""
    mine, idle = path.stat().st_ino, 0.0
    while idle < IDLE_SECONDS and _is_mine(path, mine):
        try:
            connection, _ = listening.accept()
        except TimeoutError:
            idle = 0.0 if _has_children() else idle + LOOK_SECONDS
            continue
        idle = 0.0
        with connection:
            task = _accepted(connection)
        if task is not None:
            return task
    if _is_mine(path, mine):
        path.unlink(missing_ok=True)
    return None


def _is_mine(path: Path, inode: int) -> bool:
    with suppress(OSError):
        return path.stat().st_ino == inode
    return False


def _has_children() -> bool:
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def _accepted(connection: socket.socket) -> Task | None:
    """Fork for a command; return it in the fork, and None in this process."""
    connection.settimeout(REQUEST_SECONDS)
    try:
        request, streams = _request(connection)
    except (OSError, ValueError):
        return None
    if os.fork() == 0:
        return Task(connection.dup(), request, streams)
    for stream in streams:
        os.close(stream)
    return None


def _request(connection: socket.socket) -> tuple[dict[str, Any], list[int]]:
    """Receive a command and the standard streams of its terminal.

    Raises
    ------
    ValueError
        It is from another user, or incomplete.
    """
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    if struct.unpack("3i", credentials)[1] != os.geteuid():
        raise ValueError("expected a command of this user")
    head, streams, _, _ = socket.recv_fds(connection, 8, 3)
    length = int.from_bytes(head, "big")
    if len(head) != 8 or len(streams) != 3 or length > MAX_REQUEST:
        for stream in streams:
            os.close(stream)
        raise ValueError("expected a length and three streams")
    content = bytearray()
    while len(content) < length:
        if not (part := connection.recv(length - len(content))):
            raise ValueError("expected a whole request")
        content += part
    return json.loads(content), streams


def _run(task: Task, leaving: Leaving) -> None:
    """Run a command in this fork, as a new process would."""
    connection = task.connection
    _become(task)
    leaving.last = partial(_tell, connection)
    connection.settimeout(None)
    connection.sendall(os.getpid().to_bytes(8, "big"))
    threading.Thread(target=_end_with, args=(connection,), daemon=True).start()
    run_here(leaving)


def _tell(connection: socket.socket, code: int) -> None:
    with suppress(OSError):
        connection.sendall(bytes([code & 0xFF]))


def _become(task: Task) -> None:
    os.setsid()
    for number, stream in enumerate(task.streams):
        os.dup2(stream, number)
        os.close(stream)
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.umask(task.request["umask"])
    os.environ.update(task.request["environment"])
    sys.argv = ["perennial", *task.request["arguments"]]
    sys.stdin = open(0, closefd=False)  # noqa: SIM115 - the stream of the command
    sys.stdout = open(1, "w", buffering=1 if os.isatty(1) else -1, closefd=False)  # noqa: SIM115 - as above
    sys.stderr = open(2, "w", buffering=1, errors="backslashreplace", closefd=False)  # noqa: SIM115 - as above


def _end_with(connection: socket.socket) -> None:
    """End with the process that waits for the command: it was killed."""
    with suppress(OSError):
        connection.recv(1)
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main()
