"""The folder of the service on one port: the state to serve, and the metrics of its processes."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from core.errors import StorageError

METRICS_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
"""Folder in which the processes share their metrics. prometheus_client reads the variable when it is imported."""


def make_instance(home: Path, port: int) -> Path:
    """Create the folder. The last served state stays; the metrics start from zero.

    Raises
    ------
    StorageError
        The disk is full or not writable.
    """
    instance = home / str(port)
    metrics = instance / "metrics"
    try:
        shutil.rmtree(metrics, ignore_errors=True)
        for folder in (home, home / "bundles", instance, metrics):
            folder.mkdir(parents=True, exist_ok=True)
            folder.chmod(0o700)
    except OSError as error:
        raise StorageError(
            f"{instance} cannot be written: {error}; free disk space or fix its permissions, then run again"
        ) from error
    os.environ[METRICS_VARIABLE] = str(metrics)
    return instance
