"""Split a staged file into accepted rows, and rows set aside with their reasons."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from config.schema import ModelConfig
from core.data.columns import column_types
from core.storage_failure import storage_errors
from tasks.source.engine import removed_after_error
from tasks.source.stage import ROW_GROUP, row_groups
from tasks.validation.pushdown import Pushdown, failing_row_numbers, failing_rows, name_reasons

if TYPE_CHECKING:
    import pyarrow as pa

REASON = "reason"


def write_quarantine(
    pushdown: Pushdown, staged: Path, path: Path, reasons: Mapping[int, str], config: ModelConfig
) -> None:
    """Write the failing rows, in their order, with the column ``reason``: all expectations that the row fails.

    Parameters
    ----------
    reasons
        Text per position of an expectation in the suite.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    name_reasons(pushdown, reasons)
    schema = pq.read_schema(staged).append(pa.field(reason_column(config), pa.string()))
    _write(_set_aside(pushdown, staged, schema), schema, path, config)


def write_accepted(pushdown: Pushdown, staged: Path, path: Path, config: ModelConfig) -> None:
    """Write the rows that did not fail, in their order; the file equals that of a source with only these rows."""
    import pyarrow.parquet as pq

    _write(_kept(pushdown, staged), pq.read_schema(staged), path, config)


def reason_column(config: ModelConfig) -> str:
    """Name of the column with the reasons; it differs from all declared columns."""
    name = REASON
    while name in config.columns:
        name += "_"
    return name


def _set_aside(pushdown: Pushdown, staged: Path, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    import pyarrow as pa

    for start, batch in _numbered(staged):
        failing = failing_rows(pushdown, start, start + batch.num_rows).combine_chunks()
        if failing.num_rows:
            rows = pa.array(failing["row"].to_numpy() - start)
            reason = failing["reason"].combine_chunks()
            yield pa.RecordBatch.from_arrays([*batch.take(rows).columns, reason], schema=schema)


def _kept(pushdown: Pushdown, staged: Path) -> Iterator[pa.RecordBatch]:
    import numpy as np
    import pyarrow as pa

    for start, batch in _numbered(staged):
        keeps = np.ones(batch.num_rows, dtype=bool)
        keeps[failing_row_numbers(pushdown, start, start + batch.num_rows)["row"].to_numpy() - start] = False
        yield batch if keeps.all() else batch.filter(pa.array(keeps))


def _numbered(staged: Path) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Batches of a staged file, in order, with the number of each one's first row."""
    import pyarrow.parquet as pq

    start = 0
    with pq.ParquetFile(staged) as file:
        for batch in file.iter_batches(ROW_GROUP):
            yield start, batch
            start += batch.num_rows


def _write(parts: Iterable[pa.RecordBatch], schema: pa.Schema, path: Path, config: ModelConfig) -> None:
    import pyarrow.parquet as pq

    repeated = [column for column, kind in column_types(config).items() if kind == "VARCHAR" and column != config.key]
    if reason_column(config) in schema.names:
        repeated.append(reason_column(config))
    with (
        replaced(path) as temporary,
        pq.ParquetWriter(temporary, schema, compression="zstd", use_dictionary=repeated) as writer,
    ):
        for group in row_groups(parts):
            writer.write_table(group, row_group_size=ROW_GROUP)


@contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; it is renamed to ``path`` at the end, or removed after an error.

    Raises
    ------
    StorageError
        The disk is full.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    with storage_errors(path), removed_after_error(temporary):
        yield temporary
        temporary.replace(path)
