"""Fixtures shared by the tests."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from config.settings import Settings
from tasks.runs.local_server import await_server, prefect_environment, start_server, stop_server
from tests.factories import make_project
from tests.pace import pytest_collection_modifyitems, pytest_runtest_logreport, pytest_terminal_summary
from tests.warm import use_warm_steps, warmed

__all__ = ["pytest_collection_modifyitems", "pytest_runtest_logreport", "pytest_terminal_summary"]

# A time-out is no assertion: on a machine with other load one example takes seconds.
hypothesis.settings.register_profile("perennial", deadline=None)
hypothesis.settings.load_profile("perennial")

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")

UMASK = os.umask(0o022)
os.umask(UMASK)


def pytest_configure() -> None:
    """Give each process one thread for sums: several test processes share the cores, and threads that wait spin."""
    for name in THREADS:
        os.environ.setdefault(name, "1")
    # A process that outlives its command would outlive the test and its folder; those about it ask for it.
    os.environ.setdefault("PERENNIAL_FOLLOW_UP", "later")
    # Tests about warm processes start their own; all others test a command by itself.
    os.environ["PERENNIAL_WARM"] = "0"


@pytest.fixture(autouse=True)
def same_umask() -> Iterator[None]:
    """Undo what a command does to the umask of its process, which here is the process of all tests.

    Fixtures of a wider scope run commands before this one, so the umask is that of the start.
    """
    os.umask(UMASK)
    yield
    os.umask(UMASK)


@pytest.fixture(scope="session")
def prefect_api(tmp_path_factory: pytest.TempPathFactory, warm_steps: None) -> Iterator[str]:
    """Address of a real Prefect server for this test process; flows must be imported after asking for it."""
    assert warm_steps is None
    settings = make_project(tmp_path_factory.mktemp("prefect"))
    start_server(settings)
    os.environ.update(prefect_environment(settings))
    os.environ["PREFECT_API_URL"] = await_server(settings).api_url
    yield os.environ["PREFECT_API_URL"]
    _flush()
    # The address stays: without one, what a thread of Prefect's has left would start a server at the process's end.
    stop_server(settings)


@pytest.fixture(scope="session")
def warm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Folder of a ``python`` and a ``perennial`` that start with the large libraries imported; see ``warm.py``."""
    with warmed(tmp_path_factory.mktemp("warm")) as folder:
        yield folder


@pytest.fixture(scope="session")
def warm_steps(warm: Path) -> None:
    """Let the trainings of this process start what runs beside them warm, from the first test that asks for it."""
    use_warm_steps(warm)


@pytest.fixture
def short_path() -> Iterator[Path]:
    """Return a folder with a short path: that of a socket has 107 bytes at most."""
    with tempfile.TemporaryDirectory(prefix="warm-") as folder:
        yield Path(folder)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Return an empty project that the environment names."""
    settings = make_project(tmp_path)
    monkeypatch.setenv("PERENNIAL_ROOT", str(settings.root))
    for name in ("PERENNIAL_VAR", "MLFLOW_TRACKING_URI", "PERENNIAL_MLFLOW_URI", "PERENNIAL_DATA_REMOTE"):
        monkeypatch.delenv(name, raising=False)
    return settings


def _flush() -> None:
    """Send what is queued while the server still runs; otherwise the process waits for it at its end."""
    from prefect.events.worker import EventsWorker
    from prefect.logging.handlers import APILogWorker

    APILogWorker.drain_all(timeout=10)
    EventsWorker.drain_all(timeout=10)
