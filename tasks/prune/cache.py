"""DVC's cache: data versions that the remote has and that no kept version needs. The remote is never touched."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from sqlalchemy import Engine

from config.settings import RetentionSettings, Settings
from core.data.version import version_prefix
from core.retention.items import Item, Rule
from store.data import pushed_trees, versions
from tasks.prune.found import Findings, Found, remove_tree
from tasks.versions.dvc_stores import configured_remote, open_stores
from tasks.versions.snapshots import snapshot_folders
from tasks.versions.working_copy import cached_object, cached_tree, object_path, pointed_version

NEEDED = "a kept version or the working copy needs it"
NOT_PUSHED = "the remote does not have it"


@dataclass(frozen=True)
class Needs:
    """Data versions whose objects stay in the cache, and the models of the project."""

    data_versions: frozenset[str]
    models: tuple[str, ...]


def old_objects(needs: Needs, settings: Settings, engine: Engine, retention: RetentionSettings) -> Findings:
    """Return the objects of recorded data versions in DVC's cache. The caller holds all models.

    Objects that Perennial did not record are not looked at: the project may use DVC for other files.

    Raises
    ------
    StorageError
        The remote does not answer.
    """
    rule = Rule(age=timedelta(days=retention.cache_days))
    trees = _recorded_trees(needs.models, settings, engine)
    kept = _kept_objects(needs, settings, engine)
    before = datetime.now(UTC) - rule.age
    candidates = {md5: path for md5, path in _objects(trees, settings).items() if md5 not in kept}
    old = {md5: path for md5, path in candidates.items() if _at(path) < before}
    pushed = _on_remote(old, settings, engine) if old else set()
    # Files before trees: after a kill, the tree that is left still names the files that are left.
    ordered = sorted(old, key=lambda md5: (md5.endswith(".dir"), md5))
    return Findings(rule, tuple(_found(md5, old[md5], pushed) for md5 in ordered))


def _found(md5: str, path: Path, pushed: set[str]) -> Found:
    item = Item("cache objects", "", md5, _at(path), path.stat().st_size, needed="" if md5 in pushed else NOT_PUSHED)
    return Found(item, partial(remove_tree, path))


def _recorded_trees(models: Iterable[str], settings: Settings, engine: Engine) -> dict[str, Mapping[str, str]]:
    remote = configured_remote(settings)
    names = {row.version for model in models for row in versions(engine, model)}
    names |= pushed_trees(engine, remote.address) if remote else set()
    found = {name: cached_tree(name, settings) for name in sorted(names) if cached_object(name, settings).is_file()}
    return {name: tree for name, tree in found.items() if tree is not None}


def _kept_objects(needs: Needs, settings: Settings, engine: Engine) -> set[str]:
    newest = {known[-1].version for model in needs.models if (known := versions(engine, model))}
    laid_out = {
        f"{version_prefix(path.name)}.dir" for model in needs.models for path in snapshot_folders(model, settings)
    }
    names = {*needs.data_versions, *newest, *laid_out, *filter(None, [pointed_version(settings)])}
    trees = {name: cached_tree(name, settings) or {} for name in names}
    return names.union(*(tree.values() for tree in trees.values()))


def _objects(trees: Mapping[str, Mapping[str, str]], settings: Settings) -> dict[str, Path]:
    md5s = set(trees).union(*(tree.values() for tree in trees.values()))
    return {md5: path for md5 in md5s if (path := cached_object(md5, settings)).is_file()}


def _on_remote(objects: Mapping[str, Path], settings: Settings, engine: Engine) -> set[str]:
    remote = configured_remote(settings)
    if remote is None or remote.folder is None:
        return open_stores(settings, engine).on_remote(objects)
    paths = {md5: object_path(remote.folder, md5) for md5 in objects}
    return {md5 for md5, path in paths.items() if path.is_file() and path.stat().st_size == objects[md5].stat().st_size}


def _at(path: Path) -> datetime:
    return datetime.fromtimestamp(path.stat().st_mtime, UTC)
