"""Stored rows as a stream of record batches; memory is bounded whatever the number of rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from config.schema import ModelConfig
from core.data.columns import column_types
from core.data.split import Hashes
from core.data.sql import literal, quoted
from core.errors import StorageError
from tasks.source.repetitive_texts import repetitive_texts
from tasks.versions.batch_columns import batch_columns
from tasks.versions.rows import ROW_ID, row_id_sql, table_frame

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa
    import pyarrow.parquet as pq

RECORD_BATCH_ROWS = 65_536
"""Maximum rows of a record batch: a column of numbers fits the processor's second-level cache."""

RECORD_BATCH_BYTES = 64 * 2**20
"""Maximum size of a record batch in bytes, estimated from the row sizes in the file's footer."""

_BUFFER = 2**20  # per column; without it, a whole column of a row group is read at once, and a group can be the file


@dataclass(frozen=True, eq=False)
class StoredRecordBatch:
    """Consecutive rows of one file or query.

    Parameters
    ----------
    batch
        Columns in the contract's types; text plain or dictionary-encoded.
    first_row
        Index of the first row in the file or query, from 0.
    row_ids
        Row ids as in :func:`tasks.versions.rows.load_rows`, shape (n_rows,); None if not requested.
    """

    batch: pa.RecordBatch
    first_row: int
    row_ids: Hashes | None = None


@dataclass(frozen=True, eq=False)
class RowGroup:
    """One row group of a Parquet file, which can be read on its own.

    Parameters
    ----------
    path
        The Parquet file.
    number
        Index of the row group in the file, from 0.
    first_row
        Index of its first row in the file, from 0.
    footer
        Footer of the file, so that it is read once.
    """

    path: Path
    number: int
    first_row: int
    footer: pq.FileMetaData


def file_groups(path: Path) -> list[RowGroup]:
    """List the row groups of a Parquet file in order.

    Raises
    ------
    StorageError
        The file cannot be read.
    """
    import pyarrow.parquet as pq

    with _reading(path):
        footer = pq.read_metadata(path)
    sizes = [footer.row_group(number).num_rows for number in range(footer.num_row_groups)]
    return [RowGroup(path, *place, footer) for place in enumerate(accumulate(sizes[:-1], initial=0)) if sizes]


def holds_contract_types(path: Path, config: ModelConfig, columns: Sequence[str], numbers: Sequence[str] = ()) -> bool:
    """Return whether a file holds the columns in the present contract's types, so that no cell needs a cast.

    Parameters
    ----------
    columns
        Declared columns.
    numbers
        Further columns, of numbers, that the model file does not declare.

    Raises
    ------
    StorageError
        The file cannot be read.
    """
    import pyarrow.parquet as pq

    with _reading(path):
        stored = pq.read_schema(path)
    wanted = contract_schema(config, columns, numbers)
    return all(stored.names.count(field.name) == 1 and stored.field(field.name).type == field.type for field in wanted)


def contract_schema(config: ModelConfig, columns: Sequence[str], numbers: Sequence[str] = ()) -> pa.Schema:
    """Arrow types of declared columns, in the given order, and of further columns of numbers after them."""
    import pyarrow as pa

    arrow = {"VARCHAR": pa.string(), "DOUBLE": pa.float64(), "BOOLEAN": pa.bool_(), "TIMESTAMP": pa.timestamp("us")}
    types = column_types(config)
    declared = [(column, arrow[types[column]]) for column in columns]
    return pa.schema([*declared, *((number, pa.float64()) for number in numbers)])


