"""The files of a registered version: in a folder of this machine, else in an artifact store of MLflow's."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
from collections.abc import Container, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from config.settings import Settings
from core.errors import BundleError
from tasks.registry.client import artifact_store, local_path

MANIFEST = "manifest.json"
MAX_MANIFEST_BYTES = 16_000_000
"""As :data:`serving.bundle.reader.MAX_DOCUMENT_BYTES`, whose module imports more than a listing may."""


class Listed(Protocol):
    """A file or folder; ``file_size`` is None for a folder, or where the store does not say."""

    @property
    def path(self) -> str:
        """Name below the store's root."""

    @property
    def file_size(self) -> int | None:
        """Bytes."""


class BundleFiles(Protocol):
    """What is asked of a store of files. Nothing that it returns is to be trusted."""

    def list_artifacts(self, path: str | None = None) -> Iterable[Listed]:
        """Return the files and folders in a folder, not those below."""

    def download_artifacts(self, artifact_path: str, dst_path: str) -> object:
        """Copy a file, or with an empty path everything, to the same name in a folder of this machine."""


def bundle_files(source: str, settings: Settings) -> BundleFiles:
    """Return the store of a version's address; MLflow is imported only if the files are not on this machine."""
    folder = local_path(source)
    if folder is not None:
        return LocalFiles(Path(folder))
    return artifact_store(source, settings)


def looks_whole(source: str, manifest_sha256: str) -> bool:
    """Return whether the files of a version's address are still those of its manifest; True if they are elsewhere.

    It reads them with the standard library alone, for a command that has nothing to do; nothing is taken from them.
    :func:`serving.bundle.reader.verified` is what decides before a bundle is used.

    Parameters
    ----------
    source
        Address of the files, from MLflow.
    manifest_sha256
        Hash of the manifest, from the operational database.
    """
    folder = local_path(source)
    if folder is None:
        return True
    try:
        manifest = Path(folder) / MANIFEST
        if not is_manifest(manifest, manifest_sha256):
            return False
        files = json.loads(manifest.read_bytes())["files"]
        n_found = sum(not path.is_dir() for path in Path(folder).rglob("*"))
        return n_found == len(files) + 1 and all(_is_whole(Path(folder) / file["path"], file) for file in files)
    except OSError:
        return False


def is_manifest(path: Path, sha256: str) -> bool:
    """Return whether a path is a manifest with this hash: a regular file, and no larger than one may be.

    Raises
    ------
    OSError
        It cannot be read.
    """
    with suppress(FileNotFoundError, NotADirectoryError):
        return _is_file_of(path, range(MAX_MANIFEST_BYTES + 1)) and file_sha256(path) == sha256
    return False


def _is_whole(path: Path, file: Mapping[str, Any]) -> bool:
    return _is_file_of(path, (int(file["size"]),)) and file_sha256(path) == file["sha256"]


def _is_file_of(path: Path, sizes: Container[int]) -> bool:
    """Return whether a path is a regular file of one of these sizes: a pipe never ends, nor does a device."""
    found = path.stat()
    return stat.S_ISREG(found.st_mode) and found.st_size in sizes


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file, 64 hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@dataclass(frozen=True)
class LocalFile:
    """A file or folder on this machine."""

    path: str
    file_size: int | None


class LocalFiles:
    """A folder of this machine as a store of files.

    Parameters
    ----------
    root
        The folder; it need not exist.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def list_artifacts(self, path: str | None = None) -> Iterable[Listed]:
        """Return the files and folders in a folder; links are what they lead to."""
        folder = self._root / (path or "")
        if not folder.is_dir():
            return []
        with os.scandir(folder) as entries:
            return [
                LocalFile((Path(path or "") / entry.name).as_posix(), None if entry.is_dir() else entry.stat().st_size)
                for entry in entries
            ]

    def download_artifacts(self, artifact_path: str, dst_path: str) -> None:
        """Copy a file or everything; the copy has none of the modes of what is copied.

        Raises
        ------
        BundleError
            There is a pipe or a device, whose content never ends.
        """
        chosen = [self._root / artifact_path] if artifact_path else self._root.rglob("*")
        for path in chosen:
            target = Path(dst_path) / path.relative_to(self._root)
            if path.is_dir():
                target.mkdir(parents=True, exist_ok=True)
            else:
                target.parent.mkdir(parents=True, exist_ok=True)
                _copy(path, target)


def _copy(path: Path, target: Path) -> None:
    if path.exists() and not path.is_file():
        raise BundleError(f"{path} is no regular file; it was changed after registration: restore it from a backup")
    shutil.copyfile(path, target)
