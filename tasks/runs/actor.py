"""The actor under which a change is recorded."""

from __future__ import annotations

import socket

from config.home import user_name
from core.text import readable


def actor() -> str:
    """Return the user and host of this process, as ``user@host``."""
    return readable(f"{user_name()}@{socket.gethostname()}", 200)
