"""Restore the bytes of batches from DVC's cache and remote."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

from config.settings import Settings
from core.data.version import EMPTY, model_files, tree_version
from core.errors import DataVersionError
from core.storage_failure import write_errors
from core.text import counted
from store.database import open_database
from tasks.versions.dvc_stores import DvcStores, open_stores, place
from tasks.versions.working_copy import (
    batch_paths,
    cached_tree,
    data_folder,
    file_md5,
    pointed_version,
    remove_leftovers,
)

_log = logging.getLogger("perennial.data")


def make_sound(stores: DvcStores, files: Mapping[str, str], version: str) -> None:
    """Ensure that the cache has each file with the right content; missing and damaged files are fetched.

    Raises
    ------
    DataVersionError
        Neither the cache nor the remote has the right content.
    StorageError
        The remote does not answer, or the disk is full.
    """
    missing = stores.fetch(files.values())
    damaged = {md5 for md5 in set(files.values()) - missing if file_md5(stores.cached(md5)) != md5}
    for md5 in damaged:
        stores.cached(md5).unlink()
    missing |= stores.fetch(damaged)
    for md5 in damaged - missing:
        if file_md5(stores.cached(md5)) != md5:
            stores.cached(md5).unlink()
            missing.add(md5)
    if missing:
        names = ", ".join(sorted(name for name, md5 in files.items() if md5 in missing)[:5])
        raise DataVersionError(
            f"data version {version} cannot be restored: of its {counted(len(files), 'batch', 'batches')}, "
            f"{len(missing):,} ({names}) {'is' if len(missing) == 1 else 'are'} missing or damaged in DVC's cache and "
            f"in the remote {stores.remote.name!r} ({stores.remote.address}). "
            "Push them from a clone that still has them, or choose another version"
        )


def bring_back(stores: DvcStores, files: Mapping[str, str], folder: Path) -> None:
    """Copy verified objects of the cache into a folder, each atomically; no links, because users edit that folder."""
    with write_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        remove_leftovers(folder)
        for name, md5 in files.items():
            place(stores.cached(md5), folder / name, link=False)


def bring_back_missing(model: str, settings: Settings) -> None:
    """Restore a model's batches if ``data.dvc`` names some and the working copy has none (a fresh clone).

    Otherwise the next ingestion would start an empty history, and the commit after it would drop the old one. If the
    bytes no longer exist, a warning is logged, and a new history starts.
    """
    version = pointed_version(settings)
    if version in (None, EMPTY) or batch_paths(data_folder(model, settings)):
        return
    tree = cached_tree(str(version), settings)
    if tree is not None and not model_files(tree, model):
        return
    stores = open_stores(settings, open_database(settings.database_url))
    tree = stores.tree(str(version))
    files = {} if tree is None else model_files(tree, model)
    if tree is None or stores.fetch(files.values()):
        _log.warning("neither DVC's cache nor the remote has the batches named in data.dvc; continuing without them")
    elif files:
        make_sound(stores, files, tree_version(files))
        bring_back(stores, files, data_folder(model, settings))
        _log.info("restored %s named in data.dvc", counted(len(files), "batch", "batches"))
