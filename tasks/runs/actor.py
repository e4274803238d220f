"""The actor under which a change is recorded."""

from __future__ import annotations

import getpass
import os
import socket

from core.text import readable


def actor() -> str:
    """Return the user and host of this process, as ``user@host``."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        user = f"uid {os.getuid()}"
    return readable(f"{user}@{socket.gethostname()}", 200)
