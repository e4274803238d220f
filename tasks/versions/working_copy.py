"""The user's working copy: ``data/<model>/*.parquet``, ``data.dvc`` and the state of git."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from config.settings import Settings
from core.data.deliveries import PREDICTION_LOG
from core.data.version import batch_number, pointer_version, tree_files, tree_version
from core.errors import DataVersionError, SourceError, StorageError
from core.storage_failure import write_errors

if TYPE_CHECKING:
    from sqlalchemy import Engine

STALE_SECONDS = 24 * 3600.0

_log = logging.getLogger("perennial.data")


@dataclass(frozen=True)
class BatchFacts:
    """Facts from the footer of a batch file, which is the same in every clone.

    Parameters
    ----------
    undeclared
        Columns of its source that the model file did not declare.
    files, reading, n_read, n_offered
        Hashes of the files that were read, hash of how they were read, number of rows read, and number of those that
        were not set aside; empty and None for batches from before they were recorded.
    """

    fingerprint: str
    source: str
    n_rows: int
    first_time: datetime | None
    last_time: datetime | None
    undeclared: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    reading: str = ""
    n_read: int | None = None
    n_offered: int | None = None

    @property
    def is_served(self) -> bool:
        """Whether its rows are served ones, from the prediction log."""
        return self.source == PREDICTION_LOG


def data_folder(model: str, settings: Settings) -> Path:
    """Return the folder of a model's batches."""
    return settings.root / "data" / model


def batch_paths(folder: Path) -> list[Path]:
    """Return the Parquet files of a folder in batch order; files without a number come last, by name."""
    if not folder.is_dir():
        return []
    paths = [path for path in folder.glob("*.parquet") if not path.name.startswith(".")]
    return sorted(paths, key=lambda path: (batch_number(path.name) or 10**9, path.name))


def remove_leftovers(folder: Path) -> None:
    """Remove temporary files of a killed run (their names start with a dot). The caller holds the model."""
    for path in folder.glob(".*.tmp"):
        path.unlink(missing_ok=True)


def remove_stale(folder: Path, prefix: str) -> None:
    """Remove folders of killed processes that are older than a day; younger ones may be in use."""
    for leftover in folder.glob(f"{prefix}*"):
        if time.time() - leftover.stat().st_mtime > STALE_SECONDS:
            shutil.rmtree(leftover, ignore_errors=True)


def batch_facts(path: Path) -> BatchFacts:
    """Read the facts in a batch file's footer.

    Raises
    ------
    SourceError
        The file is no Parquet file (damaged, or not written by Perennial).
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        footer = pq.read_metadata(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise SourceError(
            f"{path} is not a readable Parquet file ({str(error).splitlines()[0]}); "
            "remove it, or restore the data with 'perennial data restore'"
        ) from error
    notes = footer.metadata or {}
    return BatchFacts(
        fingerprint=_note(notes, "fingerprint"),
        source=_note(notes, "source"),
        n_rows=footer.num_rows,
        first_time=_moment(_note(notes, "first_time")),
        last_time=_moment(_note(notes, "last_time")),
        undeclared=tuple(json.loads(_note(notes, "undeclared") or "[]")),
        files=tuple(json.loads(_note(notes, "files") or "[]")),
        reading=_note(notes, "reading"),
        n_read=_number(_note(notes, "n_read")),
        n_offered=_number(_note(notes, "n_offered")),
    )


def file_md5(path: Path) -> str:
    """Return the MD5 of a file's bytes, 32 hex digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def batch_hashes(model: str, settings: Settings, engine: Engine) -> dict[str, str]:
    """Return the MD5 of a model's batches by file name; a file that is unchanged since it was hashed is not read."""
    from store.data import batches, record_hashes

    known = batches(engine, model)
    hashes: dict[str, str] = {}
    computed = []
    for path in batch_paths(data_folder(model, settings)):
        state = file_state(path)
        row = known.get(path.name)
        if row is not None and row.md5 and row.file_state == state:
            hashes[path.name] = row.md5
        else:
            hashes[path.name] = file_md5(path)
            computed.append((path.name, hashes[path.name], state))
    if computed:
        record_hashes(engine, model, computed)
    return hashes


def pointer(settings: Settings) -> str:
    """Return the text of ``data.dvc``; empty if there is no such file."""
    path = settings.root / "data.dvc"
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""
    except UnicodeDecodeError as error:
        raise StorageError(f"{path} is not text; restore it with 'git checkout data.dvc'") from error


def write_pointer(text: str, settings: Settings) -> None:
    """Replace ``data.dvc`` atomically; a file with the same text is not written."""
    if pointer(settings) == text:
        return
    path = settings.root / "data.dvc"
    with write_errors(path):
        temporary = path.with_name(".data.dvc.tmp")
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)


def object_path(store: Path, md5: str) -> Path:
    """Return the place of an object in a store of DVC, the cache or a remote's folder."""
    return store / "files" / "md5" / md5[:2] / md5[2:]


def cached_object(md5: str, settings: Settings) -> Path:
    """Return the place of an object in DVC's cache in its usual folder."""
    return object_path(settings.root / ".dvc" / "cache", md5)


def cached_tree(version: str, settings: Settings) -> dict[str, str] | None:
    """Return a tree object from DVC's cache in its usual folder, without importing DVC; None if it is missing."""
    path = cached_object(version, settings)
    try:
        files = tree_files(path.read_bytes())
    except (OSError, ValueError):
        return None
    return files if tree_version(files) == version else None


def pointed_version(settings: Settings) -> str | None:
    """Return the version of ``data/`` that ``data.dvc`` names; None if there is no such file.

    Raises
    ------
    DataVersionError
        The file names no version, or several (a merge with conflicts).
    """
    text = pointer(settings)
    version = pointer_version(text)
    if version is None and text.strip():
        raise DataVersionError(
            f"{settings.root / 'data.dvc'} must name exactly one data version; resolve the merge conflict, "
            "or restore it with 'git checkout data.dvc'"
        )
    return version


def git_state(root: Path) -> tuple[str, bool]:
    """Return the commit that is checked out, and whether any file except ``data.dvc`` differs from it.

    ``data.dvc`` is excluded because every ingestion changes it and its content is recorded separately; otherwise every
    run would be dirty. Git is only read; its index is not refreshed. Outside a repository: ``('', False)``.
    """
    commit = _git(root, "rev-parse", "--verify", "--quiet", "HEAD")
    if commit is None:
        return "", False
    status = _git(root, "--no-optional-locks", "status", "--porcelain", "--", ".", ":(exclude)data.dvc")
    return commit.strip(), bool(status and status.strip())


def file_state(path: Path) -> str:
    """Return what changes when a file is written; no program can set the time of the change, as it can the other."""
    found = path.stat()
    return f"{found.st_size}:{found.st_mtime_ns}:{found.st_ino}:{found.st_ctime_ns}"


def _note(notes: Mapping[bytes, bytes], name: str) -> str:
    return notes.get(f"perennial.{name}".encode(), b"").decode(errors="replace")


def _number(text: str) -> int | None:
    return int(text) if text else None


def _moment(text: str) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _git(root: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(  # noqa: S603 - fixed arguments
            ["git", *arguments],  # noqa: S607 - the user's own git
            cwd=root,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=60,
            env=os.environ | {"LC_ALL": "C"},
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        _log.warning("the state of git is not recorded: %s", error)
        return None
    return done.stdout if done.returncode == 0 else None
