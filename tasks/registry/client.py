"""MLflow as Perennial uses it: without console output and telemetry, and with its failures as our errors."""

from __future__ import annotations

import importlib
import logging
import os
import re
import sqlite3
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import unquote, urlsplit

from filelock import FileLock

from config.home import give_user_name
from config.private_file import keep_from_others, make_private_folder, sqlite_files
from config.settings import Settings
from core.errors import StorageError
from tasks.registry.mlflow_database import create_database

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run
    from mlflow.entities.model_registry import ModelVersion
    from mlflow.store.artifact.artifact_repo import ArtifactRepository
    from mlflow.store.entities import PagedList

Answer = TypeVar("Answer")
Item = TypeVar("Item")

SQLITE = "sqlite:///"

# Read by MLflow when it is imported. Values that the user's environment sets take precedence.
_ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    # With a server, MLflow would print the end of a run to standard output, between our JSON.
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    # Report an unavailable server after seconds; MLflow's default of 7 retries with growing pauses takes minutes.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
}


def import_mlflow() -> None:
    """Import MLflow without its warnings; call this before any other import of it."""
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    give_user_name(os.environ)
    with warnings.catch_warnings():
        # MLflow warns about its own type hints while it is imported (mlflow.types.responses at 3.17).
        warnings.filterwarnings("ignore", message=".*Any type hint is inferred as AnyType", category=UserWarning)
        importlib.import_module("mlflow.pyfunc")
    # For an unavailable or locked database, MLflow logs a traceback and raises; the user sees only our error.
    logging.getLogger("mlflow.store.db.utils").addFilter(_without_traceback)


def _without_traceback(record: logging.LogRecord) -> bool:
    return not record.exc_info


def mlflow_client(settings: Settings) -> MlflowClient:
    """Return a client of the configured registry; create the SQLite database if there is none.

    Raises
    ------
    StorageError
        The database or the server is unavailable.
    """
    import_mlflow()
    from mlflow import MlflowClient

    with mlflow_failures(settings):
        _make_database(settings)
        return MlflowClient(tracking_uri=settings.mlflow_uri, registry_uri=settings.mlflow_uri)


@contextmanager
def mlflow_failures(settings: Settings) -> Iterator[None]:
    """Turn MLflow's errors about its database, server or artifact store into :class:`StorageError`."""
    try:
        yield
    except _kinds_of_failures() as error:
        raise _failed(error, settings) from _shown_cause(error, settings)
    except ValueError as error:
        # If the server stops during an upload, urllib3 retries with the file, which MLflow has closed.
        if "closed file" not in str(error):
            raise
        raise _failed(error, settings) from _shown_cause(error, settings)


def _kinds_of_failures() -> tuple[type[Exception], ...]:
    """Return what MLflow raises; asked only when something was raised, because importing MLflow takes seconds."""
    from sqlalchemy.exc import SQLAlchemyError

    loaded = sys.modules.get("mlflow.exceptions")
    of_mlflow = () if loaded is None else (loaded.MlflowException,)
    # An error of requests is an OSError.
    return (SQLAlchemyError, sqlite3.Error, OSError, *of_mlflow)


def artifact_store(uri: str, settings: Settings) -> ArtifactRepository:
    """Return the store of an artifact address; by default, MLflow would ask its process-wide server for it."""
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    return get_artifact_repository(uri, settings.mlflow_uri, settings.mlflow_uri)


def is_empty(settings: Settings) -> bool:
    """Return whether the registry is certainly empty; False if MLflow has to be asked."""
    # MLflow is not imported for this, because its import takes a second and a half.
    return settings.mlflow_uri.startswith(SQLITE) and not Path(settings.mlflow_uri.removeprefix(SQLITE)).exists()


def none_if_missing(ask: Callable[[], Answer]) -> Answer | None:
    """Return what MLflow answers; None if what was asked for does not exist, because someone removed it."""
    from mlflow.exceptions import MlflowException

    try:
        return ask()
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return None
        raise


def version_in_mlflow(client: MlflowClient, model: str, version: int) -> ModelVersion | None:
    """Return a version as MLflow has it; None if it has none."""
    return none_if_missing(lambda: client.get_model_version(model, str(version)))


def run_in_mlflow(client: MlflowClient, run_id: str) -> Run | None:
    """Return a run; None if someone removed it and kept its version."""
    return none_if_missing(lambda: client.get_run(run_id))


def aliases_in_mlflow(client: MlflowClient, model: str) -> dict[str, int]:
    """Return the versions that aliases name; none if the model is not registered."""
    found = none_if_missing(lambda: client.get_registered_model(model))
    return {} if found is None else {alias: int(version) for alias, version in found.aliases.items()}


def versions_in_mlflow(client: MlflowClient, model: str) -> list[ModelVersion]:
    """Return all versions of a model, without their aliases."""
    ours = f"name = '{model}'"
    return list(pages(lambda token: client.search_model_versions(ours, max_results=1000, page_token=token)))


def pages(page_after: Callable[[str | None], PagedList[Item]]) -> Iterator[Item]:
    """Yield the items of all pages of a search; the argument returns the page after a token."""
    page = page_after(None)
    yield from page
    while page.token:
        page = page_after(page.token)
        yield from page


def _failed(error: Exception, settings: Settings) -> StorageError:
    return StorageError(
        f"MLflow at {address(settings)} failed: {_first_line(error)}\n"
        "Check that it is reachable and writable (PERENNIAL_MLFLOW_URI is its address), then run the command again"
    )


def _shown_cause(error: Exception, settings: Settings) -> Exception | None:
    # The cause may contain an address with its password, and Prefect logs causes.
    return None if urlsplit(settings.mlflow_uri).password is not None else error


def _first_line(error: Exception) -> str:
    text = next(iter(str(error).strip().splitlines()), type(error).__name__)
    return re.sub(r"//[^/@\s]*@", "//***@", text)


def address(settings: Settings) -> str:
    """Return MLflow's address without user and password."""
    return re.sub(r"//[^/@\s]*@", "//***@", settings.mlflow_uri)


def artifact_root(settings: Settings) -> str | None:
    """Return the folder of artifacts when no server is used; None if a server decides."""
    if settings.mlflow_uri.startswith("http"):
        return None
    return (settings.var / "mlruns").resolve().as_uri()


def local_path(location: str) -> str | None:
    """Return the path of an artifact address; None if it is not on this machine."""
    parts = urlsplit(location)
    return unquote(parts.path) if parts.scheme in {"", "file"} else None


def is_ours(location: str, settings: Settings) -> bool:
    """Return whether an artifact address is below the folder of artifacts, or on a server that confines it."""
    path = local_path(location)
    if path is None:
        return urlsplit(location).scheme == "mlflow-artifacts"
    root, named = (settings.var / "mlruns").resolve(), Path(path).resolve()
    return named != root and named.is_relative_to(root)


def _make_database(settings: Settings) -> None:
    if not settings.mlflow_uri.startswith(SQLITE):
        return
    path = Path(settings.mlflow_uri.removeprefix(SQLITE))
    if path.exists():
        close_to_others(path)
        _check_database(path)
        return
    if not path.parent.is_dir():
        make_private_folder(path.parent)
    with FileLock(f"{path}.lock"):
        if not path.exists():
            create_database(path, str(artifact_root(settings)))


def close_to_others(path: Path) -> None:
    """Take MLflow's database, created by an earlier release, from other users of the machine."""
    for file in sqlite_files(path):
        keep_from_others(file)


def _check_database(path: Path) -> None:
    # MLflow would try to open a file that is no database ten times, for 100 seconds.
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA schema_version")
