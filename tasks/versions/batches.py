"""Write rows as immutable batches ``data/<model>/<number>-<fingerprint>.parquet``."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from config.schema import ModelConfig
from config.settings import Settings
from core.data.sql import literal, quoted
from core.data.version import batch_file_name, batch_number
from core.errors import StorageError
from core.references import Batch, StagedRows
from tasks.source.engine import ingestion_engine
from tasks.versions.bring_back import bring_back_missing
from tasks.versions.dvc_stores import without_credentials
from tasks.versions.rows import batch_columns
from tasks.versions.working_copy import (
    batch_facts,
    batch_paths,
    data_folder,
    disk_errors,
    remove_leftovers,
)

if TYPE_CHECKING:
    import duckdb

_log = logging.getLogger("perennial.data")

_PLACE = '"perennial place"'


def known_batch(rows: StagedRows, config: ModelConfig, settings: Settings) -> Batch | None:
    """Return the batch that was written from exactly these rows, or None.

    With a unique key, only the newest batch counts: after A and then B, ingesting A again may revert changed rows, so
    the rows have to be compared one by one.
    """
    bring_back_missing(config.model, settings)
    paths = batch_paths(data_folder(config.model, settings))
    for path in paths[-1:] if _supersedes(config) else paths:
        # The file's name is a quick check; the footer has the whole fingerprint.
        if path.name.partition("-")[2] == f"{rows.fingerprint[:12]}.parquet":
            facts = batch_facts(path)
            if facts.fingerprint == rows.fingerprint:
                return Batch(config.model, path.stem, facts.n_rows, rows.fingerprint, is_new=False)
    return None


def write_batch(rows: StagedRows, config: ModelConfig, settings: Settings, n_quarantined: int = 0) -> Batch:
    """Write staged rows as an immutable batch, unless they are already stored.

    With a unique key (``key`` and ``key_is_unique``), rows that equal the newest stored row of their key are omitted:
    a file that grew gives a batch of its new and changed rows, and a changed row supersedes the old one when rows are
    loaded. Without a unique key, only the whole set of rows is recognised: two equal rows may be two observations, so
    none may be omitted.

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
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        remove_leftovers(folder)
    batch = known_batch(rows, config, settings) or _written(rows, config, settings)
    record_files([folder / f"{batch.name}.parquet"], config.model, settings, n_quarantined)
    what = "wrote" if batch.is_new else "no new rows, kept"
    _log.info("%s batch %s with %s rows", what, batch.name, f"{batch.n_rows:,}")
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


def _supersedes(config: ModelConfig) -> bool:
    return config.key is not None and config.key_is_unique


def _written(rows: StagedRows, config: ModelConfig, settings: Settings) -> Batch:
    import duckdb

    folder = data_folder(config.model, settings)
    stored = batch_paths(folder)
    number = 1 + max((batch_number(path.name) or 0 for path in stored), default=0)
    path = folder / batch_file_name(number, rows.fingerprint)
    temporary = folder / f".{path.name}.{os.getpid()}.tmp"
    work = settings.var / "tmp" / f"{config.model}-batch"
    try:
        with ingestion_engine(settings, work) as engine:
            fresh = f"read_parquet({literal(str(rows.path))})"
            if stored and _supersedes(config):
                fresh = _new_rows(engine, fresh, stored, config)
            n_rows = _copy(engine, fresh, temporary, rows, config)
    except duckdb.Error as error:
        temporary.unlink(missing_ok=True)
        raise StorageError(
            f"the batch {path} cannot be written: {str(error).splitlines()[0]}. Free space or repair the disk, "
            "then run the same command again; no partial file was left"
        ) from error
    if n_rows == 0:
        return Batch(config.model, stored[-1].stem, batch_facts(stored[-1]).n_rows, rows.fingerprint, is_new=False)
    with disk_errors(path):
        temporary.chmod(0o444)
        temporary.replace(path)
    return Batch(config.model, path.stem, n_rows, rows.fingerprint, is_new=True)


def _new_rows(engine: duckdb.DuckDBPyConnection, offered: str, stored: list[Path], config: ModelConfig) -> str:
    """Create a table of the offered rows whose key is new or whose content differs from the key's newest stored row.

    A key that is offered more than once is compared by its last row; either all its rows are included, or none.
    """
    _hash_rows(engine, "offered", [(offered, "*")], config)
    files = [(f"read_parquet({literal(str(path))})", batch_columns(engine, path, config)) for path in stored]
    _hash_rows(engine, "stored", files, config)
    newest = "(SELECT k, arg_max(h, place) AS h FROM {} GROUP BY k)"
    same = f"SELECT k FROM {newest.format('offered')} JOIN {newest.format('stored')} USING (k, h)"  # noqa: S608 - constants
    kept = f"SELECT place FROM offered ANTI JOIN ({same}) USING (k)"  # noqa: S608 - constants
    numbered = f"SELECT *, row_number() OVER () AS {_PLACE} FROM {offered}"  # noqa: S608 - quoted
    query = f"SELECT * EXCLUDE ({_PLACE}) FROM ({numbered}) WHERE {_PLACE} IN ({kept}) ORDER BY {_PLACE}"  # noqa: S608 - quoted
    engine.execute(f"CREATE TEMP TABLE fresh AS {query}")
    return "fresh"


def _hash_rows(
    engine: duckdb.DuckDBPyConnection, table: str, sources: list[tuple[str, str]], config: ModelConfig
) -> None:
    assert config.key is not None, "only rows with a key are compared"  # noqa: S101 - tells mypy what holds
    columns = ", ".join(quoted(column) for column in config.columns)
    # DuckDB's hash suffices, because both sides are hashed now, by one release. A row without a key has its own key.
    key = f"coalesce({quoted(config.key)}, chr(0) || hash({columns})::VARCHAR)"
    engine.execute(f"CREATE TEMP TABLE {table} (k VARCHAR, h UBIGINT, place BIGINT)")
    for number, (source, chosen) in enumerate(sources):
        place = f"row_number() OVER () + {number} * 1000000000000"
        query = f"SELECT {key}, hash({columns}), {place} FROM (SELECT {chosen} FROM {source})"  # noqa: S608 - quoted
        engine.execute(f"INSERT INTO {table} {query}")


def _copy(engine: duckdb.DuckDBPyConnection, fresh: str, target: Path, rows: StagedRows, config: ModelConfig) -> int:
    """Copy rows into a Parquet file and return their number; without rows, no file is written."""
    time = f"min({quoted(config.time)}), max({quoted(config.time)})" if config.time else "NULL, NULL"
    n_rows, first, last = engine.execute(f"SELECT count(*), {time} FROM {fresh}").fetchall()[0]  # noqa: S608 - quoted
    notes = {"fingerprint": rows.fingerprint, "source": without_credentials(rows.source)}
    if rows.undeclared:
        notes["undeclared"] = json.dumps(rows.undeclared)
    notes |= {name: at.isoformat() for name, at in (("first_time", first), ("last_time", last)) if at is not None}
    if n_rows:
        # Nothing here depends on the time or the machine: a clone that ingests the same rows writes the same bytes.
        metadata = ", ".join(f"{quoted(f'perennial.{name}')}: {literal(text)}" for name, text in notes.items())
        engine.execute(f"COPY (FROM {fresh}) TO {literal(str(target))} (FORMAT parquet, KV_METADATA {{{metadata}}})")
    return int(n_rows)
