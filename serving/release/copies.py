"""Copies of requests, which workers send to the process that answers them in the shadow, without ever waiting for it.

The supervisor makes the pair of sockets and keeps both ends, so a process that is restarted goes on reading where the
one before it ended. Each copy is a datagram: it is there as a whole or not at all.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
from collections import deque
from collections.abc import Callable
from typing import Literal

import msgspec

MOST_BODY = 64 * 1024
"""Largest body in bytes that is copied; larger ones are counted."""

SOCKET_BYTES = 4 * 2**20
MOST_WAITING = 2_000
MOST_WAITING_BYTES = 16 * 2**20
"""Copies that wait in the process for their answer."""

IN_PROGRESS = "shadow.copy"
"""File in an instance's folder with the copy that is being answered, which a crash leaves behind."""

Result = Literal["sent", "dropped", "too_large"]


class Copy(msgspec.Struct, frozen=True, array_like=True):
    """A request to answer in the shadow.

    Parameters
    ----------
    model, number
        The model, and its release.
    served
        Id of the request that the client has the answer of.
    form, body
        Form of the body, see :func:`serving.model.forms.forms_of`; the body as the client sent it.
    """

    model: str
    number: int
    served: str
    form: str
    body: bytes


def copies_pair() -> tuple[socket.socket, socket.socket]:
    """Return the end that workers send to, and the end that the shadow reads from."""
    # Linux queues 10 datagrams at most, fewer than arrive in one turn of an event loop; packets are bounded by bytes.
    kind = socket.SOCK_SEQPACKET if sys.platform == "linux" else socket.SOCK_DGRAM
    sender, reader = socket.socketpair(socket.AF_UNIX, kind)
    # The system may grant less; what does not fit is dropped.
    sender.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SOCKET_BYTES)
    reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SOCKET_BYTES)
    sender.setblocking(False)
    return sender, reader


class Sender:
    """Sends copies, or drops them.

    Parameters
    ----------
    descriptor
        End of the pair; -1: there is none, and every copy is dropped.
    """

    def __init__(self, descriptor: int) -> None:
        self._socket = socket.socket(fileno=os.dup(descriptor)) if descriptor >= 0 else None
        self._encode = msgspec.msgpack.Encoder().encode

    def close(self) -> None:
        """Close the socket."""
        if self._socket is not None:
            self._socket.close()

    def send(self, copy: Copy) -> Result:
        """Send a copy without waiting, and return what became of it."""
        if len(copy.body) > MOST_BODY:
            return "too_large"
        if self._socket is None:
            return "dropped"
        try:
            self._socket.send(self._encode(copy), socket.MSG_DONTWAIT)
        except OSError:  # the queue is full, or the system grants less than a copy needs
            return "dropped"
        return "sent"


class Inflow:
    """Reads copies on a thread into a bounded queue, because the system's own holds only a few of them.

    Parameters
    ----------
    reader
        End of the pair.
    dropped
        Called with the model of each copy for which there was no room.
    """

    def __init__(self, reader: socket.socket, dropped: Callable[[Copy], None]) -> None:
        self._reader = reader
        self._dropped = dropped
        self._waiting: deque[Copy] = deque()
        self._bytes = 0
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="copies", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def take(self) -> Copy | None:
        """Return the oldest copy that waits; None if none does."""
        with self._lock:
            if not self._waiting:
                return None
            copy = self._waiting.popleft()
            self._bytes -= len(copy.body)
            return copy

    def _run(self) -> None:
        decode = msgspec.msgpack.Decoder(Copy).decode
        while packet := self._reader.recv(2 * MOST_BODY):
            copy = decode(packet)
            with self._lock:
                has_room = len(self._waiting) < MOST_WAITING and self._bytes + len(copy.body) <= MOST_WAITING_BYTES
                if has_room:
                    self._waiting.append(copy)
                    self._bytes += len(copy.body)
            if not has_room:
                self._dropped(copy)
