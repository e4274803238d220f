"""The folder of the service at one port: what is to be served, and the metrics of its processes."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from core.errors import StorageError

METRICS_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
"""Names the folder that processes share their metrics in. prometheus_client looks for it when it is imported."""


def make_instance(home: Path, port: int) -> Path:
    """Make the folder; what was served last stays, the metrics begin anew.

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
        raise StorageError(f"{instance} cannot be written: {error}; free the disk and run again") from error
    os.environ[METRICS_VARIABLE] = str(metrics)
    return instance
