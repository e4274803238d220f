"""Version a model's data with DVC, restore versions, and list their history."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from sqlalchemy import Engine

from config.load import load_model_config
from config.schema import ModelConfig
from config.settings import Settings
from core.data.history import BatchEntry, DataHistory, VersionEntry
from core.data.version import (
    EMPTY,
    model_files,
    pointer_text,
    tree_version,
    with_model_files,
)
from core.errors import ConfigError, DataVersionError, SchemaError, StorageError
from core.references import DataVersion
from core.storage_failure import write_errors
from core.text import counted
from store.data import batches, pushed_trees, record_version, versions
from store.database import open_database
from tasks.source.engine import ingestion_engine
from tasks.source.stage import is_known_delivery
from tasks.versions.batches import deliveries, has_batches, known_batch, read_before, record_files, write_batch
from tasks.versions.bring_back import bring_back, make_sound
from tasks.versions.dvc_stores import DvcStores, configured_remote, open_stores
from tasks.versions.known_rows import count_distinct
from tasks.versions.known_versions import LATEST, latest_version, resolved_version, version_files
from tasks.versions.snapshots import lay_out_snapshot
from tasks.versions.working_copy import (
    batch_facts,
    batch_hashes,
    batch_paths,
    cached_tree,
    data_folder,
    file_md5,
    git_state,
    object_path,
    pointed_version,
    pointer,
    remove_stale,
    write_pointer,
)

__all__ = [
    "data_history",
    "delivered_version",
    "git_state",
    "has_batches",
    "known_batch",
    "lay_out_snapshot",
    "n_distinct_rows",
    "read_before",
    "restore_data",
    "version_data",
    "write_batch",
]

_log = logging.getLogger("perennial.data")

_DISTINCT = "distinct-"


def version_data(config: ModelConfig, settings: Settings) -> DataVersion:
    """Add the working copy's batches of a model to DVC's cache, push them and point ``data.dvc`` at them.

    Nothing is staged, committed or checked out in the user's git tree; only ``data.dvc`` is rewritten, after everything
    it names has been pushed to the remote. Entries of other models are kept, so that a clone that never pulled them
    does not lose them. A repeat without new data does not import DVC.

    Raises
    ------
    DataVersionError
        The model has no batch yet.
    StorageError
        The remote is missing, read-only or full; the batches are kept, and the next call pushes them.
    ConfigError
        DVC has no remote.
    """
    model, engine = config.model, open_database(settings.database_url)
    hashes = batch_hashes(model, settings, engine)
    if not hashes:
        raise DataVersionError(f"the model {model!r} has no batch in {data_folder(model, settings)}; ingest rows first")
    if not _is_published(model, hashes, settings, engine):
        _publish(model, hashes, settings, engine)
    version = _described(model, hashes, settings)
    n_rows, n_batches = counted(version.n_rows, "row"), counted(version.n_batches, "batch", "batches")
    _log.info("data version %s: %s in %s", version.version, n_rows, n_batches)
    return version


def delivered_version(config: ModelConfig, settings: Settings) -> str | None:
    """Return the data version that an ingestion would give, if it would change nothing; None if it must be run.

    Rows are not read: the files of the source are the ones that the batches were written from, the batches are the ones
    that ``data.dvc`` names, and the remote has them. The caller holds the model.
    """
    engine = open_database(settings.database_url)
    hashes = batch_hashes(config.model, settings, engine)
    if not hashes or not _is_published(config.model, hashes, settings, engine):
        return None
    work = settings.var / "work" / config.model
    is_known = is_known_delivery(config, settings, work, deliveries(config.model, settings, hashes))
    shutil.rmtree(work, ignore_errors=True)
    return tree_version(hashes) if is_known else None


def restore_data(model: str, version: str, settings: Settings, *, force: bool = False) -> list[Path]:
    """Restore the exact bytes of a data version to ``data/<model>`` and write the version into ``data.dvc``.

    Works in a fresh clone that has only git and the remote. The caller holds the model.

    Parameters
    ----------
    version
        ``latest`` is the newest version; if there is none yet, nothing is restored.
    force
        Delete files of the working copy that are in neither the cache nor the remote.

    Returns
    -------
    list of Path
        The model's batches, in order.

    Raises
    ------
    DataVersionError
        There is no such version, its bytes are lost, or files would be lost and ``force`` is not given.
    StorageError
        The remote does not answer, or the disk is full.
    """
    engine = open_database(settings.database_url)
    stores = open_stores(settings, engine)
    found = (
        latest_version(model, settings, engine, stores)
        if version == LATEST
        else resolved_version(model, version, settings, engine, stores)
    )
    if found is None:
        _log.info("%s has no data version yet", model)
        return []
    files = version_files(model, found, settings, engine, stores)
    folder = data_folder(model, settings)
    present = {path.name: file_md5(path) for path in batch_paths(folder)}
    surplus = {name: md5 for name, md5 in present.items() if files.get(name) != md5}
    if not force:
        _refuse_loss(folder, surplus, stores)
    make_sound(stores, files, found)
    bring_back(stores, {name: md5 for name, md5 in files.items() if present.get(name) != md5}, folder)
    for name in surplus.keys() - files.keys():
        (folder / name).unlink()
    _point_at_restored(model, files, stores, settings)
    paths = batch_paths(folder)
    record_files(paths, model, settings, n_quarantined=None)
    _log.info("restored data version %s: %s", found, counted(len(paths), "batch", "batches"))
    return paths


def data_history(model: str, settings: Settings) -> DataHistory:
    """Return a model's data versions, oldest first, and the batches of the working copy.

    In a fresh clone, the history contains what the files, ``data.dvc`` and the remote record.
    """
    engine = open_database(settings.database_url)
    current = _current_version(model, settings, engine)
    known = [
        VersionEntry(
            version=row.version,
            created_at=row.created_at,
            n_rows=row.n_rows,
            n_batches=row.n_batches,
            size_bytes=row.size_bytes,
            git_commit=row.git_commit,
            is_current=current is not None and row.version == current.version,
        )
        for row in versions(engine, model)
    ]
    if current is not None and all(entry.version != current.version for entry in known):
        known.append(current)
    entries = tuple(_batch_entries(model, settings, engine))
    return DataHistory(model, tuple(known), entries, n_rows=sum(entry.n_rows for entry in entries))


def n_distinct_rows(model: str, settings: Settings) -> int | None:
    """Count the rows of the working copy once each, see :func:`tasks.versions.known_rows.count_distinct`.

    None if the model file cannot be loaded, or the rows do not fit it.
    """
    import duckdb

    folder = settings.var / "tmp"
    with write_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        remove_stale(folder, _DISTINCT)
    try:
        config = load_model_config(settings.root, model)
        with TemporaryDirectory(prefix=_DISTINCT, dir=folder) as work, ingestion_engine(settings, Path(work)) as engine:
            return count_distinct(engine, batch_paths(data_folder(model, settings)), config)
    except (ConfigError, SchemaError, duckdb.Error) as error:
        _log.warning("distinct rows are not counted: %s", error)
        return None


def _described(model: str, hashes: Mapping[str, str], settings: Settings) -> DataVersion:
    paths = [data_folder(model, settings) / name for name in hashes]
    return DataVersion(
        model=model,
        version=tree_version(hashes),
        n_rows=sum(batch_facts(path).n_rows for path in paths),
        n_batches=len(paths),
        size_bytes=sum(path.stat().st_size for path in paths),
        pointer=pointer(settings),
    )


def _is_published(model: str, hashes: Mapping[str, str], settings: Settings, engine: Engine) -> bool:
    """Return whether ``data.dvc`` names these batches and all of them were pushed, without importing DVC."""
    remote, version = configured_remote(settings), pointed_version(settings)
    tree = None if version is None else cached_tree(version, settings)
    if remote is None or version is None or tree is None or with_model_files(tree, model, hashes) != tree:
        return False
    objects = {version, tree_version(hashes)}
    if not objects <= pushed_trees(engine, remote.address):
        return False
    # A folder is checked again, which is fast; objects that were once pushed to a cloud are assumed to be there.
    store, needed = remote.folder, objects | set(hashes.values())
    return store is None or all(object_path(store, md5).is_file() for md5 in needed)


def _publish(model: str, hashes: Mapping[str, str], settings: Settings, engine: Engine) -> None:
    folder = data_folder(model, settings)
    files = {md5: folder / name for name, md5 in hashes.items()}
    stores = open_stores(settings, engine)
    stores.add(files)
    version = stores.add_tree(hashes)
    # Pushed from the working copy, not from the cache, because its hashes have just been computed.
    stores.push(files)
    stores.push({version: stores.cached(version)})
    data_version = _point_at(model, hashes, stores, settings)
    _remember(model, hashes, [version, data_version], stores, settings, engine)


def _point_at(model: str, hashes: Mapping[str, str], stores: DvcStores, settings: Settings) -> str:
    """Replace a model's entries in the tree of ``data/``, push that tree, then write ``data.dvc``."""
    with stores.lock:
        tree = with_model_files(_tree_before(model, stores, settings), model, hashes)
        version = stores.add_tree(tree)
        _push_whole(version, tree, stores)
        write_pointer(_pointer_to(version, tree, stores), settings)
    return version


