"""The warm process: it imports the libraries once, and does each piece of work in a fork of itself.

It has one thread and does no work itself, so a fork is as clean as a new process. It ends when it was idle for a
while, when another one has its place, when its code or settings have changed, or when its socket is gone.
"""

from __future__ import annotations

import fcntl
import gc
import json
import os
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from tasks.warm.client import EXITED, GO, SIGNALLED, await_end, peer
from tasks.warm.fork import become
from tasks.warm.leaving import Leaving

IDLE_SECONDS = 600.0
LOOK_SECONDS = 5.0
CHILD_LOOK_SECONDS = 0.5
REQUEST_SECONDS = 5.0
MAX_REQUEST = 2**22
MAX_PROCESSES = 2
"""Most warm processes of one kind and user: of more, those that were used last stay."""

UNFIT = 3
"""Exit code of a process that cannot be forked safely, or that is not what its socket's name says."""

SAFE_THREADS = frozenset({"jemalloc_bg_thd"})
"""Threads of libraries that begin again in a fork."""

_STOPPED = "T"
_THREADS = Path("/proc/self/task")


@dataclass
class Child:
    """A fork at work.

    Parameters
    ----------
    connection
        To the process that waits for it.
    client
        That process.
    group_dies
        Whether its children are killed with it.
    is_stopped
        Whether it was stopped because its client was.
    is_killed
        Whether it was killed because its client has ended.
    """

    connection: socket.socket
    client: int
    group_dies: bool
    is_stopped: bool = False
    is_killed: bool = False


@dataclass(frozen=True)
class Task:
    """Work to do in this fork.

    Parameters
    ----------
    connection
        To the process that waits for it.
    request
        Arguments, environment and the like.
    """

    connection: socket.socket
    request: dict[str, Any]


def serve(
    load: Callable[[], set[str]], place: Callable[[], Path | None], work: Callable[[Leaving, dict[str, Any]], None]
) -> None:
    """Import the libraries and fork until idle; arguments of the process are its socket and a process to wait for.

    Parameters
    ----------
    load
        Imports the libraries; returns the threads that end before a fork, see :func:`blas_threads`.
    place
        Returns the socket that a process of this code, environment and folder has.
    work
        Does the work of a request in a fork; Ctrl-C ends it at once until it calls
        :func:`tasks.warm.leaving.raise_interrupt`.
    """
    leaving, path, environment = Leaving(), Path(sys.argv[1]), dict(os.environ)
    leaving.code = UNFIT
    with _alone(path) as is_alone:
        server = _prepared(path, load, place) if is_alone else None
    if server is None:
        return
    os.chdir("/")  # a folder in use could not be removed or unmounted
    task = server.next_task()
    leaving.code = 0
    if task is not None:
        _do(task, leaving, environment, work)


@contextmanager
def _alone(path: Path) -> Iterator[bool]:
    """Yield whether no other process is importing for the same socket."""
    lock = path.with_suffix(".starting")
    with lock.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        try:
            yield True
        finally:
            lock.unlink(missing_ok=True)


def _prepared(path: Path, load: Callable[[], set[str]], place: Callable[[], Path | None]) -> Server | None:
    _await_end(int(sys.argv[2]))
    if place() != path or path.exists():
        return None
    safe = load()
    # What has changed during the imports may have been imported in part.
    if unsafe_threads(safe) or place() != path:
        return None
    # A collection in a fork would copy every page of the libraries' objects.
    gc.collect()
    gc.freeze()
    return Server(path)


def _await_end(process: int) -> None:
    with suppress(OSError):  # it has ended
        handle = os.pidfd_open(process) if process else None
        if handle is not None:
            await_end(handle, IDLE_SECONDS)
            os.close(handle)


def blas_threads() -> set[str]:
    """Import the libraries of linear algebra and return the threads they start, which end before a fork.

    OpenBLAS ends its threads by a handler of ``fork`` and starts them again where they are needed.
    """
    import_module("numpy")
    import_module("scipy.linalg")
    return {thread.name for thread in _THREADS.iterdir()}


def unsafe_threads(safe: Iterable[str]) -> set[str]:
    """Return the names of further threads of this process: no thread of a fork would release the locks they hold.

    Parameters
    ----------
    safe
        Ids of threads that may be there.
    """
    others = {thread.name for thread in _THREADS.iterdir()} - {str(os.getpid()), *safe}
    return {(_THREADS / thread / "comm").read_text().strip() for thread in others} - SAFE_THREADS


