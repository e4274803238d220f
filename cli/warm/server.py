"""The warm process of commands."""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path
from typing import Any

from cli.__main__ import run_here
from cli.warm.commands import place
from tasks.warm.leaving import Leaving
from tasks.warm.server import serve

_profiles = (Path(), 0)
"""Prefect's file of profiles, whose place only the settings name, and its time when Prefect read it."""


def main() -> None:
    """Import the libraries and run commands until idle."""
    given = dict(os.environ)
    serve(_import_libraries, lambda: place(given), _run)


def _import_libraries() -> set[str]:
    from tasks.runs.preload import preload

    global _profiles
    safe = preload("cli.lines")
    import_module("cli.main")
    import_module("config.proxies")
    import_module("config.variables")
    from prefect.settings import PREFECT_PROFILES_PATH

    path = PREFECT_PROFILES_PATH.value()
    _profiles = path, _time_of(path)
    return safe


def _time_of(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def _run(leaving: Leaving, _: dict[str, Any]) -> None:
    path, time = _profiles
    if _time_of(path) != time:
        from tasks.runs.session import read_prefect_settings

        read_prefect_settings()
    run_here(leaving)


if __name__ == "__main__":
    main()
