"""DuckDB over a staged Parquet file: its rows as a view, and which of them failed.

No row passes through Python, so memory is bounded by DuckDB's limit, whatever the number of rows.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from config.settings import Settings
from core.data.sql import literal, quoted
from tasks.source.engine import SPILL, prepare_for_width, reading
from tasks.validation.wide import Parts, part_file, part_statements

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

ROWS = "staged_rows"
"""View of the rows."""
NUMBERED = "numbered_rows"
"""View of the rows with their numbers, see :attr:`Pushdown.row`."""
FAILING = "failing_rows"
"""Table of which rows failed: ``row`` and the expectation's ``position`` in the suite."""
PARTS = "parts"
"""Folder of the parts of wide rows, under the run's working folder."""
_REASONS = "reasons"
_FILE_ROW = "file_row_number"


@dataclass(frozen=True)
class Pushdown:
    """An open engine over one staged file.

    Parameters
    ----------
    connection
        The engine.
    columns
        Columns of the file.
    rows, numbered
        SQL of the relations behind the views. A query of them binds the columns that it names, one of a view all.
    row
        Name of the column that numbers the rows of ``numbered``, from 0.
    name
        Name of the rows in messages.
    """

    connection: duckdb.DuckDBPyConnection
    columns: Sequence[str]
    rows: str
    numbered: str
    row: str
    name: str

    def execute(self, sql: str) -> list[Any]:
        """Execute one of our own statements and return its rows."""
        with reading(self.name):
            return self.connection.execute(sql).fetchall()

    def table(self, sql: str) -> pa.Table:
        """Execute one of our own statements and return its rows as Arrow."""
        with reading(self.name):
            return self.connection.sql(sql).to_arrow_table()


@contextmanager
def pushed_down(
    connection: duckdb.DuckDBPyConnection,
    staged: Path,
    columns: Sequence[str],
    name: str,
    settings: Settings,
    work: Path,
    parts: Parts | None = None,
) -> Iterator[Pushdown]:
    """Make views of a staged file in an empty database, within ``settings.memory_limit_mb``, spilling under ``work``.

    Afterwards the engine can read no other file, and reach no network.

    Parameters
    ----------
    connection
        An empty database in memory.
    staged
        The Parquet file.
    columns
        Its columns.
    name
        Name of the rows in messages.
    settings
        Bound of the memory.
    work
        Existing folder of the run.
    parts
        Views of a few columns each, see :mod:`tasks.validation.wide`.

    Raises
    ------
    StorageError
        The memory limit or the disk is too small.
    SourceError
        The file cannot be read.
    """
    path = literal(str(staged.resolve()))
    pushdown = Pushdown(connection, columns, f"read_parquet({path})", *_numbered(path, columns), name)
    try:
        prepare_for_width(connection, len(columns))
        for statement in _preparation(pushdown, path, parts or {}, settings, work):
            pushdown.execute(statement)
        yield pushdown
    finally:
        shutil.rmtree(work / SPILL, ignore_errors=True)
        shutil.rmtree(work / PARTS, ignore_errors=True)


def forget_failing_rows(pushdown: Pushdown) -> None:
    """Record no row as failing."""
    pushdown.execute(f"CREATE OR REPLACE TABLE {FAILING} (row BIGINT, position INTEGER)")


def n_failing_rows(pushdown: Pushdown) -> int:
    """Return the number of rows that are recorded as failing."""
    ((n_rows,),) = pushdown.execute(f"SELECT count(DISTINCT row) FROM {FAILING}")  # noqa: S608 - our own name
    return int(n_rows)


def name_reasons(pushdown: Pushdown, reasons: Mapping[int, str]) -> None:
    """Store the text of each expectation, by its position, for the reasons of failing rows."""
    rows = ", ".join(f"({position:d}, {literal(text)})" for position, text in reasons.items())
    pushdown.execute(f"CREATE OR REPLACE TABLE {_REASONS} (position INTEGER, text VARCHAR)")
    pushdown.execute(f"INSERT INTO {_REASONS} VALUES {rows}")  # noqa: S608 - our own name, numbers, quoted text


def failing_rows(pushdown: Pushdown, start: int, stop: int) -> pa.Table:
    """Rows that fail in ``[start, stop)``: ``row``, ascending, and the ``reason``."""
    return pushdown.table(
        f"SELECT row, string_agg(text, '; ' ORDER BY position) AS reason "  # noqa: S608 - our own names, and numbers
        f"FROM {FAILING} JOIN {_REASONS} USING (position) "
        f"WHERE row >= {start:d} AND row < {stop:d} GROUP BY row ORDER BY row"
    )


def failing_row_numbers(pushdown: Pushdown, start: int, stop: int) -> pa.Table:
    """Numbers of the failing rows in ``[start, stop)``, without reasons."""
    where = f"row >= {start:d} AND row < {stop:d}"
    return pushdown.table(f"SELECT DISTINCT row FROM {FAILING} WHERE {where}")  # noqa: S608 - our own name, numbers


def _preparation(pushdown: Pushdown, path: str, parts: Parts, settings: Settings, work: Path) -> list[str]:
    folder = work / PARTS
    if parts:
        folder.mkdir(parents=True, exist_ok=True)
    allowed = ", ".join([path, *(literal(str(part_file(folder, name).resolve())) for name in parts)])
    return [
        f"SET GLOBAL memory_limit = '{settings.memory_limit_mb:d}MiB'",
        f"SET GLOBAL temp_directory = {literal(str(work / SPILL))}",
        "SET GLOBAL TimeZone = 'UTC'",
        # Each query would read the description of all columns again.
        "SET GLOBAL parquet_metadata_cache = true",
        f"CREATE VIEW {ROWS} AS SELECT * FROM {pushdown.rows}",  # noqa: S608 - quoted
        f"CREATE VIEW {NUMBERED} AS SELECT * FROM {pushdown.numbered}",  # noqa: S608 - quoted
        *part_statements(parts, ROWS, folder),
        # A query in a suite reads the batch and nothing else, and writes no file.
        f"SET GLOBAL allowed_paths = [{allowed}]",
        "SET GLOBAL enable_external_access = false",
    ]


def _numbered(path: str, columns: Sequence[str]) -> tuple[str, str]:
    """Return a relation of the rows with their numbers, and the name of the numbers' column."""
    if _FILE_ROW not in map(str.lower, columns):
        return f"read_parquet({path}, {_FILE_ROW} = true)", _FILE_ROW
    # The engine's own number has the name of a column; this one takes one thread.
    row = _free_name("__row__", columns)
    number = f"row_number() OVER () - 1 AS {quoted(row)}"
    return f"(SELECT {number}, * FROM read_parquet({path}))", row  # noqa: S608 - quoted


def _free_name(wanted: str, taken: Sequence[str]) -> str:
    folded = {column.lower() for column in taken}
    while wanted.lower() in folded:
        wanted += "_"
    return wanted
