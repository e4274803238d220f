"""Write rows as immutable batches ``data/<model>/<number>-<fingerprint>.parquet``."""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from config.schema import ModelConfig, delivers_new_rows_only
from config.settings import Settings
from core.data.deliveries import PREDICTION_LOG, ReadBefore, source_id
from core.data.sql import literal, quoted
from core.data.version import batch_file_name, batch_number
from core.errors import StorageError
from core.references import Batch, RowCounts, StagedRows
from core.storage_failure import REMEDY, storage_failure, write_errors
from core.text import counted
from tasks.source.engine import ingestion_engine
from tasks.versions.bring_back import bring_back_missing
from tasks.versions.dvc_stores import without_credentials
from tasks.versions.known_rows import compare_by_key, compare_whole_rows
from tasks.versions.working_copy import (
    BatchFacts,
    batch_facts,
    batch_paths,
    data_folder,
    remove_leftovers,
)

if TYPE_CHECKING:
    import duckdb

_log = logging.getLogger("perennial.data")


def read_before(config: ModelConfig, settings: Settings) -> list[ReadBefore]:
    """Return what a model's batches record of the files they were read from, in order."""
    bring_back_missing(config.model, settings)
    return deliveries(config.model, settings)


def deliveries(model: str, settings: Settings, hashes: Mapping[str, str] | None = None) -> list[ReadBefore]:
    """Return what the batches of the working copy record of the files they were read from, in order.

    Batches of served rows are left out: they replace no row of another source, so the files of the newest other batch
    need not be read again.

    Parameters
    ----------
    hashes
        MD5 of each batch by the name of its file, if they are known: the footer of a batch with a known hash is read
        once, because its bytes cannot say anything else, and reading it takes the import of a library.
    """
    kept = settings.var / "sources" / f"{model}-batches.json"
    known = {} if hashes is None else _kept_deliveries(kept)
    found = {}
    for path in batch_paths(data_folder(model, settings)):
        key = f"{path.stem} {(hashes or {}).get(path.name, '')}"
        found[key] = known.get(key) or _delivery(path)
    if hashes is not None and found != known:
        _keep_deliveries(kept, found)
    return [delivery for delivery in found.values() if delivery.source != PREDICTION_LOG]


def _delivery(path: Path) -> ReadBefore:
    facts = batch_facts(path)
    return ReadBefore(
        path.stem,
        facts.n_rows,
        facts.n_read,
        facts.files,
        facts.reading,
        facts.fingerprint,
        facts.n_offered,
        facts.source,
    )


