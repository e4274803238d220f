"""Score one part: read, cast, predict, write. Parts run in parallel, in threads or in other processes."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from config.settings import Settings
from core.errors import StorageError, UserError
from core.score.addresses import suffix_of
from core.score.cells import Cells, Mask, Wanted
from core.score.inputs import prepared_columns
from core.score.outcome import PartResult
from core.score.output import (
    AT,
    GROUP_ROWS,
    ID,
    ROW,
    VERSION,
    OutputColumns,
    output_columns,
    output_schema,
    output_table,
    plain_text,
    set_aside_schema,
)
from core.score.parts import Part
from core.score.plan import ScoringPlan
from core.score.reasons import refusal_reasons
from core.storage_failure import storage_errors
from serving.bundle.graph import ROWS_PER_CALL
from serving.model.served import ServedModel
from tasks.registry.bundle_files import file_sha256
from tasks.score.cells import BatchReader
from tasks.score.publish import part_name, set_aside_name
from tasks.score.staging import FAILED, PARTS, plan_in, read, written
from tasks.score.version import loaded_model
from tasks.source.engine import SPILL, reading
from tasks.source.repetitive_texts import repetitive_texts

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

BATCH_ROWS = 65_536
"""Rows that are in memory at a time, per part that runs."""

_BUFFER = 1 << 20
_SAID_EVERY = 10.0
_log = logging.getLogger("perennial.score")
_said_at = time.monotonic()


class Writer(Protocol):
    """Writes tables of one schema."""

    def write_table(self, table: pa.Table, row_group_size: int) -> None:
        """Write a table."""


def score_part(folder: Path, number: int, settings: Settings) -> PartResult | None:
    """Score a part, unless it is done; return None if another part failed for good.

    A repeat writes the same bytes: they depend on the plan alone.

    Parameters
    ----------
    folder
        Staging folder with the plan.
    number
        Number of the part.
    settings
        Settings of the project.

    Raises
    ------
    SourceError
        The input is damaged.
    BundleError
        The model fails.
    StorageError
        A disk failed.
    """
    plan = plan_in(folder)
    done = read(PartResult, folder / PARTS / f"{number:05}.json")
    if done is not None or (folder / FAILED).exists():
        return done
    try:
        with storage_errors(folder):
            result = _scored(plan, plan.parts[number], folder, settings)
    except StorageError:
        raise
    except UserError:
        (folder / FAILED).touch()
        raise
    if result is not None:
        written(result, PartResult, folder / PARTS / f"{number:05}.json")
        _say(folder, plan)
    return result


@contextmanager
def parquet_writer(path: Path, schema: pa.Schema, levels: Sequence[str] = ()) -> Iterator[pq.ParquetWriter]:
    """Open a Parquet file for an output, with the encodings that suit its columns.

    Parameters
    ----------
    path, schema
        The file and the types of its columns.
    levels
        Names of the columns whose texts repeat.
    """
    import pyarrow.parquet as pq

    repeated = [name for name in schema.names if name in (VERSION, AT, *levels)]
    encodings = {name: "DELTA_BYTE_ARRAY" for name in schema.names if name == ID}
    encodings |= {name: "DELTA_BINARY_PACKED" for name in schema.names if name == ROW}
    # Not zstd, which takes longer than all other steps of writing: the ids' encoding leaves little to compress.
    options = {"compression": "snappy", "use_dictionary": repeated, "column_encoding": encodings}
    with pq.ParquetWriter(path, schema, **options) as writer:
        yield writer


def _scored(plan: ScoringPlan, part: Part, folder: Path, settings: Settings) -> PartResult | None:
    model = loaded_model(plan.request.model, plan.version, plan.manifest, plan.trusted, settings)
    wanted = plan.wanted(model.contract)
    columns = output_columns(model.contract, wanted, features=plan.request.features)
    suffix = suffix_of(plan.request.kind)
    names = part_name(part.number, suffix), set_aside_name(part.number, suffix)
    out, aside = _File(folder / PARTS / names[0], stays_empty=True), _File(folder / PARTS / names[1])
    work = folder / SPILL / f"{part.number}"
    with (
        BatchReader(wanted, plan.missing, settings, work, plan.request.input) as reader,
        out.opened(output_schema(columns)),
        aside.opened(set_aside_schema(plan.columns)),
    ):
        first_row = part.first_row
        for batch in _batches(plan, part, model.contract.categorical):
            scored, refused = _tables(batch, first_row, reader, model, wanted, columns, plan)
            out.add(scored)
            aside.add(refused)
            first_row += batch.num_rows
            if (folder / FAILED).exists():
                return None
    files = {name: file_sha256(file.path) for name, file in zip(names, (out, aside), strict=True) if file.finish()}
    return PartResult(part.number, out.n_rows, aside.n_rows, files)


def _tables(
    batch: pa.RecordBatch,
    first_row: int,
    reader: BatchReader,
    model: ServedModel,
    wanted: Sequence[Wanted],
    columns: OutputColumns,
    plan: ScoringPlan,
) -> tuple[pa.Table, pa.Table]:
    """Return the output of a batch, and the rows that are set aside."""
    cells = reader.read(batch)
    rows = first_row + np.arange(batch.num_rows, dtype=np.int64)
    accepted = cells.accepted
    kept = cells if accepted.all() else cells.chosen(accepted)
    answers = model_answers(model, kept)
    finite = np.isfinite(answers).all(axis=1)
    if not finite.all():
        unanswered = np.flatnonzero(accepted)[~finite]
        accepted[unanswered] = False
        kept, answers = kept.chosen(finite), answers[finite]
    scored = output_table(kept, rows[accepted], answers, columns, run=plan.run, version=plan.version, at=plan.at)
    return scored, _set_aside(batch, rows, cells, ~accepted, wanted, plan.columns)


def model_answers(model: ServedModel, cells: Cells) -> npt.NDArray[Any]:
    """Return the model's answers to read rows, shape (n, k) for k classes, (n, 1) for regression.

    Raises
    ------
    BundleError
        The model fails.
    """
    n_answers = len(model.contract.classes) or 1
    if not cells.n:
        return np.empty((0, n_answers))
    columns = prepared_columns(cells.values, model.contract)
    if model.kind == "skops":
        return model.compute(columns).reshape(cells.n, n_answers)
    found = [
        model.compute([column[start : start + ROWS_PER_CALL] for column in columns])
        for start in range(0, cells.n, ROWS_PER_CALL)
    ]
    return np.concatenate(found).reshape(cells.n, n_answers)


def _set_aside(
    batch: pa.RecordBatch,
    rows: npt.NDArray[np.int64],
    cells: Cells,
    refused: Mask,
    wanted: Sequence[Wanted],
    names: Sequence[str],
) -> pa.Table:
    import pyarrow as pa

    places = np.flatnonzero(refused)
    schema = set_aside_schema(names)
    if not len(places):
        return schema.empty_table()
    texts = {name: plain_text(batch.column(name).take(pa.array(places))).cast(pa.string()) for name in names}
    reasons = refusal_reasons(cells, places, texts, wanted)
    return pa.Table.from_arrays([pa.array(rows[places]), pa.array(reasons), *texts.values()], schema=schema)


def _batches(plan: ScoringPlan, part: Part, levels: Sequence[str]) -> Iterator[pa.RecordBatch]:
    import pyarrow.parquet as pq

    for span in part.spans:
        file = plan.files[span.file]
        with reading(file.shown):
            footer = pq.read_metadata(file.path)
        texts = repetitive_texts(footer.row_group(span.groups[0]), levels)
        options = {"read_dictionary": texts, "buffer_size": _BUFFER, "pre_buffer": False, "metadata": footer}
        with reading(file.shown), pq.ParquetFile(file.path, **options) as parquet:
            batches = parquet.iter_batches(
                BATCH_ROWS, row_groups=list(span.groups), columns=list(plan.columns), use_threads=False
            )
            yield from _next(batches, file.shown)


def _next(batches: Iterator[pa.RecordBatch], shown: str) -> Iterator[pa.RecordBatch]:
    # Only the reading of rows: what the caller does with them has other errors.
    while True:
        with reading(shown):
            batch = next(batches, None)
        if batch is None:
            return
        yield batch


class _File:
    """One file of a part, written under another name until it is whole.

    Parameters
    ----------
    path
        Its name.
    stays_empty
        Whether it stays if it has no rows, with its columns only.
    """

    def __init__(self, path: Path, *, stays_empty: bool = False) -> None:
        self.path, self._stays_empty = path, stays_empty
        self.n_rows = 0
        self._temporary = path.with_name(f".{path.name}.tmp")
        self._waiting: list[pa.Table] = []

    @contextmanager
    def opened(self, schema: pa.Schema) -> Iterator[None]:
        with _writer(self._temporary, schema) as self._writer:
            yield
            self._write(1)

    def add(self, table: pa.Table) -> None:
        """Add rows; they are written in groups of a fixed size."""
        if table.num_rows:
            self.n_rows += table.num_rows
            self._waiting.append(table)
            self._write(GROUP_ROWS)

    def finish(self) -> bool:
        """Give the file its name; return False and remove it if it has no rows and does not stay empty."""
        if not self.n_rows and not self._stays_empty:
            self._temporary.unlink()
            return False
        self._temporary.replace(self.path)
        return True

    def _write(self, least: int) -> None:
        import pyarrow as pa

        n_waiting = sum(table.num_rows for table in self._waiting)
        while n_waiting >= least:
            table = pa.concat_tables(self._waiting)
            group = table.slice(0, GROUP_ROWS)
            self._writer.write_table(group, row_group_size=GROUP_ROWS)
            self._waiting = [table.slice(GROUP_ROWS)] if n_waiting > GROUP_ROWS else []
            n_waiting -= group.num_rows


@contextmanager
def _writer(path: Path, schema: pa.Schema) -> Iterator[Any]:
    if path.name.removesuffix(".tmp").endswith(".csv"):
        with path.open("wb") as stream:
            yield _CsvWriter(stream, schema)
        return
    with parquet_writer(path, schema) as writer:
        yield writer


class _CsvWriter:
    """Writes tables as CSV, times in UTC as ISO 8601."""

    def __init__(self, stream: Any, schema: pa.Schema) -> None:
        import pyarrow.csv as csv

        self._stream, self._options = stream, csv.WriteOptions(include_header=False)
        csv.write_csv(schema.empty_table(), stream)

    def write_table(self, table: pa.Table, row_group_size: int) -> None:  # noqa: ARG002 - as Parquet's
        """Write a table."""
        import pyarrow.csv as csv

        csv.write_csv(table, self._stream, self._options)


def _say(folder: Path, plan: ScoringPlan) -> None:
    """Tell the progress from time to time."""
    global _said_at
    now = time.monotonic()
    if now - _said_at < _SAID_EVERY:
        return
    _said_at = now
    n_done = len(list((folder / PARTS).glob("*.json")))
    n_rows = sum(part.n_rows for part in plan.parts[:n_done])
    _log.info("scored about %s of %s rows", f"{n_rows:,}", f"{plan.n_rows:,}")
