"""Who a change is recorded under."""

from __future__ import annotations

import getpass
import os
import socket
from typing import TYPE_CHECKING

from core.text import readable

if TYPE_CHECKING:
    pass


def actor() -> str:
    """Whoever runs this process, as ``user@host``."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user need not have a name
        user = f"uid {os.getuid()}"
    return readable(f"{user}@{socket.gethostname()}", 200)
