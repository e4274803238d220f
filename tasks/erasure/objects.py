"""Earlier states of batches with the entity's rows: in DVC's cache and remote, and in snapshots."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from core.data.version import model_files, tree_files
from core.erasure.outcome import Remaining, Removed
from core.errors import StorageError
from core.storage_failure import write_errors
from store.data import versions
from store.registry.registrations import training_data_of_others
from tasks.erasure.training import TrainingData
from tasks.erasure.work import Erasure, is_in_project
from tasks.prune.found import half_removed, remove_folder, remove_tree
from tasks.versions.dvc_stores import open_stores
from tasks.versions.snapshots import snapshot_folders
from tasks.versions.working_copy import batch_hashes, batch_paths, cached_object, pointed_version

OUTSIDE = "the data remote is outside the project: delete it there"
HELD = "an earlier state of a batch, with the rows: delete it there"
SHARED = "a batch of another model has the same bytes: run the command for that model too"
UNREAD = "an earlier state of a batch that is not on this machine: delete it there if it has the rows"

_log = logging.getLogger("perennial.forget")


@dataclass(frozen=True)
class OldObjects:
    """Objects with the entity's rows that no registered version and no batch needs.

    Parameters
    ----------
    cached, in_project, elsewhere
        Files in DVC's cache, in a remote that is a folder of the project, and in one that is another folder.
    to_ask
        MD5 of objects that another remote may have: with the rows (True), or not on this machine.
    shared
        MD5 of objects with the rows that another model needs too: its batch has the same bytes.
    """

    cached: tuple[Path, ...]
    in_project: tuple[Path, ...]
    elsewhere: tuple[Path, ...]
    to_ask: Mapping[str, bool]
    shared: tuple[str, ...]


def old_objects(erasure: Erasure, training: TrainingData, going: frozenset[str]) -> OldObjects:
    """Find objects with the entity's rows that are no longer needed; of those of trainings none is.

    Parameters
    ----------
    erasure
        The erasure.
    training
        What versions were trained on.
    going
        MD5 of batches of the working copy that were rewritten, or would be.
    """
    current = {*batch_hashes(erasure.model, erasure.settings, erasure.engine).values()} - going
    cached: list[Path] = []
    remote: list[Path] = []
    to_ask: dict[str, bool] = {}
    shared: list[str] = []
    others = _of_others(erasure)
    folder = training.remote.folder if training.remote is not None else None
    for md5 in sorted((_named(erasure) | going) - current - training.objects):
        places = training.places(md5)
        if places and not training.n_rows(md5):
            continue
        if md5 in others:
            shared += [md5]
            continue
        cache = cached_object(md5, erasure.settings)
        cached += [path for path in places if path == cache]
        remote += [path for path in places if path != cache]
        if folder is None and training.remote is not None:
            to_ask[md5] = bool(places)
    ours = folder is not None and is_in_project(folder, erasure.settings)
    here, elsewhere = (remote, []) if ours else ([], remote)
    return OldObjects(tuple(cached), tuple(here), tuple(elsewhere), to_ask, tuple(shared))


def remove_objects(objects: OldObjects, erasure: Erasure, training: TrainingData) -> Iterator[Removed]:
    """Remove objects that this project holds, and yield their numbers."""
    if not erasure.is_dry:
        for path in (*objects.in_project, *objects.cached):
            with write_errors(path):
                remove_tree(path)
    if objects.cached:
        yield Removed("cache objects", ".dvc/cache", len(objects.cached))
    if objects.in_project and training.remote is not None:
        yield Removed("remote objects", training.remote.address, len(objects.in_project))


def remove_snapshots(erasure: Erasure, training: TrainingData) -> Iterator[Removed]:
    """Remove snapshots with the entity's rows that no registered version was trained on, and yield them."""
    kept = {version.removesuffix(".dir") for version in training.data_versions}
    if not erasure.is_dry:
        for half in half_removed(erasure.settings.var / "snapshots" / erasure.model):
            remove_tree(half)
    for folder in snapshot_folders(erasure.model, erasure.settings):
        n = 0 if folder.name in kept else sum(len(erasure.reader.rows(path)) for path in batch_paths(folder))
        if n:
            if not erasure.is_dry:
                with write_errors(folder):
                    remove_folder(folder)
            yield Removed("snapshots", folder.name, n)


def other_copies(objects: OldObjects, erasure: Erasure, training: TrainingData) -> Iterator[Remaining]:
    """Yield copies that another model needs, and those on a remote that is not in the project."""
    for md5 in objects.shared:
        yield Remaining("data object", md5, SHARED, training.n_rows(md5))
    for path in objects.elsewhere:
        yield Remaining("remote object", str(path), OUTSIDE)
    remote = training.remote
    if remote is None or not objects.to_ask:
        return
    try:
        found = open_stores(erasure.settings, erasure.engine).on_remote(objects.to_ask)
    except StorageError as error:
        _log.warning("the remote did not answer, so all objects that it may have are named: %s", error)
        found = {*objects.to_ask}
    for md5 in sorted(found):
        why = HELD if objects.to_ask[md5] else UNREAD
        yield Remaining("remote object", f"{remote.address}/files/md5/{md5[:2]}/{md5[2:]}", why)


def _named(erasure: Erasure) -> set[str]:
    """Return the MD5 of all batches of the model that a data version on this machine has."""
    trees = [_tree(cached_object(row.version, erasure.settings)) for row in versions(erasure.engine, erasure.model)]
    # Trees of data/ as a whole: of versions that another clone recorded, or this one in a database that was lost.
    folder = cached_object("00", erasure.settings).parents[1]
    trees += [model_files(_tree(path), erasure.model) for path in folder.glob("*/*.dir")]
    return {md5 for tree in trees for md5 in tree.values()}


def _of_others(erasure: Erasure) -> set[str]:
    """Return the MD5 of what other models need: batches in ``data.dvc``, and what versions were trained on."""
    pointed = pointed_version(erasure.settings)
    tree = {} if pointed is None else _tree(cached_object(pointed, erasure.settings))
    found = {md5 for name, md5 in tree.items() if not name.startswith(f"{erasure.model}/")}
    for version in training_data_of_others(erasure.engine, erasure.model):
        found |= {*_tree(cached_object(version, erasure.settings)).values()}
    return found


def _tree(path: Path) -> dict[str, str]:
    try:
        return tree_files(path.read_bytes())
    except (OSError, ValueError):
        return {}
