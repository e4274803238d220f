"""Where an output appears: under its name only when it is whole."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, Protocol

from config.settings import Settings
from core.errors import SourceError, StorageError
from core.score.addresses import output_kind, set_aside_path, sql_table
from core.score.plan import ScoringPlan, ScoringRequest
from core.storage_failure import storage_errors
from tasks.score.sql_output import SqlTarget
from tasks.score.staging import output_digest, output_path, staging_folder
from tasks.source.files import remote_failures, without_credentials


class Target(Protocol):
    """A place for an output."""

    @property
    def shown(self) -> str:
        """Its address without credentials."""

    def set_aside(self, plan: ScoringPlan) -> str:
        """Address of the rows that are set aside."""

    def check(self, names: Sequence[str]) -> None:
        """Refuse a place that cannot take these columns."""

    def exists(self) -> bool:
        """Whether something is there that is not to be overwritten."""

    def holds(self, plan: ScoringPlan, sha256: str) -> bool:
        """Whether it holds the result of a plan, whose digest is given."""

    def has_set_aside(self, plan: ScoringPlan) -> bool:
        """Whether the rows that were set aside are there."""

    def put_set_aside(self, plan: ScoringPlan, rows: Path) -> None:
        """Move the rows that were set aside to their place, before the output; a repeat changes nothing."""

    def put(self, plan: ScoringPlan, whole: Path) -> None:
        """Move a whole output there; a repeat goes on from what a kill left."""


def target_of(request: ScoringRequest, settings: Settings) -> Target:
    """Return the place of an output.

    Raises
    ------
    ConfigError
        Its folder does not exist.
    """
    path = output_path(request, settings)
    if path is None:
        table = sql_table(request.output)
        return RemoteTarget(request.output) if table is None else SqlTarget(table, settings.var)
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

    def set_aside(self, plan: ScoringPlan) -> str:  # noqa: ARG002 - the same for all plans
        """Path of the rows that are set aside."""
        return str(self.set_aside_path)

    def check(self, names: Sequence[str]) -> None:
        """Accept any columns."""

    def exists(self) -> bool:
        """Whether something is there, other than an empty folder, or rows that an earlier scoring set aside."""
        if self.path.is_dir() and not self.path.is_symlink() and not any(self.path.iterdir()):
            return self.set_aside_path.exists()
        return self.path.exists() or self.path.is_symlink() or self.set_aside_path.exists()

    def holds(self, plan: ScoringPlan, sha256: str) -> bool:  # noqa: ARG002 - the digest is of all its bytes
        """Whether it is an output with this digest."""
        with storage_errors(self.path):
            return self.path.exists() and output_digest(self.path) == sha256

    def has_set_aside(self, plan: ScoringPlan) -> bool:  # noqa: ARG002 - the same for all plans
        """Whether the file with the rows that were set aside is there."""
        return self.set_aside_path.exists()

    def put_set_aside(self, plan: ScoringPlan, rows: Path) -> None:  # noqa: ARG002 - the same for all plans
        """Rename the file with the rows that were set aside; after a kill it may have its name already."""
        with storage_errors(self.set_aside_path):
            if rows.exists():
                rows.replace(self.set_aside_path)

    def put(self, plan: ScoringPlan, whole: Path) -> None:  # noqa: ARG002 - a rename alone
        """Rename a whole output into place."""
        with storage_errors(self.path):
            whole.replace(self.path)


@dataclass(frozen=True)
class RemoteTarget:
    """A file at an address of fsspec: it is written under another name, then moved."""

    address: str

    @property
    def shown(self) -> str:
        """Its address without credentials."""
        return without_credentials(self.address)

    def set_aside(self, plan: ScoringPlan) -> str:  # noqa: ARG002 - the same for all plans
        """Address of the rows that are set aside."""
        return without_credentials(self._set_aside)

    def check(self, names: Sequence[str]) -> None:
        """Accept any columns."""

    def exists(self) -> bool:
        """Whether there is a file, or one of rows that an earlier scoring set aside."""
        addresses = (self.address, self._set_aside)
        return any(self._with(address, lambda system, path: system.exists(path)) for address in addresses)

    def holds(self, plan: ScoringPlan, sha256: str) -> bool:  # noqa: ARG002 - the digest is of all its bytes
        """Whether it is a file with this digest; it is read once."""
        return bool(self._with(self.address, lambda system, path: _remote_digest(system, path) == sha256))

    def has_set_aside(self, plan: ScoringPlan) -> bool:  # noqa: ARG002 - the same for all plans
        """Whether the file with the rows that were set aside is there."""
        return bool(self._with(self._set_aside, lambda system, path: system.exists(path)))

    def put_set_aside(self, plan: ScoringPlan, rows: Path) -> None:
        """Write the rows that were set aside under another name and move them; a repeat writes them again."""
        self._write(self._set_aside, rows, plan)

    def put(self, plan: ScoringPlan, whole: Path) -> None:
        """Write a whole output under another name and move it."""
        self._write(self.address, whole, plan)

    def _write(self, address: str, file: Path, plan: ScoringPlan) -> None:
        try:
            self._with(address, partial(_move_in, file, plan.id[:12]), "written")
        except SourceError as error:
            # The rows are scored: the run is repeated, or goes on, with the parts that are done.
            raise StorageError(f"{error}, then run the same command again: it goes on from here") from error

    @property
    def _set_aside(self) -> str:
        folder, _, name = self.address.rpartition("/")
        return f"{folder}/{set_aside_path(Path(name), output_kind(self.address)).name}"

    def _with(self, address: str, work: Callable[[Any, str], Any], done: Literal["read", "written"] = "read") -> Any:
        import fsspec

        with remote_failures(without_credentials(address), done):
            system, path = fsspec.core.url_to_fs(address)
            system.invalidate_cache()
            return work(system, path)


def _remote_digest(system: Any, path: str) -> str | None:
    if not system.exists(path):
        return None
    with system.open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _move_in(file: Path, mark: str, system: Any, path: str) -> None:
    folder, _, name = path.rpartition("/")
    temporary = f"{folder}/.{name}.{mark}.tmp"
    system.put_file(str(file), temporary)
    system.mv(temporary, path)
