"""Stage a source: write its declared columns, in the contract's types, to a Parquet file outside the versioned data."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from config.schema import CsvSource, ModelConfig, ParquetSource, delivers_new_rows_only
from config.settings import Settings
from core.data.columns import column_types, columns_problem, empty_columns_problem
from core.data.deliveries import ReadBefore, files_to_read, is_repeated
from core.data.sql import UNREADABLE, Cast, row_hash_sql, staged_sql, value_mark
from core.errors import SchemaError, SourceError
from core.notations import column_notation
from core.references import DeliveredFiles, StagedRows
from core.storage_failure import storage_errors
from tasks.source.engine import (
    COPIES,
    SPILL,
    ingestion_engine,
    prepare_for_width,
    reading,
    removed_after_error,
)
from tasks.source.files import SourceFile, is_remote, too_many_rows, unopened_files
from tasks.source.read import raw_rows, rows_of_files, shown_source, source_files
from tasks.source.rejected_cells import rejected_cells_message
from tasks.source.remembered import remember_rows, remembered_rows

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

__all__ = ["ingestion_engine", "is_known_delivery", "raw_rows", "reading", "stage_rows"]

STAGED = "staged.parquet"
ROW_GROUP = 122_880
_ROWS = "source_rows"

_log = logging.getLogger("perennial.source")


def stage_rows(
    config: ModelConfig,
    settings: Settings,
    work: Path,
    before: Sequence[ReadBefore] = (),
    *,
    needs_labels: bool = True,
) -> StagedRows:
    """Write a source to ``work/staged.parquet``: the contract's columns in its order and types, rows in source order.

    The same rows give the same bytes. Rows are streamed; memory is bounded by ``settings.memory_limit_mb``. A repeat
    replaces the file; a failure leaves no new file. Files that were read before are left out; if all were, no file is
    written, and the result has the fingerprint of the newest batch that holds them.

    Parameters
    ----------
    before
        What the model's batches record of their files, in order.
    needs_labels
        Whether at least one row must have a label; not so if the model has batches already.

    Raises
    ------
    SourceError
        The rows cannot be read, or there are none.
    SchemaError
        The rows do not fit the model file: columns, types or values differ, or a column has no values.
    SourceTooLargeError
        There are more rows than ``settings.max_rows``.
    StorageError
        The disk is full or the memory limit too small.
    """
    name = shown_source(config.source)
    with _work_folder(work), ingestion_engine(settings, work) as connection:
        files = source_files(config.source, settings, work)
        delivered, unread, held = _delivered(config, files, before)
        if held and not unread:
            n_rows = delivered.n_known or sum(batch.n_rows for batch in held)
            if delivered.n_known > settings.max_rows:  # the limit is lower now
                raise too_many_rows(name, f"has {delivered.n_known:,} rows", settings)
            return StagedRows(work / STAGED, n_rows, name, held[-1].fingerprint, files=delivered)
        rows = rows_of_files(connection, config.source, unread)
        prepare_for_width(connection, len(rows.columns), cells_are_cast=True)
        found = dict(zip(rows.columns, map(str, rows.types), strict=True))
        casts = contract_casts(config, found, name)
        path = work / f".{STAGED}.{os.getpid()}.tmp"
        with removed_after_error(path):
            n_rows = _write(connection, rows, casts, path, config, settings)
            _refuse_empty(path, n_rows, config, name, needs_labels=needs_labels)
            fingerprint = _fingerprint(connection, path, column_types(config))
            path.replace(work / STAGED)
    remember_rows(config, settings, fingerprint)
    undeclared = tuple(column for column in found if column not in config.columns)
    _log.info("read %s rows of %d columns from %s", f"{n_rows:,}", len(casts), name)
    return StagedRows(work / STAGED, n_rows, name, fingerprint, undeclared, delivered)


def stage_typed(
    connection: duckdb.DuckDBPyConnection, query: str, config: ModelConfig, settings: Settings, work: Path, name: str
) -> StagedRows | None:
    """Write the rows of a query to ``work/staged.parquet`` as :func:`stage_rows` does; None if there are none.

    Parameters
    ----------
    connection
        From :func:`tasks.source.engine.ingestion_engine`.
    query
        Has the contract's columns in their order and types.
    name
        Name of the source.

    Raises
    ------
    SourceTooLargeError
        There are more rows than ``settings.max_rows``.
    StorageError
        The disk is full or the memory limit too small.
    """
    path = work / f".{STAGED}.{os.getpid()}.tmp"
    with removed_after_error(path):
        with reading(name):
            reader = connection.sql(query).to_arrow_reader(ROW_GROUP)
        n_rows = _write_groups(row_groups(_batches(reader, name)), reader.schema, path, config, settings, name)
        fingerprint = _fingerprint(connection, path, column_types(config)) if n_rows else ""
        path.replace(work / STAGED)
    return StagedRows(work / STAGED, n_rows, name, fingerprint) if n_rows else None


def is_known_delivery(config: ModelConfig, settings: Settings, work: Path, before: Sequence[ReadBefore]) -> bool:
    """Return whether batches hold what the source delivers, by the hashes of its files; no row is read.

    A source without files counts if its rows depend on nothing but the model file, the code and the libraries. False if
    only the rows can say so, or if the files are not on this machine.

    Parameters
    ----------
    work
        Folder for copies of compressed files and of other encodings.
    before
        What the model's batches record of their files, in order.

    Raises
    ------
    SourceError
        A file cannot be read, or there is none.
    """
    if not isinstance(config.source, CsvSource | ParquetSource):
        # With a unique key, only the newest batch counts: an earlier one may have rows that were replaced since.
        counted = before[-1:] if config.replaces_rows else before
        return remembered_rows(config, settings) in {batch.fingerprint for batch in counted}
    if is_remote(config.source.uri):
        return False
    with _work_folder(work):
        files = unopened_files(config.source, settings, work)
        delivered, unread, held = _delivered(config, files, before)
    if sum(batch.n_read or 0 for batch in before if set(batch.files) & set(delivered.all)) > settings.max_rows:
        return False  # the limit is lower now, which a run refuses
    if unread:
        return not config.replaces_rows and is_repeated(delivered.read, delivered.reading, before)
    return bool(held)


def _delivered(
    config: ModelConfig, files: list[SourceFile], before: Sequence[ReadBefore]
) -> tuple[DeliveredFiles, list[SourceFile], list[ReadBefore]]:
    """Return what a delivery consists of, its files to read, and the batches that hold the rows of the others."""
    if not isinstance(config.source, CsvSource | ParquetSource):
        return DeliveredFiles(), files, []
    hashes = [_content_hash(file) for file in files]
    described = config.source.model_dump(mode="json", exclude={"uri", "append"}), column_types(config)
    how = hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()[:16]
    append = delivers_new_rows_only(config.source)
    places, held = files_to_read(hashes, how, before, append=append, replaces=config.replaces_rows)
    covered = [] if append else held
    delivered = DeliveredFiles(
        tuple(hashes),
        tuple(hashes[place] for place in places),
        how,
        tuple(batch.batch for batch in covered),
        sum(batch.n_read or batch.n_rows for batch in covered),
    )
    return delivered, [files[place] for place in places], held


def _content_hash(file: SourceFile) -> str:
    with reading(file.shown), file.path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()[:32]


def contract_casts(config: ModelConfig, found: dict[str, str], name: str) -> list[Cast]:
    """Return one cast per declared column, in order.

    Parameters
    ----------
    found
        The source's columns and their DuckDB types.
    name
        Name of the source in messages.

    Raises
    ------
    SchemaError
        A column is missing, or its type cannot be cast to the declared kind.
    """
    problem = columns_problem(list(found), config)
    if problem:
        raise SchemaError(f"{name}: {problem}")
    mark = value_mark(found)
    casts = [
        Cast(
            column,
            found[column],
            wanted,
            is_label=column == config.target,
            notation=column_notation(config.source, column, wanted),
            mark=mark,
            is_unused=column in config.features.ignored and column != config.key,
        )
        for column, wanted in column_types(config).items()
    ]
    problems = [cast.problem for cast in casts if cast.problem]
    if problems:
        nested = any(cast.problem and cast.wanted == "VARCHAR" for cast in casts)
        advice = "Remove the column from the model file" if nested else "Declare another kind"
        rest = "lists, structs and bytes are not stored" if nested else "or move the column to features.ignored"
        raise SchemaError(f"{name}: {'; '.join(problems)}. {advice}{';' if nested else ','} {rest}")
    return casts


@contextmanager
def _work_folder(work: Path) -> Iterator[None]:
    with storage_errors(work):
        work.mkdir(parents=True, exist_ok=True)
    try:
        yield
    finally:
        for folder in (COPIES, SPILL):
            shutil.rmtree(work / folder, ignore_errors=True)


def _write(
    connection: duckdb.DuckDBPyConnection,
    rows: duckdb.DuckDBPyRelation,
    casts: Sequence[Cast],
    path: Path,
    config: ModelConfig,
    settings: Settings,
) -> int:
    name = shown_source(config.source)
    rows.create_view(_ROWS)
    try:
        with reading(name):
            reader = connection.sql(staged_sql(casts, _ROWS)).to_arrow_reader(ROW_GROUP)
        return _write_groups(row_groups(_batches(reader, name)), reader.schema, path, config, settings, name)
    except SourceError as error:
        if UNREADABLE not in str(error):
            raise
        raise SchemaError(rejected_cells_message(connection, casts, _ROWS, name)) from error


def _batches(reader: pa.RecordBatchReader, name: str) -> Iterator[pa.RecordBatch]:
    # The engine's errors arrive as OSError; raised further out, they would be mistaken for errors of the writer.
    while True:
        with reading(name):
            batch = next(reader, None)
        if batch is None:
            return
        yield batch


def row_groups(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    """Regroup a stream into tables of equal size, because the engine's batches depend on its threads."""
    import pyarrow as pa

    waiting: list[pa.RecordBatch] = []
    n_waiting = 0
    for batch in batches:
        waiting.append(batch)
        n_waiting += batch.num_rows
        while n_waiting >= ROW_GROUP:
            table = pa.Table.from_batches(waiting)
            yield table.slice(0, ROW_GROUP).combine_chunks()
            waiting = table.slice(ROW_GROUP).to_batches()
            n_waiting -= ROW_GROUP
    if n_waiting:
        yield pa.Table.from_batches(waiting).combine_chunks()


