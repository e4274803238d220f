"""What MLflow's registry contains: from its database's tables where they can be read, else by MLflow's client."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Protocol

from config.settings import Settings
from tasks.registry.client import (
    aliases_in_mlflow,
    mlflow_client,
    mlflow_failures,
    pages,
    run_in_mlflow,
    version_in_mlflow,
    versions_in_mlflow,
)
from tasks.registry.tables import StoredRun, StoredVersion, open_tables

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion


class Contents(Protocol):
    """What is read from a registry. Every method raises a StorageError if MLflow or its database fails."""

    def models(self) -> list[str]:
        """Return the names of all registered models, sorted."""

    def versions(self, model: str) -> list[StoredVersion]:
        """Return all versions of a model, ascending."""

    def tagged(self, model: str, key: str, value: str) -> list[StoredVersion]:
        """Return the versions of a model whose tag has a value, ascending."""

    def version(self, model: str, number: int) -> StoredVersion | None:
        """Return a version; None if there is no such version."""

    def aliases(self, model: str) -> dict[str, int]:
        """Return the versions that a model's aliases name; none if it is not registered."""

    def run(self, run_id: str) -> StoredRun | None:
        """Return a run; None if someone removed it."""

    def files(self, model_id: str) -> list[str] | None:
        """Return the names of a logged model's files; None if only MLflow can list them."""


def registry_contents(settings: Settings) -> Contents:
    """Return the registry's contents, by the cheapest way there is.

    Raises
    ------
    StorageError
        MLflow's database or server is unavailable.
    """
    return open_tables(settings) or AskedContents(mlflow_client(settings), settings)


def registered_files(contents: Contents, model_id: str, settings: Settings) -> list[str]:
    """Return the names of a logged model's files, sorted; MLflow is asked if they are not on this machine."""
    found = contents.files(model_id)
    return AskedContents(mlflow_client(settings), settings).files(model_id) if found is None else found


class AskedContents:
    """The contents as MLflow's client gives them.

    Parameters
    ----------
    client, settings
        The client, and the settings it was made by.
    """

    def __init__(self, client: MlflowClient, settings: Settings) -> None:
        self._client, self._settings = client, settings

    def models(self) -> list[str]:
        """Return the names of all registered models, sorted."""
        with mlflow_failures(self._settings):
            found = pages(lambda token: self._client.search_registered_models(max_results=500, page_token=token))
            return sorted(model.name for model in found)

    def versions(self, model: str) -> list[StoredVersion]:
        """Return all versions of a model, ascending; a search gives them without aliases."""
        with mlflow_failures(self._settings):
            return _ascending(versions_in_mlflow(self._client, model))

    def tagged(self, model: str, key: str, value: str) -> list[StoredVersion]:
        """Return the versions of a model whose tag has a value, ascending."""
        chosen = f"name = '{model}' and tags.`{key}` = '{value}'"
        with mlflow_failures(self._settings):
            found = pages(lambda token: self._client.search_model_versions(chosen, max_results=1000, page_token=token))
            return _ascending(found)

    def version(self, model: str, number: int) -> StoredVersion | None:
        """Return a version; None if there is no such version."""
        with mlflow_failures(self._settings):
            found = version_in_mlflow(self._client, model, number)
        return None if found is None else stored_version(found)

    def aliases(self, model: str) -> dict[str, int]:
        """Return the versions that a model's aliases name; none if it is not registered."""
        with mlflow_failures(self._settings):
            return aliases_in_mlflow(self._client, model)

    def run(self, run_id: str) -> StoredRun | None:
        """Return a run; None if someone removed it."""
        with mlflow_failures(self._settings):
            found = run_in_mlflow(self._client, run_id)
        if found is None:
            return None
        metrics, params = dict(found.data.metrics), dict(found.data.params)
        return StoredRun(found.info.run_id, found.info.status, str(found.info.artifact_uri), metrics, params)

    def files(self, model_id: str) -> list[str]:
        """Return the names of a logged model's files, sorted."""
        with mlflow_failures(self._settings):
            return sorted(self._listing(model_id, None))

    def _listing(self, model_id: str, folder: str | None) -> list[str]:
        names: list[str] = []
        for item in self._client.list_logged_model_artifacts(model_id, folder):
            names += self._listing(model_id, item.path) if item.is_dir else [item.path]
        return names


def _ascending(versions: Iterable[ModelVersion]) -> list[StoredVersion]:
    return sorted(map(stored_version, versions), key=lambda version: version.version)


def stored_version(version: ModelVersion) -> StoredVersion:
    """Return a version of MLflow's client as the value that is read everywhere."""
    return StoredVersion(
        name=version.name,
        version=int(version.version),
        run_id=str(version.run_id),
        source=str(version.source),
        creation_timestamp=int(version.creation_timestamp),
        tags=dict(version.tags),
        aliases=tuple(version.aliases),
    )