def _point_at_restored(model: str, files: Mapping[str, str], stores: DvcStores, settings: Settings) -> None:
    """Write restored batches into ``data.dvc``; if the remote is read-only, only a warning is logged."""
    with stores.lock:
        tree = with_model_files(_tree_before(model, stores, settings), model, files)
        version = stores.add_tree(tree)
        try:
            _push_whole(version, tree, stores)
        except StorageError as error:
            _log.warning(
                "data.dvc names %s, which the remote will have only after the next ingestion: %s", version, error
            )
        write_pointer(_pointer_to(version, tree, stores), settings)


def _push_whole(version: str, tree: Mapping[str, str], stores: DvcStores) -> None:
    """Push the tree's objects in the cache, then the tree; other models may have been pushed to another remote."""
    files = {md5: stores.cached(md5) for md5 in tree.values()}
    stores.push({md5: path for md5, path in files.items() if path.exists()})
    stores.push({version: stores.cached(version)})


def _pointer_to(version: str, tree: Mapping[str, str], stores: DvcStores) -> str:
    paths = [stores.cached(md5) for md5 in tree.values()]
    size = sum(path.stat().st_size for path in paths) if all(path.exists() for path in paths) else None
    return pointer_text(version, size, len(tree))


def _tree_before(model: str, stores: DvcStores, settings: Settings) -> dict[str, str]:
    version = pointed_version(settings)
    if version in (None, EMPTY):
        return {}
    tree = stores.tree(str(version))
    if tree is not None:
        return tree
    _log.warning(
        "neither DVC's cache nor the remote has %s, which data.dvc names; the entries of other models are read from "
        "the working copy, and models without files there are removed from data.dvc",
        version,
    )
    paths = [path for path in sorted((settings.root / "data").glob("*/*.parquet")) if path.parent.name != model]
    hashes = {f"{path.parent.name}/{path.name}": file_md5(path) for path in paths}
    stores.add({hashes[f"{path.parent.name}/{path.name}"]: path for path in paths})
    return hashes


