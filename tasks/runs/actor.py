"""Who a change is recorded under."""

from __future__ import annotations

import getpass
import os
import socket

from core.text import readable


def actor() -> str:
    """Return who runs this process, as ``user@host``."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user need not have a name
        user = f"uid {os.getuid()}"
    return readable(f"{user}@{socket.gethostname()}", 200)
