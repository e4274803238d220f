"""Where an output appears: under its name only when it is whole."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from config.settings import Settings
from core.score.addresses import set_aside_path
from core.score.plan import ScoringRequest
from core.storage_failure import storage_errors
from tasks.score.staging import output_digest, output_path, staging_folder


class Target(Protocol):
    """A place for an output."""

    @property
    def shown(self) -> str:
        """Its address without credentials."""

    @property
    def set_aside(self) -> str:
        """Address of the rows that are set aside."""

    def exists(self) -> bool:
        """Whether something is there."""

    def holds(self, sha256: str) -> bool:
        """Whether it is an output with this digest."""

    def put(self, whole: Path, set_aside: Path | None) -> None:
        """Move a whole output there, after the rows that were set aside; a repeat goes on from what a kill left."""


def target_of(request: ScoringRequest, settings: Settings) -> Target:
    """Return the place of an output.

    Raises
    ------
    ConfigError
        Its folder does not exist.
    """
    path = output_path(request, settings)
    if path is None:
        raise NotImplementedError
    return LocalTarget(path, set_aside_path(path, request.kind), staging_folder(request, settings))


@dataclass(frozen=True)
class LocalTarget:
    """A file or folder on this machine; the staging folder is beside it, so that a rename moves it."""

    path: Path
    set_aside_path: Path
    staging: Path

    @property
    def shown(self) -> str:
        """Its path."""
        return str(self.path)

    @property
    def set_aside(self) -> str:
        """Path of the rows that are set aside."""
        return str(self.set_aside_path)

    def exists(self) -> bool:
        """Whether something is there, other than an empty folder, or rows that an earlier scoring set aside."""
        if self.path.is_dir() and not self.path.is_symlink() and not any(self.path.iterdir()):
            return self.set_aside_path.exists()
        return self.path.exists() or self.path.is_symlink() or self.set_aside_path.exists()

    def holds(self, sha256: str) -> bool:
        """Whether it is an output with this digest."""
        with storage_errors(self.path):
            return self.path.exists() and output_digest(self.path) == sha256

    def put(self, whole: Path, set_aside: Path | None) -> None:
        """Rename a whole output into place; the rows that were set aside come first."""
        with storage_errors(self.path):
            if set_aside is not None and set_aside.exists():
                set_aside.replace(self.set_aside_path)
            whole.replace(self.path)