class Server:
    """The socket of a warm process, and its forks.

    Parameters
    ----------
    path
        Where to listen.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._children: dict[int, Child] = {}
        self._listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._woken, self._waking = socket.socketpair()
        self._waking.setblocking(False)
        self._woken.setblocking(False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._waking.fileno(), warn_on_full_buffer=False)
        self._listen()
        self._mine = path.stat().st_ino

    def _listen(self) -> None:
        own = self._path.with_name(f"{self._path.name}.{os.getpid()}")
        self._listening.bind(str(own))
        own.chmod(0o600)
        self._listening.listen(16)
        # In one step, so that a client finds either no process or one that listens.
        own.replace(self._path)
        kind = self._path.name.partition("-")[0]
        with suppress(OSError):  # another one has just removed it
            ours = sorted(self._path.parent.glob(f"{kind}-*.sock"), key=lambda path: path.stat().st_mtime, reverse=True)
            for other in ours[MAX_PROCESSES:]:
                other.unlink()

    def next_task(self) -> Task | None:
        """Wait for work: return it in a fork, and None in this process once it is idle or has lost its place."""
        used = time.monotonic()
        while self._is_mine() and time.monotonic() - used < IDLE_SECONDS:
            connection = self._next_connection()
            if connection is not None:
                task = self._accepted(connection)
                if task is not None:
                    return task
            if self._children or connection is not None:
                used = time.monotonic()
        if self._is_mine():
            self._path.unlink(missing_ok=True)
        self._listening.close()
        while self._children:  # they report by this process
            self._next_connection()
        return None

    def _is_mine(self) -> bool:
        with suppress(OSError):
            return self._path.stat().st_ino == self._mine
        return False

    def _next_connection(self) -> socket.socket | None:
        """Wait a moment; look after the forks meanwhile."""
        waiting = select.poll()
        waiting.register(self._woken, select.POLLIN)
        if self._listening.fileno() >= 0:
            waiting.register(self._listening, select.POLLIN)
        by_stream = {child.connection.fileno(): pid for pid, child in self._children.items() if not child.is_killed}
        for stream in by_stream:
            # Not what can be read: that is for the fork.
            waiting.register(stream, select.POLLRDHUP)
        found = dict(waiting.poll((CHILD_LOOK_SECONDS if self._children else LOOK_SECONDS) * 1000))
        if self._woken.fileno() in found:
            with suppress(BlockingIOError):
                self._woken.recv(4096)
        for stream in found.keys() & by_stream.keys():
            self._kill(by_stream[stream])
        self._stop_with_clients()
        self._reap()
        with suppress(OSError):
            return self._listening.accept()[0] if self._listening.fileno() in found else None
        return None

    def _kill(self, pid: int) -> None:
        """End a fork with the process that waits for it."""
        self._children[pid].is_killed = True
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
            if self._children[pid].group_dies:
                os.killpg(pid, signal.SIGKILL)

    def _stop_with_clients(self) -> None:
        """Stop the forks of stopped clients, and let them go on: SIGSTOP cannot be passed on."""
        for pid, child in self._children.items():
            is_stopped = _is_stopped(child.client)
            if is_stopped != child.is_stopped:
                child.is_stopped = is_stopped
                with suppress(ProcessLookupError, PermissionError):
                    os.killpg(pid, signal.SIGSTOP if is_stopped else signal.SIGCONT)

    def _reap(self) -> None:
        with suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                if child := self._children.pop(ended[0], None):
                    code = os.waitstatus_to_exitcode(ended[1])
                    report = EXITED + bytes([code]) if code >= 0 else SIGNALLED + bytes([-code])
                    with child.connection, suppress(OSError):
                        child.connection.sendall(report)

    def _accepted(self, connection: socket.socket) -> Task | None:
        """Fork for a request; return it in the fork, and None in this process."""
        connection.settimeout(REQUEST_SECONDS)
        try:
            request = _request(connection)
            pid = os.fork()
        except (OSError, ValueError):
            connection.close()
            return None
        if pid == 0:
            self._leave()
            return Task(connection, request)
        self._children[pid] = Child(connection, peer(connection)[0], bool(request["group_dies"]))
        return None

    def _leave(self) -> None:
        """Close in a fork what belongs to the warm process, and let signals wait until it is another."""
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        signal.set_wakeup_fd(-1)
        for one in (
            self._listening,
            self._woken,
            self._waking,
            *(child.connection for child in self._children.values()),
        ):
            one.close()


def _is_stopped(process: int) -> bool:
    with suppress(OSError, IndexError):
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] in _STOPPED
    return False


def _request(connection: socket.socket) -> dict[str, Any]:
    """Receive a request.

    Raises
    ------
    ValueError
        It is from another user, or incomplete.
    """
    if peer(connection)[1] != os.geteuid():
        raise ValueError("expected a request of this user")
    head = connection.recv(8, socket.MSG_WAITALL)
    length = int.from_bytes(head, "big")
    if len(head) != 8 or length > MAX_REQUEST:
        raise ValueError("expected a length")
    content = bytearray()
    while len(content) < length:
        if not (part := connection.recv(length - len(content))):
            raise ValueError("expected a whole request")
        content += part
    request = json.loads(content)
    if not isinstance(request, dict) or "group_dies" not in request:
        raise ValueError("expected a request")
    return request


def _do(
    task: Task, leaving: Leaving, environment: dict[str, str], work: Callable[[Leaving, dict[str, Any]], None]
) -> None:
    """Do work in this fork, as a new process would."""
    connection = task.connection
    streams = _streams(connection)
    if streams is None:  # the caller did not wait, and does the work by itself
        os._exit(0)
    # Before a signal can arrive: whatever ends this fork from here on is no success.
    leaving.code, leaving.last = 1, partial(_tell, connection)
    become(task.request, streams, environment)
    connection.settimeout(None)
    ends = partial(os.killpg, os.getpid()) if task.request["group_dies"] else partial(os.kill, os.getpid())
    threading.Thread(target=_end_with, args=(connection, ends), daemon=True).start()
    work(leaving, task.request)


def _streams(connection: socket.socket) -> list[int] | None:
    """Say which process this is, and receive what lets it begin: three streams and a folder."""
    connection.settimeout(REQUEST_SECONDS)
    try:
        connection.sendall(os.getpid().to_bytes(8, "big"))
        word, streams, _, _ = socket.recv_fds(connection, 1, 4)
    except OSError:
        return None
    return streams if word == GO and len(streams) == 4 else None


def _tell(connection: socket.socket, code: int) -> None:
    """Report the exit code; the warm process does so too, unless it was killed meanwhile."""
    with suppress(OSError):
        connection.sendall(EXITED + bytes([code & 0xFF]))


def _end_with(connection: socket.socket, ends: Callable[[signal.Signals], None]) -> None:
    """End with the process that waits, if it was killed; the warm process does so too, unless it was killed itself."""
    with suppress(OSError):
        connection.recv(1)
    ends(signal.SIGKILL)
