"""Logs that no process rotates: of the local Prefect server, of crashes, of what follows a decision on drift."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

from config.settings import RetentionSettings, Settings
from core.retention.items import Item, Rule
from tasks.prune.found import Findings, Found, tree_facts

GROWING = ("prefect-server.log", "crash.log", "follow-up.log")
KEPT_SHARE = 10
"""One part in so many of the limit stays when a log is cut, with the newest lines."""


def growing_logs(settings: Settings, retention: RetentionSettings) -> Findings:
    """Return the logs that exceed their size."""
    limit = int(retention.log_mb * 1024 * 1024)
    paths = [path for name in GROWING if (path := settings.var / "log" / name).is_file()]
    facts = {path: tree_facts(path) for path in paths}
    return Findings(
        Rule(),
        tuple(
            Found(Item("logs", "", path.name, at, size), partial(cut, path, limit // KEPT_SHARE))
            for path, (at, size) in facts.items()
            if size > limit
        ),
    )


def cut(path: Path, kept_bytes: int) -> None:
    """Move the end of a log to ``<name>.1`` and empty the log, which a process may have open for appending.

    A repeat after a kill moves the same end again.
    """
    with path.open("rb") as log:
        log.seek(max(0, path.stat().st_size - kept_bytes))
        end = log.read(kept_bytes)
    last = path.with_name(f"{path.name}.1")
    temporary = last.with_suffix(f".{os.getpid()}.tmp")
    temporary.write_bytes(end[end.find(b"\n") + 1 :])
    temporary.replace(last)
    os.truncate(path, 0)