def plain_texts(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Decode dictionary-encoded text, so that a few rows do not keep all levels of a file in memory."""
    import pyarrow as pa

    return pa.RecordBatch.from_arrays([plain_text(column) for column in batch.columns], names=batch.schema.names)


def plain_text(column: pa.Array) -> pa.Array:
    """Decode a dictionary-encoded column; any other is returned as it is."""
    import pyarrow as pa

    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column


def contract_frame(batches: Sequence[pa.RecordBatch], schema: pa.Schema) -> pd.DataFrame:
    """Join record batches into a frame with a RangeIndex, typed as by :func:`tasks.versions.rows.load_rows`.

    Dictionary-encoded columns become categories.
    """
    import pyarrow as pa

    return table_frame(pa.Table.from_batches(batches, schema))


def group_record_batches(group: RowGroup, columns: Sequence[str]) -> Iterator[StoredRecordBatch]:
    """Read one row group from Parquet: repetitive text dictionary-encoded, columns in the given order.

    Each row group may be read by its own thread: decoding holds no lock.

    Raises
    ------
    StorageError
        The file cannot be read.
    """
    import pyarrow.parquet as pq

    repetitive = repetitive_texts(group.footer.row_group(group.number), columns)
    options = {"read_dictionary": repetitive, "buffer_size": _BUFFER, "pre_buffer": False}
    first_row = group.first_row
    with _reading(group.path), pq.ParquetFile(group.path, metadata=group.footer, **options) as file:
        n_rows = _rows_per_record_batch(group.footer.row_group(group.number))
        for batch in file.iter_batches(n_rows, row_groups=[group.number], columns=[*columns], use_threads=False):
            yield StoredRecordBatch(batch.select([*columns]), first_row)
            first_row += batch.num_rows


def contract_record_batches(
    engine: duckdb.DuckDBPyConnection,
    path: Path,
    config: ModelConfig,
    columns: Sequence[str],
    *,
    with_row_ids: bool,
    numbers: Sequence[str] = (),
) -> Iterator[StoredRecordBatch]:
    """Read a batch that may be older than the contract; DuckDB casts it to the contract, in the file's order.

    Each stream of one engine may be read by its own thread. A stream takes 1.6 times as long as
    :func:`group_record_batches`; with row ids from a key 5 times, with row ids from the content 10 times.

    Parameters
    ----------
    columns
        Declared columns.
    with_row_ids
        Whether the record batches have row ids.
    numbers
        Further columns of the file, of numbers, that the model file does not declare; they follow ``columns``.

    Raises
    ------
    SchemaError
        A stored value does not fit the type the model file declares now.
    StorageError
        The file cannot be read.
    """
    wanted = [*columns, *numbers]
    chosen = ", ".join(quoted(column) for column in wanted)
    beside = "".join(f", {quoted(column)}" for column in numbers)
    row_id = f", {row_id_sql(config)} AS {quoted(ROW_ID)}" if with_row_ids else ""
    with _reading(path), engine.cursor() as cursor:
        # As at ingestion: a text date without offset is UTC, whatever the machine's time zone.
        cursor.execute("SET TimeZone = 'UTC'")
        declared = f"SELECT {batch_columns(cursor, path, config)}{beside} FROM read_parquet({literal(str(path))})"  # noqa: S608 - names are quoted
        query = f"SELECT {chosen}{row_id} FROM ({declared})"  # noqa: S608 - names are quoted
        first_row = 0
        for batch in cursor.sql(query).to_arrow_reader(RECORD_BATCH_ROWS):
            row_ids = batch.column(len(wanted)).to_numpy() if with_row_ids else None
            yield StoredRecordBatch(batch.select(wanted), first_row, row_ids)
            first_row += batch.num_rows


def _rows_per_record_batch(group: pq.RowGroupMetaData) -> int:
    bytes_per_row: int = max(1, group.total_byte_size // max(1, group.num_rows))
    return max(1, min(RECORD_BATCH_ROWS, RECORD_BATCH_BYTES // bytes_per_row))


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    import duckdb
    import pyarrow as pa

    try:
        yield
    except (OSError, pa.ArrowException, duckdb.Error) as error:
        raise StorageError(
            f"{path} cannot be read: {str(error).partition(chr(10))[0]}. If the file is damaged, fetch it again"
        ) from error