def _write_groups(
    groups: Iterable[pa.Table], schema: pa.Schema, path: Path, config: ModelConfig, settings: Settings, name: str
) -> int:
    import pyarrow.parquet as pq

    # Numbers, dates and keys repeat too rarely for a dictionary; without it, writing takes half the time.
    repeated = [column for column, kind in column_types(config).items() if kind == "VARCHAR" and column != config.key]
    n_rows = 0
    with storage_errors(path), pq.ParquetWriter(path, schema, compression="zstd", use_dictionary=repeated) as writer:
        for group in groups:
            n_rows += group.num_rows
            if n_rows > settings.max_rows:
                raise too_many_rows(name, f"has {n_rows:,} rows or more", settings)
            writer.write_table(group, row_group_size=ROW_GROUP)
    return n_rows


def _refuse_empty(path: Path, n_rows: int, config: ModelConfig, name: str, *, needs_labels: bool) -> None:
    if n_rows == 0:
        raise SourceError(f"{name} has no rows; at least one is needed below the line of column names")
    problem = empty_columns_problem(_n_values(path), config, needs_labels=needs_labels)
    if problem:
        raise SchemaError(f"{name}: {problem}")


def _n_values(path: Path) -> Counter[str]:
    """Return the number of rows with a value per column, from the statistics in the footer."""
    import pyarrow.parquet as pq

    counts: Counter[str] = Counter()
    with pq.ParquetFile(path) as parquet:
        names = parquet.schema_arrow.names
        for number in range(parquet.num_row_groups):
            group = parquet.metadata.row_group(number)
            counts.update({name: group.column(index).statistics.num_values for index, name in enumerate(names)})
    return counts


def _fingerprint(connection: duckdb.DuckDBPyConnection, path: Path, types: dict[str, str]) -> str:
    """Return a hash of the rows' hash sum and number, which does not depend on the order of rows or columns."""
    with reading(str(path)):
        row_hash = row_hash_sql(types, types)
        rows = connection.from_parquet(str(path))
        (total, n_rows), *_ = rows.aggregate(f"sum({row_hash}::HUGEINT), count(*)").fetchall()
    # The sum is hashed again, because its first digits, which name the batch, are mostly zeros.
    return hashlib.sha256(f"{total} {n_rows}".encode()).hexdigest()[:32]
