"""The rows of a scoring as Parquet files on this machine, with the digest of their content."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from config.schema import CsvSource, ModelConfig, ParquetSource, Source, SqlSource
from config.settings import Settings
from config.similar_names import closest_text
from core.data.delimited import refuse_repeated_names
from core.data.sql import quoted
from core.errors import SchemaError, SourceError
from core.feature_contract import FeatureContract
from core.score.addresses import input_kind, sql_table
from core.score.cells import Wanted, wanted_columns
from core.score.plan import InputFile, ScoringRequest
from core.storage_failure import storage_errors
from tasks.score.cells import casts_of, engine_casts
from tasks.score.sql_input import rows_query
from tasks.source.engine import COPIES, SPILL, ingestion_engine, reading
from tasks.source.files import SourceFile, is_remote, local_paths, read_footer, too_many_rows
from tasks.source.read import refuse_other_columns, rows_of_files, shown_source, source_files
from tasks.source.stage import ROW_GROUP, row_groups
from tasks.versions.working_copy import file_state

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

COPY = "rows.parquet"
"""Copy of the rows of an input that is not read in place."""

HASHED_BYTES = 1 << 24


@dataclass(frozen=True)
class ScoringInput:
    """The rows to score.

    Parameters
    ----------
    files
        Parquet files: the input's own, or a copy of its rows.
    own
        The input's own files, as they were when their content was read; see :func:`own_files`.
    groups
        Of each file, the rows of its row groups.
    columns
        Names of the columns that are read.
    sha256
        Digest of the content of the input's files, in order.
    changed_ns
        Newest modification of the input's own files, nanoseconds since 1970; 0 if they are not on this machine.
    """

    files: tuple[InputFile, ...]
    own: tuple[InputFile, ...]
    groups: tuple[tuple[int, ...], ...]
    columns: tuple[str, ...]
    sha256: str
    changed_ns: int


def input_source(request: ScoringRequest, config: ModelConfig, contract: FeatureContract) -> Source:
    """Return the input as a source; texts mean what they mean to the version that scores."""
    missing = config.source.missing if contract.missing is None else contract.missing
    table = sql_table(request.input)
    if table is not None:
        return SqlSource(kind="sql", uri_env=table.variable, query=rows_query(table, contract.key), missing=missing)
    if input_kind(request.input) == "parquet":
        return ParquetSource(kind="parquet", uri=request.input, missing=missing)
    given = config.source
    how = {"delimiter": given.delimiter, "encoding": given.encoding} if isinstance(given, CsvSource) else {}
    return CsvSource.model_validate({"kind": "csv", "uri": request.input, "missing": missing, **how})


def own_files(address: str, settings: Settings) -> tuple[InputFile, ...]:
    """Return the files on this machine that an input consists of now, in order; none of a table or a remote address.

    Parameters
    ----------
    address
        Address of the input.
    settings
        Settings of the project.

    Raises
    ------
    SourceError
        There is no file.
    """
    kind = input_kind(address)
    if kind == "sql" or is_remote(address):
        return ()
    with reading(address):
        paths = local_paths(address, settings.root, f".{kind}")
        return tuple(InputFile(path, str(path), file_state(path)) for path in paths)


def scoring_input(
    source: Source, config: ModelConfig, contract: FeatureContract, settings: Settings, folder: Path
) -> ScoringInput:
    """Find the rows of an input; those that are not Parquet on this machine are copied, others are read in place.

    Memory does not grow with the rows. A repeat replaces the copy.

    Parameters
    ----------
    source
        From :func:`input_source`.
    config
        The model file.
    contract
        Of the version that scores.
    settings
        Settings of the project.
    folder
        Staging folder.

    Raises
    ------
    SourceError
        The rows cannot be read, there are none, or a file was changed meanwhile.
    SchemaError
        A column is missing, or its type cannot be that of the contract.
    SourceTooLargeError
        There are more rows than ``settings.max_rows``.
    StorageError
        The disk is full or the memory limit too small.
    """
    shown = shown_source(source)
    own = _own(source, settings)
    changed_ns = max((file.path.stat().st_mtime_ns for file in own), default=0)
    with ingestion_engine(settings, folder) as engine:
        files = source_files(source, settings, folder)
        sha256 = content_digest(files)
        wanted = None
        if not isinstance(source, CsvSource):
            wanted = _wanted_in_place(engine, files, config, contract, shown)
        if wanted is None:
            files, wanted = _copied(engine, source, files, config, contract, folder, settings)
    groups = tuple(_groups(file) for file in files)
    if not any(map(sum, groups)):
        raise SourceError(f"{shown} has no rows; at least one is needed")
    found = tuple(InputFile(file.path, file.shown, file_state(file.path)) for file in files)
    if _own(source, settings) != own:
        # The digest, and with it the ids, would be those of other rows than the ones that were read.
        raise SourceError(f"{shown} was changed while it was read; run again when it is complete")
    return ScoringInput(found, own, groups, tuple(column.name for column in wanted), sha256, changed_ns)


def _own(source: Source, settings: Settings) -> tuple[InputFile, ...]:
    return own_files(source.uri, settings) if isinstance(source, CsvSource | ParquetSource) else ()


def content_digest(files: Sequence[SourceFile]) -> str:
    """Return the SHA-256 of the hashes of the files' blocks, in order; the blocks are hashed by several threads.

    Raises
    ------
    SourceError
        A file cannot be read.
    """
    total = hashlib.sha256()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for file in files:
            with reading(file.shown):
                size = file.path.stat().st_size
                blocks = pool.map(
                    lambda start, path=file.path: _block_digest(path, start), range(0, size, HASHED_BYTES)
                )
                total.update(f"{size} ".encode() + b"".join(blocks))
    return total.hexdigest()


def _block_digest(path: Path, start: int) -> bytes:
    with path.open("rb") as stream:
        stream.seek(start)
        return hashlib.sha256(stream.read(HASHED_BYTES)).digest()


def _wanted_in_place(
    engine: duckdb.DuckDBPyConnection,
    files: Sequence[SourceFile],
    config: ModelConfig,
    contract: FeatureContract,
    shown: str,
) -> tuple[Wanted, ...] | None:
    """Return the columns to read; None if a column has a type that is not read in place, such as text in bytes."""
    import pyarrow.parquet as pq

    names = [read_footer(file.path, file.shown).names for file in files]
    for file, found in zip(files, names, strict=True):
        refuse_repeated_names(found, file.shown)
    refuse_other_columns(names, files)
    wanted = _checked(names[0], config, contract, shown)
    in_place = True
    for file in files:
        schema = pq.read_schema(file.path)
        if all(_is_read_in_place(schema.field(column.name).type) for column in wanted):
            engine_casts(engine, schema, wanted)
        else:
            in_place = False
    return wanted if in_place else None


def _checked(found: Sequence[str], config: ModelConfig, contract: FeatureContract, shown: str) -> tuple[Wanted, ...]:
    if lacking := [name for name in contract.raw_columns if name not in found]:
        named = ", ".join(f"{name!r}{_closest(name, found)}" for name in lacking[:5])
        more = f" and {len(lacking) - 5} more" if len(lacking) > 5 else ""
        raise SchemaError(
            f"{shown}: the input lacks columns that the model needs: {named}{more}; found: "
            f"{', '.join(map(repr, found[:40]))}. Correct the names in the input"
        )
    return wanted_columns(contract, config.time, found)


def _closest(name: str, found: Sequence[str]) -> str:
    close = closest_text(name, found)
    return f" ({close})" if close else ""


def _is_read_in_place(kind: pa.DataType) -> bool:
    """Whether Arrow hands a type to the engine as the engine itself would read it from the file."""
    import pyarrow as pa

    text = kind.value_type if pa.types.is_dictionary(kind) else kind
    plain = (pa.types.is_boolean, pa.types.is_integer, pa.types.is_date, pa.types.is_timestamp, pa.types.is_null)
    texts = (pa.types.is_string, pa.types.is_large_string)
    return (
        any(one(kind) for one in plain)
        or any(one(text) for one in texts)
        or kind in (pa.float32(), pa.float64())
        or bool(pa.types.is_decimal128(kind))
    )


def _copied(
    engine: duckdb.DuckDBPyConnection,
    source: Source,
    files: Sequence[SourceFile],
    config: ModelConfig,
    contract: FeatureContract,
    folder: Path,
    settings: Settings,
) -> tuple[list[SourceFile], tuple[Wanted, ...]]:
    """Copy the columns that are read into one Parquet file, in the source's order."""
    shown = shown_source(source)
    rows = rows_of_files(engine, source, files)
    wanted = _checked(rows.columns, config, contract, shown)
    found = dict(zip(rows.columns, map(str, rows.types), strict=True))
    casts_of(wanted, found)
    with reading(shown):
        reader = rows.project(", ".join(quoted(column.name) for column in wanted)).to_arrow_reader(ROW_GROUP)
    _write_copy(_batches(reader, shown), reader.schema, folder / COPY, shown, settings)
    for name in (COPIES, SPILL):
        shutil.rmtree(folder / name, ignore_errors=True)
    return [SourceFile(folder / COPY, shown)], wanted


def _batches(reader: pa.RecordBatchReader, shown: str) -> Iterable[pa.RecordBatch]:
    while True:
        with reading(shown):
            batch = next(reader, None)
        if batch is None:
            return
        yield batch


def _write_copy(
    batches: Iterable[pa.RecordBatch], schema: pa.Schema, path: Path, shown: str, settings: Settings
) -> None:
    import pyarrow.parquet as pq

    n_rows, temporary = 0, path.with_name(f".{path.name}.tmp")
    with storage_errors(path), pq.ParquetWriter(temporary, schema, compression="lz4") as writer:
        for group in row_groups(batches):
            n_rows += group.num_rows
            if n_rows > settings.max_rows:
                raise too_many_rows(shown, f"has {n_rows:,} rows or more", settings)
            writer.write_table(group, row_group_size=ROW_GROUP)
    temporary.replace(path)


def _groups(file: SourceFile) -> tuple[int, ...]:
    import pyarrow.parquet as pq

    with reading(file.shown):
        footer = pq.read_metadata(file.path)
    return tuple(footer.row_group(number).num_rows for number in range(footer.num_row_groups))
