"""Import in a warm process what runs of flows import, so that their forks need not."""

from __future__ import annotations

import os
import pkgutil
from collections.abc import Iterator
from importlib import import_module

from config.home import give_home
from config.settings import load_settings
from tasks.runs.session import NUMERICS, set_defaults, set_environment
from tasks.warm.server import blas_threads

# Not onnxruntime: its import starts a thread. Not great_expectations and evidently: 120 MiB that few runs need.
LIBRARIES = (
    "prefect",
    "prefect.flow_engine",
    "pandas",
    "pyarrow.parquet",
    "duckdb",
    "jinja2",
    "matplotlib.figure",
    "matplotlib.backends.backend_svg",
    "mlflow.sklearn",
    "mlflow.store.tracking.sqlalchemy_store",
    "skl2onnx",
    "sklearn.ensemble",
    "sklearn.compose",
    "sklearn.linear_model",
    "skops.io",
)

FLOWS = ("flows.ingest", "flows.train", "flows.monitor", "flows.retrain")

ROOMS = (
    "core",
    "tasks.champions",
    "tasks.gate",
    "tasks.monitor",
    "tasks.registry",
    "tasks.reports",
    "tasks.runs",
    "tasks.serving",
    "tasks.source",
    "tasks.train",
    "tasks.validation",
    "tasks.versions",
)
"""Packages of which every module is imported."""


def preload(*rooms: str, in_terminal: bool = True) -> set[str]:
    """Import the libraries and our modules; return the threads that end before a fork.

    Parameters
    ----------
    rooms
        Further packages of which every module is imported.
    in_terminal
        Whether forks print as commands do; the runs of a worker have Prefect's own log.
    """
    from tasks.registry.client import import_mlflow

    give_home(os.environ)
    if in_terminal:
        set_environment(load_settings())
    else:
        set_defaults(NUMERICS)
    safe = blas_threads()
    import_mlflow()
    for name in (*LIBRARIES, *FLOWS, *_modules(*ROOMS, *rooms)):
        import_module(name)
    return safe


def _modules(*rooms: str) -> Iterator[str]:
    for room in rooms:
        yield from (found.name for found in pkgutil.walk_packages(import_module(room).__path__, f"{room}."))
