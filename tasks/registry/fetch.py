"""Fetch the bundle of a registered version and verify it, because its storage is not trusted."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from config.settings import Settings
from core.errors import BundleError, ModelNotFoundError, StorageError
from serving.bundle.reader import MANIFEST, MAX_DOCUMENT_BYTES, REMEDY, Manifest, read_manifest, verified
from tasks.registry.client import artifact_store, mlflow_client, mlflow_failures
from tasks.registry.register import MANIFEST as MANIFEST_TAG
from tasks.registry.register import RUN_KEY
from tasks.versions.working_copy import remove_stale

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion
    from mlflow.store.artifact.artifact_repo import ArtifactRepository

PREFIX = "fetched-"


@dataclass(frozen=True)
class Fetched:
    """A verified copy of a version's bundle.

    Parameters
    ----------
    folder
        Private to this process.
    manifest_sha256
        Hash of the manifest as it was registered.
    version, run_id
        The version and the MLflow run that made it.
    """

    folder: Path
    manifest_sha256: str
    version: int
    run_id: str


@contextmanager
def fetched(model: str, version: int, settings: Settings) -> Iterator[Fetched]:
    """Copy a version's bundle into a private folder and verify it; the folder is removed at the end of the block.

    Raises
    ------
    ModelNotFoundError
        There is no such version.
    BundleError
        Its files are missing, or are not those that were registered.
    StorageError
        MLflow or the artifact store is unavailable, or the disk is full.
    """
    client = mlflow_client(settings)
    found = registered_version(client, model, version, settings)
    digest = found.tags.get(MANIFEST_TAG)
    if digest is None:
        raise BundleError(
            f"version {version} of {model!r} was not registered by Perennial; train one: perennial train {model}"
        )
    folder = _private_folder(settings.var / "work")
    try:
        _copy(found, digest, folder, settings)
        _check_belonging(verified(folder, digest), found)
        yield Fetched(folder, digest, version, str(found.run_id))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def registered_version(client: MlflowClient, model: str, version: int, settings: Settings) -> ModelVersion:
    """Return a version from MLflow.

    Raises
    ------
    ModelNotFoundError
        There is no such version.
    """
    from mlflow.exceptions import MlflowException

    with mlflow_failures(settings):
        try:
            return client.get_model_version(model, str(version))
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
    raise ModelNotFoundError(f"{model!r} has no version {version}; 'perennial models' lists the versions")


def _private_folder(parent: Path) -> Path:
    try:
        parent.mkdir(parents=True, exist_ok=True)
        remove_stale(parent, PREFIX)
        return Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
    except OSError as error:
        raise StorageError(f"no folder can be created in {parent}: {error}; free disk space and run again") from error


def _copy(version: ModelVersion, digest: str, folder: Path, settings: Settings) -> None:
    """Copy the manifest, check the store's file names and sizes against it, then copy the files."""
    with mlflow_failures(settings):
        store = artifact_store(str(version.source), settings)
        listed = _listed(store, "")
    where = f"the bundle of {version.name!r} version {version.version}"
    if MANIFEST not in listed:
        raise BundleError(f"{where} has no {MANIFEST}; restore its files from a backup, or train again")
    if (listed[MANIFEST] or 0) > MAX_DOCUMENT_BYTES:
        raise BundleError(f"{where} has a {MANIFEST} of {listed[MANIFEST]:,} bytes, which is too large; {REMEDY}")
    with mlflow_failures(settings):
        store.download_artifacts(MANIFEST, str(folder))  # type: ignore[no-untyped-call] # not typed
    manifest = read_manifest(folder, digest)
    with mlflow_failures(settings):
        problem = _problem(store, manifest)
    if problem:
        raise BundleError(f"{where} {problem}; {REMEDY}")
    with mlflow_failures(settings):
        store.download_artifacts("", str(folder))  # type: ignore[no-untyped-call] # not typed


def _problem(store: ArtifactRepository, manifest: Manifest) -> str | None:
    """Compare names and sizes in the store with the manifest; only folders in the manifest are listed."""
    wanted: dict[str, int | None] = {file.path: file.size for file in manifest.files}
    folders = {str(parent) for path in wanted for parent in PurePosixPath(path).parents} - {"."}
    found = {path: size for folder in ["", *sorted(folders)] for path, size in _listed(store, folder).items()}
    strange = sorted(found.keys() - wanted.keys() - folders - {MANIFEST})
    if strange:
        return f"contains {strange[0]!r}, which its manifest does not name"
    for path, size in wanted.items():
        if path not in found:
            return f"lacks {path!r}"
        if found[path] not in (None, size):
            return f"contains {path!r} with {found[path]:,} bytes, expected {size:,}"
    return None


def _listed(store: ArtifactRepository, folder: str) -> dict[str, int | None]:
    return {item.path: item.file_size for item in store.list_artifacts(folder or None)}


def _check_belonging(manifest: Manifest, version: ModelVersion) -> None:
    if (manifest.model, manifest.run_key) != (version.name, version.tags.get(RUN_KEY)):
        raise BundleError(
            f"the bundle of {version.name!r} version {version.version} belongs to model {manifest.model!r}, run "
            f"{manifest.run_key[:12]}…; {REMEDY}"
        )
