"""Ports of this machine: free or held, and by which process."""

from __future__ import annotations

import os
import socket
from contextlib import closing

from tasks.platform.ports import Holder, free_port, holder, is_free


def test_a_port_is_held_while_a_process_listens() -> None:
    """And free again at once afterwards."""
    with closing(socket.socket()) as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        port = listening.getsockname()[1]
        assert not is_free(port)
        found = holder(port)
        assert found is not None
        assert (found.pid, found.folder) == (os.getpid(), os.getcwd())  # noqa: PTH109 - as the process sees it
        assert len(found.command) <= 80
    assert is_free(port)
    assert holder(port) is None


def test_a_free_port_can_be_listened_at() -> None:
    """By the process that asked."""
    port = free_port()
    with closing(socket.socket()) as listening:
        listening.bind(("127.0.0.1", port))
        assert listening.getsockname()[1] == port


def test_a_holder_is_told_with_what_is_known() -> None:
    """The folder of another user's process is not."""
    assert str(Holder(7, "python -m x", "/srv")) == "process 7 (python -m x, in /srv)"
    assert str(Holder(7, "python -m x", "")) == "process 7 (python -m x)"
