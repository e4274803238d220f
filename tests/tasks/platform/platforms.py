"""The real commands ``perennial up`` and ``down`` in a project of their own, on free ports."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from config.platform import last_platform
from config.settings import Settings
from tasks.platform.processes import MARK

COMMAND = str(Path(sys.executable).with_name("perennial"))
FREE_PORTS = {"PERENNIAL_PREFECT_PORT": "0", "PERENNIAL_MLFLOW_PORT": "0", "PERENNIAL_SERVE_PORT": "0"}


def environment(settings: Settings, **further: str) -> dict[str, str]:
    """Return an environment that names the project and no server."""
    foreign = ("PREFECT_", "PERENNIAL_", "MLFLOW_")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    return inherited | FREE_PORTS | {"PERENNIAL_ROOT": str(settings.root), **further}


def perennial(settings: Settings, *words: str, **further: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    told = environment(settings, **further)
    return subprocess.run([COMMAND, *words], env=told, capture_output=True, text=True, timeout=240, check=False)


def shown_platform(settings: Settings) -> dict[str, Any]:
    """Return what ``perennial up --json`` says of a platform that runs."""
    found: dict[str, Any] = json.loads(perennial(settings, "up", "--json").stdout)
    return found


def await_true(condition: Callable[[], bool], seconds: float = 60) -> None:
    """Wait for something to come true."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.2)


def marked(platform_id: str) -> list[psutil.Process]:
    """Return the processes of a platform."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == platform_id:
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


def family(settings: Settings) -> list[psutil.Process]:
    """Return every process of the platform that runs, those without the mark too."""
    state = last_platform(settings.var)
    assert state is not None
    manager = psutil.Process(state.pid)
    return [manager, *manager.children(recursive=True)]


@contextmanager
def cleared(settings: Settings) -> Iterator[None]:
    """Leave no platform behind, whatever happens in the block."""
    try:
        yield
    finally:
        perennial(settings, "down")
