"""Fetch the bundle of a registered version and verify it by the hash that the operational database records.

Neither the files nor what MLflow says of them are trusted: MLflow names only the place of the files.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from config.settings import Settings
from core.errors import BundleError, StorageError
from core.text import readable
from serving.bundle.reader import MANIFEST, MAX_DOCUMENT_BYTES, REMEDY, Manifest, read_manifest, verified, verified_text
from tasks.registry.bundle_files import BundleFiles, bundle_files
from tasks.registry.client import mlflow_failures
from tasks.registry.contents import registry_contents
from tasks.registry.records import PRUNED, recorded_version
from tasks.registry.versions import registered_in_mlflow
from tasks.versions.leases import reading
from tasks.versions.working_copy import remove_stale

if TYPE_CHECKING:
    from store.registry.registrations import RegisteredVersion
    from tasks.registry.tables import StoredVersion

PREFIX = "fetched-"


@dataclass(frozen=True)
class Fetched:
    """A verified copy of a version's bundle.

    Parameters
    ----------
    folder
        Private to this process.
    manifest_sha256
        Hash of the manifest as the operational database records it.
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
    found, record = _located(model, version, settings)
    with _private_folder(settings) as folder:
        with reading(model, settings):
            _, store = _manifest(found, record, folder, settings)
            with mlflow_failures(settings):
                store.download_artifacts("", str(folder))
        _check_belonging(verified(folder, record.manifest), record)
        yield Fetched(folder, record.manifest, version, found.run_id)


def check_files(model: str, version: int, settings: Settings) -> None:
    """Verify the bundle of a champion that a training found unchanged: nothing can be judged against a damaged one.

    Raises
    ------
    BundleError
        Its files are missing or were changed; the message names the remedies.
    ModelNotFoundError, StorageError
        As for :func:`fetched`.
    """
    try:
        with fetched(model, version, settings):
            return
    except BundleError as error:
        raise BundleError(
            f"version {version} of {model!r} was trained from the same data, configuration and code, but this champion "
            f"cannot be used, and training the same again does not repair it: {error}"
        ) from error


def fetched_texts(model: str, version: int, names: Collection[str], settings: Settings) -> dict[str, str]:
    """Return those of the named text files that a version's bundle has, each verified.

    Raises
    ------
    ModelNotFoundError, BundleError, StorageError
        As for :func:`fetched`.
    """
    found, record = _located(model, version, settings)
    with _private_folder(settings) as folder, reading(model, settings):
        manifest, store = _manifest(found, record, folder, settings)
        present = sorted(set(names) & manifest.by_path.keys())
        for name in present:
            with mlflow_failures(settings):
                store.download_artifacts(name, str(folder))
        return {name: verified_text(folder, manifest.by_path[name]) for name in present}


def _located(model: str, version: int, settings: Settings) -> tuple[StoredVersion, RegisteredVersion]:
    contents = registry_contents(settings)
    found = registered_in_mlflow(contents, model, version)
    record = recorded_version(contents, found, settings)
    if reason := pruned_reason(found, record):
        raise BundleError(reason)
    return found, record


def pruned_reason(version: StoredVersion, record: RegisteredVersion) -> str:
    """Return why a version cannot be loaded if retention removed its files; else an empty text."""
    if PRUNED not in version.tags:
        return ""
    name = f"{record.model}@{record.version}"
    return (
        f"retention removed the files of {record.model!r} version {record.version} "
        f"({readable(version.tags[PRUNED], 40)}). Its lineage is kept (perennial show {name}); to train it again: "
        f"perennial train {record.model} --data-version {record.data_version.removesuffix('.dir')}"
    )


@contextmanager
def _private_folder(settings: Settings) -> Iterator[Path]:
    parent = settings.var / "work"
    try:
        parent.mkdir(parents=True, exist_ok=True)
        remove_stale(parent, PREFIX)
        folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
    except OSError as error:
        raise StorageError(f"no folder can be created in {parent}: {error}; free disk space and run again") from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _manifest(
    version: StoredVersion, record: RegisteredVersion, folder: Path, settings: Settings
) -> tuple[Manifest, BundleFiles]:
    """Copy the manifest and check its hash and the store's file names and sizes; return it with the store."""
    with mlflow_failures(settings):
        store = bundle_files(version.source, settings)
        listed = _listed(store, "")
    where = _where(record)
    if MANIFEST not in listed:
        raise BundleError(f"{where} has no {MANIFEST}; {REMEDY}")
    if (listed[MANIFEST] or 0) > MAX_DOCUMENT_BYTES:
        raise BundleError(f"{where} has a {MANIFEST} of {listed[MANIFEST]:,} bytes, which is too large; {REMEDY}")
    with mlflow_failures(settings):
        store.download_artifacts(MANIFEST, str(folder))
    manifest = read_manifest(folder, record.manifest)
    with mlflow_failures(settings):
        problem = _problem(store, manifest)
    if problem:
        raise BundleError(f"{where} {problem}; {REMEDY}")
    return manifest, store


def _where(record: RegisteredVersion) -> str:
    return f"the bundle of {record.model!r} version {record.version}"


def _problem(store: BundleFiles, manifest: Manifest) -> str | None:
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


def _listed(store: BundleFiles, folder: str) -> dict[str, int | None]:
    return {item.path: item.file_size for item in store.list_artifacts(folder or None)}


def _check_belonging(manifest: Manifest, record: RegisteredVersion) -> None:
    if (manifest.model, manifest.run_key, manifest.data_version) != (record.model, record.run_key, record.data_version):
        raise BundleError(
            f"{_where(record)} belongs to model {manifest.model!r}, run {manifest.run_key[:12]}…, data version "
            f"{manifest.data_version[:12]}…; {REMEDY}"
        )
