"""Read a batch of raw rows into the contract's types; DuckDB reads the columns whose type is another one."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

import numpy as np

from config.settings import Settings
from core.data.sql import Cast, bound_sql, quoted, value_mark
from core.errors import SchemaError
from core.score.cells import CellReader, Cells, Mask, Wanted, bounded, needs_engine
from tasks.source.engine import ingestion_engine, reading
from tasks.source.read import parquet_cell

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

_ROWS = "raw_rows"


class BatchReader:
    """Reads batches of one input; used by one thread, as a context manager.

    Parameters
    ----------
    wanted
        Columns to read.
    missing
        Texts that mean no value.
    settings
        Settings of the project.
    work
        Folder into which the engine may spill.
    name
        Name of the input in messages.
    """

    def __init__(
        self, wanted: Sequence[Wanted], missing: Sequence[str], settings: Settings, work: Path, name: str
    ) -> None:
        self._wanted, self._missing, self._name = wanted, missing, name
        self._plain = CellReader(missing)
        self._settings, self._work = settings, work
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def read(self, batch: pa.RecordBatch) -> Cells:
        """Read the cells of a batch.

        Raises
        ------
        SchemaError
            No cell of a column can have the contract's type.
        SourceError
            The engine cannot read the rows.
        """
        cells = Cells(batch.num_rows)
        others = []
        for column in self._wanted:
            found = self._plain.read(batch.column(column.name), column)
            if found is None:
                others.append(column)
            else:
                cells.add(column.name, found[0], bounded(*found, column))
        if others:
            self._cast(batch, others, cells)
        return cells

    def _cast(self, batch: pa.RecordBatch, columns: Sequence[Wanted], cells: Cells) -> None:
        import pyarrow as pa

        rows = pa.Table.from_batches([batch]).select([column.name for column in columns])
        with reading(self._name):
            relation = self._engine.from_arrow(rows)
            found = dict(zip(relation.columns, map(str, relation.types), strict=True))
            casts = casts_of(columns, found)
            relation.create_view(_ROWS, replace=True)
            table = self._engine.sql(_cells_sql(casts, found, self._missing)).to_arrow_table().combine_chunks()
        for place, column in enumerate(columns):
            values, refused = (table.column(2 * place + more).combine_chunks() for more in (0, 1))
            cells.add(column.name, values, bounded(values, _mask(refused), column))

    @cached_property
    def _engine(self) -> duckdb.DuckDBPyConnection:
        connection = self._stack.enter_context(ingestion_engine(self._settings, self._work))
        connection.execute("SET threads = 1")  # the parts are what runs in parallel
        return connection


def casts_of(columns: Sequence[Wanted], found: dict[str, str]) -> list[Cast]:
    """Return the casts of columns.

    Parameters
    ----------
    columns
        Columns to read.
    found
        Their DuckDB types in the input.

    Raises
    ------
    SchemaError
        No cell of a column can have the contract's type.
    """
    mark = value_mark(found)
    casts = [Cast(one.name, found[one.name], one.kind, notation=one.notation, mark=mark) for one in columns]
    problems = [cast.problem for cast in casts if cast.problem]
    if problems:
        raise SchemaError(
            f"{'; '.join(problems).replace('the source has', 'the input has')}. Correct the input's types, or score "
            "with a version whose features fit"
        )
    return casts


def engine_casts(engine: duckdb.DuckDBPyConnection, schema: pa.Schema, wanted: Sequence[Wanted]) -> None:
    """Check that the columns of an input which need the engine can be cast.

    Parameters
    ----------
    engine
        From :func:`tasks.source.engine.ingestion_engine`.
    schema
        Arrow types of the input.
    wanted
        Columns to read.

    Raises
    ------
    SchemaError
        No cell of a column can have the contract's type.
    """
    others = [column for column in wanted if needs_engine(schema.field(column.name).type, column)]
    if others:
        relation = engine.from_arrow(schema.empty_table().select([column.name for column in others]))
        casts_of(others, dict(zip(relation.columns, map(str, relation.types), strict=True)))


def _cells_sql(casts: Sequence[Cast], found: dict[str, str], missing: Sequence[str]) -> str:
    """Build a query of two columns per cast: the value, NULL if it is refused, and whether it is."""
    raw = ", ".join(parquet_cell(name, kind, missing) for name, kind in found.items())
    columns = (
        f"CASE WHEN {cast.fits} THEN {cast.bound} END AS {quoted(cast.column)}, "
        f"{cast.refused} AS {quoted(f'{cast.mark}?{cast.column}')}"
        for cast in casts
    )
    bound = bound_sql(casts, f"(SELECT {raw} FROM {_ROWS})")  # noqa: S608 - every name is quoted
    return f"SELECT {', '.join(columns)} FROM ({bound})"  # noqa: S608 - every name is quoted


def _mask(column: pa.Array) -> Mask:
    found: Mask = column.fill_null(False).to_numpy(zero_copy_only=False)
    return np.asarray(found, dtype=bool)
