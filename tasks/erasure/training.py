"""What registered versions were trained on, and which of it holds the entity's rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path

from core.erasure.outcome import Remaining
from core.errors import DataVersionError
from store.registry.registrations import training_data
from tasks.erasure.work import Erasure
from tasks.versions.dvc_stores import Remote, configured_remote
from tasks.versions.known_versions import version_files
from tasks.versions.working_copy import cached_object, object_path

BATCH = "versions were trained on it and their lineage names its bytes: not changed, and later trainings read it"
VERSION = "its training read these rows: only another version that was trained without them can take its place"
UNKNOWN = "the data version it was trained on is not on record, or its bytes are lost"


class TrainingData:
    """Objects of DVC by their MD5: what versions were trained on, and how many rows of the entity each holds.

    Parameters
    ----------
    erasure
        The erasure.
    """

    def __init__(self, erasure: Erasure) -> None:
        self._erasure = erasure
        self._n_rows: dict[str, int] = {}

    @cached_property
    def remote(self) -> Remote | None:
        """The data remote."""
        return configured_remote(self._erasure.settings)

    @cached_property
    def _versions(self) -> Mapping[int, str]:
        """Data version of each version; empty where it is not on record."""
        return training_data(self._erasure.engine, self._erasure.model)

    @cached_property
    def _files(self) -> Mapping[int, Mapping[str, str] | None]:
        """Batches of each version by name, with their MD5; None if they are not known."""
        model, settings, engine = self._erasure.model, self._erasure.settings, self._erasure.engine
        found: dict[int, Mapping[str, str] | None] = {}
        for version, data_version in self._versions.items():
            try:
                found[version] = version_files(model, data_version, settings, engine) if data_version else None
            except DataVersionError:
                found[version] = None
        return found

    @cached_property
    def objects(self) -> frozenset[str]:
        """MD5 of every batch that a version was trained on."""
        return frozenset(md5 for files in self._files.values() if files is not None for md5 in files.values())

    @cached_property
    def data_versions(self) -> frozenset[str]:
        """Data versions that versions were trained on."""
        return frozenset(self._versions.values())

    def places(self, md5: str) -> list[Path]:
        """Return the files of an object on this machine: in the cache, in a remote that is a folder."""
        folder = self.remote.folder if self.remote is not None else None
        paths = [cached_object(md5, self._erasure.settings), *([object_path(folder, md5)] if folder else [])]
        return [path for path in paths if path.is_file()]

    def n_rows(self, md5: str, path: Path | None = None) -> int:
        """Return the number of the entity's rows in an object; 0 if it is not on this machine."""
        if md5 not in self._n_rows:
            paths = [path] if path is not None else self.places(md5)
            self._n_rows[md5] = len(self._erasure.reader.rows(paths[0])) if paths else 0
        return self._n_rows[md5]

    def remaining(self) -> Iterator[Remaining]:
        """Yield the versions that were trained on the entity's rows, and the batches with them."""
        batches: dict[str, int] = {}
        for version, files in self._files.items():
            if files is None:
                yield Remaining("version", f"version {version}", UNKNOWN)
                continue
            held = {name: n for name, md5 in files.items() if (n := self.n_rows(md5))}
            batches |= held
            if held:
                yield Remaining("trained version", f"version {version}", VERSION, sum(held.values()))
        for name, n in sorted(batches.items()):
            yield Remaining("batch", f"data/{self._erasure.model}/{name}", BATCH, n)
