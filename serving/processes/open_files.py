"""How many files a worker may have open: its connections leave some to its database, models and logs."""

from __future__ import annotations

import logging
import resource

_logger = logging.getLogger("perennial.worker")

RESERVED = 128
"""Files beside the connections, and connections that arrive together before the oldest is closed.

An idle worker has 31; beyond the bound the event loop resets every connection, that of a health check as well.
"""

FEWEST = 16


def connections_within(wanted: int) -> int:
    """Raise the bound of this process's open files if need be, and return how many connections it has room for.

    Parameters
    ----------
    wanted
        Most connections by the settings; the result is not larger.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = wanted + RESERVED
    if resource.RLIM_INFINITY in (soft, hard) or hard >= needed:
        if 0 <= soft < needed:
            resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
        return wanted
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    room = max(FEWEST, hard - RESERVED)
    _logger.warning(
        "this process may have %d files open (ulimit -n): at most %d connections instead of %d "
        "(PERENNIAL_SERVE_MAX_CONNECTIONS)",
        hard,
        room,
        wanted,
    )
    return room
