"""Environment of a flow run that a user starts: a Prefect API, settings for a terminal, and progress lines."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext

from config.settings import Settings, load_settings
from core.errors import ConfigError
from tasks.runs.api import check_answers
from tasks.runs.local_server import await_platform, await_server, prefect_environment, running_server, start_server
from tasks.runs.lock import hold_model
from tasks.runs.progress import shown, step
from tasks.runs.working_folder import check_folders

_logger = logging.getLogger("perennial.session")

HEAVY_IMPORTS = (
    "sklearn.ensemble",
    "sklearn.compose",
    "skops.io",
)

NUMERICS = {
    # OpenMP threads that spin while they wait make histogram gradient boosting up to ten times slower on a busy
    # machine. The variable is read when the library is loaded.
    "OMP_WAIT_POLICY": "PASSIVE",
}

GIB = 1024**3
ADDRESS_SPACE = 3 * GIB
"""Address space, in bytes, without which no run starts: a small training reserves 2.9 GiB and touches little of it."""


@contextmanager
def computation(show_progress: bool = True) -> Iterator[None]:
    """Prepare the process for a computation without a flow.

    Raises
    ------
    ConfigError
        The process may have too little address space.
    """
    check_address_space()
    for name, value in NUMERICS.items():
        os.environ.setdefault(name, value)
    with shown() if show_progress else nullcontext():
        yield


@contextmanager
def held_model(model: str, wait_seconds: float = 0.0) -> Iterator[Settings]:
    """Hold a model from before a flow run until after it, so that what was found before still holds in the run.

    Yields the settings, once a platform that is starting or stopping has done so.

    Parameters
    ----------
    wait_seconds
        Maximum time to wait for another run to end.

    Raises
    ------
    RunInProgressError
        Another run holds the model.
    StorageError
        A folder that every run writes to cannot be used.
    """
    settings = _checked_settings()
    with hold_model(model, settings, wait_seconds):
        yield settings


@contextmanager
def flow_session(show_progress: bool = True, meanwhile: Callable[[], object] | None = None) -> Iterator[None]:
    """Prepare the process for flow runs; Prefect must not be imported before, because it reads the environment.

    If ``PREFECT_API_URL`` is set, that server is used; while ``perennial up`` runs, the platform's server is used.
    Otherwise the project's local server is started in the background. While it starts, the caller's work is done and
    the libraries that every training needs are imported.

    Parameters
    ----------
    show_progress
        Whether to print progress lines.
    meanwhile
        Work that needs no server; it is not done where none has to start.
    """
    began = time.monotonic()
    settings = _checked_settings()
    set_environment(settings)
    # Prefect's log worker would print each failure of a server below our message.
    logging.raiseExceptions = False
    with ExitStack() as stack:
        if settings.prefect_api_url is not None:
            check_answers(settings.prefect_api_url)
        else:
            start_server(settings)
            if running_server(settings) is None:
                with shown(began=began) if show_progress else nullcontext():
                    _logger.info("starting the local Prefect server; it keeps running for later commands")
                    if meanwhile is not None:
                        meanwhile()
                    _preload()
        os.environ["PREFECT_API_URL"] = settings.prefect_api_url or await_server(settings).api_url
        import prefect  # noqa: F401 - configures logging, which would remove a handler added before
        from prefect.settings import PREFECT_API_URL, temporary_settings

        # In a fork of a warm process, Prefect has read its settings before.
        stack.enter_context(temporary_settings({PREFECT_API_URL: os.environ["PREFECT_API_URL"]}))
        if show_progress:
            stack.enter_context(shown(began=began))
        if settings.prefect_api_url is None:
            stack.enter_context(_without_heartbeat())
        with step("Starting"):
            yield


def check_address_space() -> None:
    """Check the bound of this process's address space (``ulimit -v``).

    Below what the libraries map, each fails in its own way: one aborts the process, one crashes it, and Prefect waits
    for ever for a thread that cannot start.

    Raises
    ------
    ConfigError
        It is too low for any run.
    """
    if sys.platform == "win32":
        return
    import resource

    bound, _ = resource.getrlimit(resource.RLIMIT_AS)
    if bound != resource.RLIM_INFINITY and bound < ADDRESS_SPACE:
        raise ConfigError(
            f"expected at least {ADDRESS_SPACE / GIB:.0f} GiB of address space, found a limit of "
            f"{bound / GIB:.2f} GiB; raise it (ulimit -v unlimited), and bound memory by a control group instead"
        )


def _checked_settings() -> Settings:
    """Return the settings, once a platform that is starting or stopping has done so; check limits and folders."""
    check_address_space()
    await_platform(load_settings())
    settings = load_settings()
    check_folders(settings)
    return settings


def set_environment(settings: Settings) -> None:
    """Set the variables that Prefect and the numerical libraries read when they are imported, unless they are set."""
    set_defaults({**prefect_environment(settings), **NUMERICS})


def set_defaults(variables: Mapping[str, str]) -> None:
    """Set environment variables unless they are set."""
    for name, value in variables.items():
        os.environ.setdefault(name, value)


def read_prefect_settings() -> None:
    """Let Prefect read its settings again in a fork of a process that has imported it, as a new process does."""
    from prefect.context import refresh_global_settings_context
    from prefect.logging.configuration import setup_logging
    from prefect.settings import PREFECT_LOGGING_EXTRA_LOGGERS

    for name in PREFECT_LOGGING_EXTRA_LOGGERS.value():
        logging.getLogger(name).handlers.clear()  # they would be added a second time
    refresh_global_settings_context()
    setup_logging(incremental=False)


@contextmanager
def _without_heartbeat() -> Iterator[None]:
    """Disable heartbeats for runs that a user starts.

    Nothing evaluates them on the local server, and each flow would wait 1 s for its heartbeat thread to end.
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
