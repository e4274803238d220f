"""What surrounds a flow run started by hand: a Prefect API, settings that suit a terminal, progress lines."""

from __future__ import annotations

import gc
import logging
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext

from config.settings import load_settings
from tasks.runs.local_server import await_platform, await_server, prefect_environment, running_server, start_server
from tasks.runs.progress import shown, step

_logger = logging.getLogger("perennial.session")

HEAVY_IMPORTS = (
    "great_expectations",
    "sklearn.ensemble",
    "sklearn.compose",
    "skops.io",
)

NUMERICS = {
    # OpenMP threads that spin while they wait make histogram gradient boosting up to ten times slower on a machine
    # that does anything else; read when the library is loaded.
    "OMP_WAIT_POLICY": "PASSIVE",
}


@contextmanager
def computation(show_progress: bool = True) -> Iterator[None]:
    """Prepare the process for heavy work without a flow."""
    for name, value in NUMERICS.items():
        os.environ.setdefault(name, value)
    with shown() if show_progress else nullcontext():
        yield


@contextmanager
def flow_session(show_progress: bool = True) -> Iterator[None]:
    """Prepare the process for flow runs; importing Prefect before this block would miss its environment.

    With ``PREFECT_API_URL`` set, that server is used as it is; while ``perennial up`` runs, the platform's is.
    Otherwise the project's local server is started in the background, and the libraries every training needs are
    imported while it comes up.
    """
    began = time.monotonic()
    await_platform(load_settings())
    settings = load_settings()
    settings.var.mkdir(parents=True, exist_ok=True)
    for name, value in {**prefect_environment(settings), **NUMERICS}.items():
        os.environ.setdefault(name, value)
    # Half a million objects are imported that live to the end; the collector need not look at them every time.
    gc.set_threshold(100_000, 50, 1000)
    with ExitStack() as stack:
        if settings.prefect_api_url is None:
            start_server(settings)
            if running_server(settings) is None:
                with shown(began=began) if show_progress else nullcontext():
                    _logger.info("starting the local Prefect server; it stays for later commands")
                    _preload()
        os.environ["PREFECT_API_URL"] = settings.prefect_api_url or await_server(settings).api_url
        import prefect  # noqa: F401 - configures logging, which would remove a handler added before

        if show_progress:
            stack.enter_context(shown(began=began))
        if settings.prefect_api_url is None:
            stack.enter_context(_without_heartbeat())
        with step("Starting"):
            yield


@contextmanager
def _without_heartbeat() -> Iterator[None]:
    """Spare runs that a person watches the heartbeat.

    Nothing looks for zombies on the local server, and each flow would wait 1 s for its heartbeat thread to end.
    """
    from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

    with temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):
        yield


def _preload() -> None:
    import importlib

    from tasks.registry.client import import_mlflow

    import_mlflow()
    for name in HEAVY_IMPORTS:
        importlib.import_module(name)
