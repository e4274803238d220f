"""Data versions laid out read-only for runs."""

from __future__ import annotations

import json
import logging
import shutil
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from config.settings import RetentionSettings, Settings, load_section
from core.data.version import tree_version, version_prefix
from core.errors import DataVersionError, RunInProgressError
from core.references import Snapshot
from core.storage_failure import write_errors
from store.data import versions
from store.database import open_database
from tasks.versions.bring_back import make_sound
from tasks.versions.dvc_stores import DvcStores, open_stores, place
from tasks.versions.known_versions import resolved_version, version_files
from tasks.versions.leases import removing
from tasks.versions.working_copy import batch_facts, batch_paths, file_md5, file_state

_CONTENTS = ".contents.json"

_log = logging.getLogger("perennial.data")


def lay_out_snapshot(model: str, version: str, settings: Settings) -> Snapshot:
    """Lay a data version out read-only under ``<var>/snapshots``, apart from the working copy.

    The files are hard links to DVC's cache if the disk supports them. A snapshot is complete or absent: it is verified
    against its hashes and then renamed into place. An existing snapshot is used again. The caller holds the model.

    Parameters
    ----------
    version
        32 hex digits, or the first 6 or more of them if they are unambiguous; with or without ``.dir``.

    Raises
    ------
    DataVersionError
        There is no such version, or neither the cache nor the remote still has its bytes.
    StorageError
        The remote does not answer, or the disk is full.
    """
    engine = open_database(settings.database_url)
    found = resolved_version(model, version, settings, engine)
    folder = settings.var / "snapshots" / model / found.removesuffix(".dir")
    if (snapshot := _complete_snapshot(model, found, folder)) is not None:
        folder.touch()
        return snapshot
    stores = open_stores(settings, engine)
    files = version_files(model, found, settings, engine, stores)
    make_sound(stores, files, found)
    _lay_out(stores, files, folder)
    _prune(model, settings)
    snapshot = _complete_snapshot(model, found, folder)
    if snapshot is None:
        raise DataVersionError(f"{folder} changed while it was laid out; run the same command again")
    _log.info("laid out data version %s: %s rows", found, f"{snapshot.n_rows:,}")
    return snapshot


def laid_out(model: str, version: str, settings: Settings) -> Snapshot | None:
    """Return the snapshot of a data version that is known and laid out; None if it must be found or laid out first.

    Parameters
    ----------
    version
        As for :func:`lay_out_snapshot`.
    """
    prefix = version_prefix(version)
    recorded = {row.version for row in versions(open_database(settings.database_url), model)}
    found = [name for name in recorded if prefix is not None and name.startswith(prefix)]
    if len(found) != 1:
        return None
    return _complete_snapshot(model, found[0], settings.var / "snapshots" / model / found[0].removesuffix(".dir"))


def _lay_out(stores: DvcStores, files: Mapping[str, str], folder: Path) -> None:
    with write_errors(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        for leftover in [*folder.parent.glob(".*.tmp"), *([folder] if folder.exists() else [])]:
            _remove_tree(leftover)
        temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}.", suffix=".tmp"))
        for name, md5 in files.items():
            place(stores.cached(md5), temporary / name, link=True)
        contents = {name: _entry(temporary / name, md5) for name, md5 in files.items()}
        (temporary / _CONTENTS).write_text(json.dumps(contents))
        (temporary / _CONTENTS).chmod(0o444)
        temporary.chmod(0o555)
        temporary.rename(folder)


def _entry(path: Path, md5: str) -> dict[str, object]:
    return {
        "md5": md5,
        "size": path.stat().st_size,
        "n_rows": batch_facts(path).n_rows,
        "state": file_state(path),
    }


def _complete_snapshot(model: str, version: str, folder: Path) -> Snapshot | None:
    """Return the snapshot of a folder if its files are those of the version; else None.

    A file is hashed again if it was touched since it was laid out: it is a hard link to an object of DVC's cache, and a
    change of the object there is a change here.
    """
    try:
        contents = json.loads((folder / _CONTENTS).read_text())
        sizes = {path.name: path.stat().st_size for path in batch_paths(folder)}
        if tree_version({name: entry["md5"] for name, entry in contents.items()}) != version:
            return None
        if sizes != {name: entry["size"] for name, entry in contents.items()}:
            return None
        if any(_is_changed(folder / name, entry) for name, entry in contents.items()):
            return None
        n_rows = sum(int(entry["n_rows"]) for entry in contents.values())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return Snapshot(model=model, version=version, path=folder, n_rows=n_rows, n_batches=len(sizes))


def _is_changed(path: Path, entry: Mapping[str, object]) -> bool:
    return entry.get("state") != file_state(path) and file_md5(path) != entry["md5"]


def snapshot_folders(model: str, settings: Settings) -> list[Path]:
    """Return the folders of a model's snapshots, by name; none if there is none."""
    parent = settings.var / "snapshots" / model
    if not parent.is_dir():
        return []
    found = (path for path in parent.iterdir() if path.is_dir() and not path.is_symlink())
    return sorted(path for path in found if version_prefix(path.name))


def _prune(model: str, settings: Settings) -> None:
    """Remove old snapshots, which are laid out again from DVC's cache when needed, unless one of them is being read."""
    old = sorted(snapshot_folders(model, settings), key=_used_at, reverse=True)[
        load_section(RetentionSettings).snapshots :
    ]
    with suppress(RunInProgressError), removing(model, settings):
        for path in old:
            # Of another user who shares the project; that user's runs remove it.
            with suppress(PermissionError):
                _remove_tree(path)


def _used_at(path: Path) -> float:
    return path.stat().st_mtime


def _remove_tree(path: Path) -> None:
    path.chmod(0o755)
    shutil.rmtree(path)