def _remember(
    model: str,
    hashes: Mapping[str, str],
    trees: list[str],
    stores: DvcStores,
    settings: Settings,
    engine: Engine,
) -> None:
    described = _described(model, hashes, settings)
    now = datetime.now(UTC)
    record_files([data_folder(model, settings) / name for name in hashes], model, settings, n_quarantined=None)
    version = {
        "model": model,
        "version": described.version,
        "n_rows": described.n_rows,
        "n_batches": described.n_batches,
        "size_bytes": described.size_bytes,
        "created_at": now,
        "git_commit": git_state(settings.root)[0],
    }
    record_version(engine, version, trees, stores.remote.address, now)


def _refuse_loss(folder: Path, surplus: Mapping[str, str], stores: DvcStores) -> None:
    kept = stores.has(surplus.values())
    lost = sorted(name for name, md5 in surplus.items() if md5 not in kept)
    if lost:
        raise DataVersionError(
            f"no cache or remote has {counted(len(lost), 'file')} in {folder}, which would be lost: "
            f"{', '.join(lost[:5])}. Move or version what is there first, or delete it with --force"
        )


def _current_version(model: str, settings: Settings, engine: Engine) -> VersionEntry | None:
    hashes = batch_hashes(model, settings, engine)
    if hashes:
        now = _described(model, hashes, settings)
        return VersionEntry(now.version, None, now.n_rows, now.n_batches, now.size_bytes, "", is_current=True)
    files = _pointed_files(model, settings, engine)
    return VersionEntry(tree_version(files), None, None, len(files), None, "", is_current=True) if files else None


def _pointed_files(model: str, settings: Settings, engine: Engine) -> dict[str, str]:
    """Return the batches that ``data.dvc`` names for a model; they are read from the remote if not known here."""
    version = pointed_version(settings)
    if version in (None, EMPTY):
        return {}
    tree = cached_tree(str(version), settings)
    if tree is None:
        tree = open_stores(settings, engine).tree(str(version))
    return {} if tree is None else model_files(tree, model)


def _batch_entries(model: str, settings: Settings, engine: Engine) -> Iterable[BatchEntry]:
    known = batches(engine, model)
    for path in batch_paths(data_folder(model, settings)):
        facts, row = batch_facts(path), known.get(path.name)
        yield BatchEntry(
            name=path.stem,
            n_rows=facts.n_rows,
            size_bytes=path.stat().st_size,
            source=facts.source,
            first_time=facts.first_time,
            last_time=facts.last_time,
            ingested_at=None if row is None else row.ingested_at,
            n_quarantined=None if row is None else row.n_quarantined,
        )