def _kept_deliveries(path: Path) -> dict[str, ReadBefore]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return {key: ReadBefore(**{**facts, "files": tuple(facts["files"])}) for key, facts in content.items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return {}


def _keep_deliveries(path: Path, found: Mapping[str, ReadBefore]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    temporary.write_text(json.dumps({key: asdict(delivery) for key, delivery in found.items()}), encoding="utf-8")
    temporary.replace(path)


def has_batches(config: ModelConfig, settings: Settings) -> bool:
    """Return whether a model has rows already; labels of later ones may arrive after them."""
    bring_back_missing(config.model, settings)
    return bool(batch_paths(data_folder(config.model, settings)))


def known_batch(rows: StagedRows, config: ModelConfig, settings: Settings) -> Batch | None:
    """Return the batch that was written from exactly these rows, or None.

    With a unique key, only the newest batch counts: after A and then B, ingesting A again may revert changed rows, so
    the rows have to be compared one by one. Batches of served rows and of other sources are counted apart: reading one
    again reverts no row of the other.
    """
    bring_back_missing(config.model, settings)
    paths = batch_paths(data_folder(config.model, settings))
    is_served = rows.source == PREDICTION_LOG
    if config.replaces_rows:
        newest = next((path for path in reversed(paths) if batch_facts(path).is_served == is_served), None)
        candidates = [] if newest is None else [newest]
    else:
        candidates = paths
    for path in candidates:
        # The file's name is a quick check; the footer has the whole fingerprint.
        if path.name.partition("-")[2] == f"{rows.fingerprint[:12]}.parquet":
            facts = batch_facts(path)
            if facts.fingerprint == rows.fingerprint and facts.is_served == is_served:
                counts = RowCounts(n_gone=_n_gone(paths, rows, facts, config))
                return Batch(config.model, path.stem, facts.n_rows, rows.fingerprint, is_new=False, counts=counts)
    return None


def _n_gone(paths: Iterable[Path], rows: StagedRows, known: BatchFacts, config: ModelConfig) -> int:
    """Count rows of the source's batches that a delivery does not hold which was written before."""
    if config.replaces_rows or delivers_new_rows_only(config.source):
        return 0
    n_stored = sum(batch_facts(path).n_rows for path in _of_source(paths, rows))
    return max(0, n_stored - (known.n_offered or rows.n_rows if rows.has_rows else 0))


def _of_source(paths: Iterable[Path], rows: StagedRows) -> list[Path]:
    """Return batches of the source that are to be compared: of its name, or of a file that it holds."""
    source, files = source_id(_shown(rows)), set(rows.files.all)
    found = ((path, batch_facts(path)) for path in paths if path.stem not in rows.files.batches)
    return [path for path, facts in found if source_id(facts.source) == source or files.intersection(facts.files)]


def write_batch(rows: StagedRows, config: ModelConfig, settings: Settings, n_quarantined: int = 0) -> Batch:
    """Write staged rows as an immutable batch, unless they are already stored.

    With a unique key (``key`` and ``key_is_unique``), rows that equal the newest stored row of their key are omitted:
    a file that grew gives a batch of its new and changed rows, and a changed row supersedes the old one when rows are
    loaded. Without a unique key, two equal rows of one delivery may be two observations, and all are kept; rows that
    earlier batches of the same source hold are omitted by number, unless the source delivers new rows only
    (``source.append``); see :func:`tasks.versions.known_rows.compare_whole_rows`.

    A repeat is harmless: the same rows make no second batch, and a run killed at any moment leaves at most a temporary
    file that the next call removes. The bytes depend on the rows alone. The caller holds the model
    (:func:`tasks.runs.lock.hold_model`).

    Parameters
    ----------
    n_quarantined
        Number of rows that validation set aside, for the history.

    Returns
    -------
    Batch
        ``is_new`` is False if nothing was written: the batch is then the one with these rows, or the newest one if the
        rows are spread over several.

    Raises
    ------
    StorageError
        The disk is full or a stored batch cannot be read.
    SchemaError
        A stored batch no longer fits the contract.
    """
    folder = data_folder(config.model, settings)
    with write_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        remove_leftovers(folder)
    batch = known_batch(rows, config, settings) or _written(rows, config, settings, n_quarantined)
    record_files([folder / f"{batch.name}.parquet"], config.model, settings, n_quarantined)
    what = "wrote" if batch.is_new else "no new rows, kept"
    _log.info("%s batch %s with %s", what, batch.name, counted(batch.n_rows, "row"))
    return batch


def record_files(paths: Iterable[Path], model: str, settings: Settings, n_quarantined: int | None) -> None:
    """Record batches in the operational database unless they are recorded.

    A file's modification time is the time of its ingestion, even if the run was killed before it recorded the batch.
    ``n_quarantined`` is None if the batches were ingested elsewhere; then their time is unknown too.
    """
    from store.data import batches, record_batches
    from store.database import open_database

    engine = open_database(settings.database_url)
    known = batches(engine, model)
    rows = [_row(path, model, n_quarantined) for path in paths if path.name not in known]
    if rows:
        record_batches(engine, rows)


def _row(path: Path, model: str, n_quarantined: int | None) -> dict[str, Any]:
    facts, status = batch_facts(path), path.stat()
    return {
        "model": model,
        "name": path.name,
        "fingerprint": facts.fingerprint,
        "source": facts.source,
        "n_rows": facts.n_rows,
        "size_bytes": status.st_size,
        "n_quarantined": n_quarantined,
        "ingested_at": None if n_quarantined is None else datetime.fromtimestamp(status.st_mtime, UTC),
    }


def _written(rows: StagedRows, config: ModelConfig, settings: Settings, n_quarantined: int) -> Batch:
    import duckdb

    folder = data_folder(config.model, settings)
    stored = batch_paths(folder)
    number = 1 + max((batch_number(path.name) or 0 for path in stored), default=0)
    path = folder / batch_file_name(number, rows.fingerprint)
    temporary = folder / f".{path.name}.{os.getpid()}.tmp"
    try:
        with _work_folder(config.model, settings) as work, ingestion_engine(settings, work) as engine:
            fresh, counts = _new_rows(engine, rows, stored, config, work)
            n_rows = _copy(engine, fresh, temporary, rows, config, n_quarantined)
    except duckdb.Error as error:
        temporary.unlink(missing_ok=True)
        reason = f"the batch {path} cannot be written: {str(error).splitlines()[0]}. {REMEDY}"
        raise storage_failure(error, path) or StorageError(reason) from error
    if n_rows == 0:
        facts = batch_facts(stored[-1])
        return Batch(config.model, stored[-1].stem, facts.n_rows, rows.fingerprint, is_new=False, counts=counts)
    with write_errors(path):
        temporary.chmod(0o444)
        temporary.replace(path)
    return Batch(config.model, path.stem, n_rows, rows.fingerprint, is_new=True, counts=counts)


@contextmanager
def _work_folder(model: str, settings: Settings) -> Iterator[Path]:
    work = settings.var / "tmp" / f"{model}-batch"
    # What a killed run left is removed first: the caller holds the model.
    shutil.rmtree(work, ignore_errors=True)
    with write_errors(work):
        work.mkdir(parents=True)
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _new_rows(
    engine: duckdb.DuckDBPyConnection, rows: StagedRows, stored: list[Path], config: ModelConfig, work: Path
) -> tuple[Path, RowCounts]:
    """Return the file of the rows to write, in the order of the delivery, and how they compare with stored ones."""
    ours = _of_source(stored, rows)
    if stored and config.replaces_rows:
        found = compare_by_key(engine, rows.path, [(path, path in ours) for path in stored], config)
    elif ours and not delivers_new_rows_only(config.source):
        found = compare_whole_rows(engine, rows.path, ours, config)
    else:
        return rows.path, RowCounts()
    if not found.counts.n_known:
        return rows.path, found.counts
    target = work / "new.parquet"
    with write_errors(target):
        found.write_new(rows.path, target)
    return target, found.counts


def _shown(rows: StagedRows) -> str:
    """Return the name of the source as batches record it."""
    return without_credentials(rows.source)


def _copy(
    engine: duckdb.DuckDBPyConnection,
    new: Path,
    target: Path,
    rows: StagedRows,
    config: ModelConfig,
    n_quarantined: int,
) -> int:
    """Copy rows into a batch file and return their number; without rows, no file is written."""
    fresh = f"read_parquet({literal(str(new))})"
    time = f"min({quoted(config.time)}), max({quoted(config.time)})" if config.time else "NULL, NULL"
    n_rows, first, last = engine.execute(f"SELECT count(*), {time} FROM {fresh}").fetchall()[0]  # noqa: S608 - quoted
    notes = {"fingerprint": rows.fingerprint, "source": _shown(rows)}
    notes |= {"n_offered": str(rows.n_rows), "n_read": str(rows.n_rows + n_quarantined)}
    if rows.files.read:
        notes |= {"files": json.dumps(rows.files.read), "reading": rows.files.reading}
    if rows.undeclared:
        notes["undeclared"] = json.dumps(rows.undeclared)
    notes |= {name: at.isoformat() for name, at in (("first_time", first), ("last_time", last)) if at is not None}
    if n_rows:
        # Nothing here depends on the time or the machine: a clone that ingests the same rows writes the same bytes.
        metadata = ", ".join(f"{quoted(f'perennial.{name}')}: {literal(text)}" for name, text in notes.items())
        engine.execute(f"COPY (FROM {fresh}) TO {literal(str(target))} (FORMAT parquet, KV_METADATA {{{metadata}}})")
    return int(n_rows)
