"""Hand work over to a warm process, and behave as the fork that does it: its output, signals, stops and exit code.

The work begins only once this process has said so: a warm process that hangs, or answers late, does nothing, and the
caller does the work by itself.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import struct
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

ANSWER_SECONDS = 2.0
"""Time in which a warm process has forked; after it, the caller does the work by itself."""

REPORT_SECONDS = 2.0
"""Time after the end of a fork in which its exit code is known."""

GO = b"g"
EXITED, SIGNALLED = b"x", b"s"
"""First byte of a report; the second is the exit code, or the signal."""

KILLED = 128 + signal.SIGKILL
"""Exit code if the fork and the warm process were killed at once, as a shell reports it."""

ENOUGH_MIB = 1536
"""Memory that must be available for another process that stays for a while."""

TO_ONE = (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)
TO_GROUP = (signal.SIGINT, signal.SIGHUP, signal.SIGWINCH)
"""Signals that a terminal sends to a command and its children."""

_BOOT = (
    "import sys, json; sys.path[:] = json.loads(sys.argv.pop(1)); "
    "import runpy; runpy.run_module(sys.argv.pop(1), run_name='__main__')"
)
"""Runs a module with the ``sys.path`` of its starter, which is part of what has to be equal."""


class Work(NamedTuple):
    """What a fork does, and as which process.

    Parameters
    ----------
    arguments
        ``sys.argv`` of the process.
    environment
        Its environment variables.
    package
        Package of its main module, which messages about its usage are named after.
    to_group
        Signals that are passed on to the fork and its children.
    group_dies
        Whether the children of the fork are killed with it if the caller is killed.
    """

    arguments: list[str]
    environment: Mapping[str, str]
    package: str | None = None
    to_group: tuple[signal.Signals, ...] = TO_GROUP
    group_dies: bool = False


def is_plain(environment: Mapping[str, str]) -> bool:
    """Return whether a fork can be what this process is: usual streams, no debugger, in the foreground.

    A fork has none of the streams that a shell passes beside the three, such as those of ``<(…)``, and is in no group
    of processes that a terminal knows, so it would not be stopped when it reads from one in the background.

    Parameters
    ----------
    environment
        Environment variables of this process.
    """
    if sys.gettrace() is not None or sys.getprofile() is not None or "coverage" in sys.modules:
        return False
    if any(word.startswith("-") and word != "-m" for word in sys.orig_argv[1:2]):
        return False  # options of the interpreter
    if any("/fd/" in word for word in (*sys.argv, *environment.values())):
        return False
    return all(_is_open(stream) for stream in (0, 1, 2)) and not _is_in_background()


def _is_open(stream: int) -> bool:
    try:
        os.fstat(stream)
    except OSError:
        return False
    return True


def _is_in_background() -> bool:
    for stream in (0, 1, 2):
        with suppress(OSError):  # it is no terminal, or not that of this session
            return os.tcgetpgrp(stream) != os.getpgrp()
    return False


def run_warm(path: Path, work: Work) -> int | None:
    """Do work in a fork of a warm process and return its exit code; None if there is none or it does not answer.

    If the fork is ended by a signal, this process ends by the same.

    Parameters
    ----------
    path
        Socket of the warm process.
    work
        What to do; nothing of it is done if None is returned.
    """
    connection = _connected(path)
    if connection is None:
        return None
    with connection:
        handle = _handed_over(connection, work)
        if handle is None:
            return None
        try:
            with _passing_on(handle, work.to_group):
                if not _begun(connection):
                    return None
                report = _report(connection, handle)
        finally:
            os.close(handle)
    if report[:1] == SIGNALLED:
        _end_by(report[1])
    return report[1] if len(report) == 2 else KILLED


def start_warm(
    path: Path, module: str, environment: Mapping[str, str], after: int = 0, folder: Path | None = None
) -> None:
    """Start a warm process in the background, unless there is one or memory is short; do not wait for it.

    Parameters
    ----------
    path
        Its socket.
    module
        Main module of the warm process.
    environment
        Its environment variables.
    after
        Process whose end it waits for before its imports; 0 if it begins at once.
    folder
        Its working directory; None for that of this process.
    """
    if path.exists() or _available_mib() < ENOUGH_MIB:
        return
    import subprocess

    from config.background import start_in_background

    command = [sys.executable, "-c", _BOOT, json.dumps(sys.path), module, str(path), str(after)]
    with suppress(OSError):  # the next one tries again
        start_in_background(command, environment, subprocess.DEVNULL, folder)


def _available_mib() -> int:
    with suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) // 1024
    return 0


def _connected(path: Path) -> socket.socket | None:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(ANSWER_SECONDS)
    try:
        connection.connect(str(path))
        if peer(connection)[1] == os.geteuid():
            os.utime(path)  # of several warm processes, those that were used last stay
            return connection
    except ConnectionRefusedError:  # the process was killed
        path.unlink(missing_ok=True)
    except OSError:  # there is none, or it does not answer
        pass
    connection.close()
    return None


def peer(connection: socket.socket) -> tuple[int, int, int]:
    """Return process, user and group at the other end, as the kernel knows them."""
    size = struct.calcsize("3i")
    process, user, group = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))
    return process, user, group


def _handed_over(connection: socket.socket, work: Work) -> int | None:
    """Send the work, and return a handle of the fork that waits to begin it."""
    request = json.dumps(_request(work)).encode()
    try:
        connection.sendall(len(request).to_bytes(8, "big") + request)
        answer = connection.recv(8)
        return os.pidfd_open(int.from_bytes(answer, "big")) if len(answer) == 8 else None
    except OSError:
        return None


def _begun(connection: socket.socket) -> bool:
    """Let the fork begin, and give it this process's streams and folder; return False if it has ended.

    The streams are not sent before: those on their way to a process that hangs would stay open, and whatever reads
    from the other end of a pipe would wait.
    """
    folder = None
    try:
        folder = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        socket.send_fds(connection, [GO], [0, 1, 2, folder])
    except OSError:
        return False
    finally:
        if folder is not None:
            os.close(folder)
    return True


def _request(work: Work) -> dict[str, Any]:
    ignored = [number for number in signal.valid_signals() if signal.getsignal(number) == signal.SIG_IGN]
    return {
        "arguments": work.arguments,
        "environment": dict(work.environment),
        "package": work.package,
        "group_dies": work.group_dies,
        "umask": _umask(),
        "ignored": ignored,
        "blocked": list(signal.pthread_sigmask(signal.SIG_BLOCK, ())),
    }


def _umask() -> int:
    present = os.umask(0o077)
    os.umask(present)
    return present


def _report(connection: socket.socket, handle: int) -> bytes:
    """Wait for the end of the fork and return how it ended; nothing if that is not known."""
    await_end(handle)
    # All of the fork is gone: its memory, its locks and its streams.
    connection.settimeout(REPORT_SECONDS)
    with suppress(OSError):
        return connection.recv(2)
    return b""


def await_end(handle: int, seconds: float | None = None) -> None:
    """Wait until a process has ended, or for some time.

    Parameters
    ----------
    handle
        Of :func:`os.pidfd_open`.
    seconds
        None for as long as it takes.
    """
    waiting = select.poll()
    waiting.register(handle, select.POLLIN)
    waiting.poll(None if seconds is None else 1000 * seconds)


def _end_by(number: int) -> None:
    """End as the fork did; a core file, if any, is that of the fork."""
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    if number not in (signal.SIGKILL, signal.SIGSTOP):
        signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})
    os.kill(os.getpid(), number)


@contextmanager
def _passing_on(handle: int, to_group: tuple[signal.Signals, ...]) -> Iterator[None]:
    """Pass signals on to the fork, except those that this process ignores, and stop and go on with it."""

    def to_one(number: int, _frame: FrameType | None) -> None:
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(handle, number)

    def to_all(number: int, frame: FrameType | None) -> None:
        group = _process_of(handle)
        try:
            if group:
                os.killpg(group, number)
        except ProcessLookupError:  # the fork has no group yet
            to_one(number, frame)
        except PermissionError:
            pass

    def pause(_number: int, frame: FrameType | None) -> None:
        to_all(signal.SIGSTOP, frame)
        os.kill(os.getpid(), signal.SIGSTOP)
        to_all(signal.SIGCONT, frame)

    handlers = dict.fromkeys(TO_ONE, to_one) | dict.fromkeys(to_group, to_all) | {signal.SIGTSTP: pause}
    wanted = {number: handler for number, handler in handlers.items() if signal.getsignal(number) != signal.SIG_IGN}
    before = {number: signal.signal(number, handler) for number, handler in wanted.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _process_of(handle: int) -> int:
    """Return the process of a handle; 0 if it has ended."""
    lines = Path(f"/proc/self/fdinfo/{handle}").read_text().splitlines()
    found = next((int(line.partition(":")[2]) for line in lines if line.startswith("Pid:")), 0)
    return max(found, 0)
