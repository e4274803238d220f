"""The files of a registered version: in a folder of this machine, else in an artifact store of MLflow's."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from config.settings import Settings
from tasks.registry.client import artifact_store, local_path


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
        """Copy a file or everything; the copy has none of the modes of what is copied."""
        chosen = [self._root / artifact_path] if artifact_path else self._root.rglob("*")
        for path in chosen:
            target = Path(dst_path) / path.relative_to(self._root)
            if path.is_dir():
                target.mkdir(parents=True, exist_ok=True)
            else:
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, target)
