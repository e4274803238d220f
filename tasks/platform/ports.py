"""Ports of this machine's loopback address: whether they are free, and which process uses them."""

from __future__ import annotations

import socket
from dataclasses import dataclass


@dataclass(frozen=True)
class Holder:
    """The process that listens on a port."""

    pid: int
    command: str
    folder: str

    def __str__(self) -> str:
        """Describe the process for a message."""
        return f"process {self.pid} ({self.command}{f', in {self.folder}' if self.folder else ''})"


def is_free(port: int) -> bool:
    """Return whether a server can listen on a port of 127.0.0.1."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_port() -> int:
    """Return a currently free port."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def holder(port: int) -> Holder | None:
    """Return the process that listens on a port; None if there is none or it belongs to another user."""
    import psutil

    try:
        open_sockets = psutil.net_connections(kind="inet")
    except psutil.AccessDenied:  # macOS shows them only to root
        return None
    for found in open_sockets:
        if found.status == psutil.CONN_LISTEN and found.laddr and found.laddr.port == port and found.pid:
            return _holder(found.pid)
    return None


def _holder(pid: int) -> Holder | None:
    import psutil

    try:
        process = psutil.Process(pid)
        words = process.cmdline()
        shown = " ".join([words[0].rpartition("/")[2], *words[1:4]]) if words else process.name()
    except psutil.Error:
        return None
    try:
        return Holder(pid, shown[:80], process.cwd())
    except psutil.Error:  # it belongs to another user
        return Holder(pid, shown[:80], "")
