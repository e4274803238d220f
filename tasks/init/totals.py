"""Compare the last row of a source with the rows above it, and refuse it if it has their totals."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from config.schema import CsvSource, Source
from config.settings import Settings
from core.errors import SourceError
from core.init.totals import LastRow, totals_doubt, totals_reason
from tasks.init.inspection.aggregates import aggregates
from tasks.init.inspection.inspected import RAW_TABLE, TABLE, Column, Inspection
from tasks.source.engine import COPIES
from tasks.source.files import opened_paths
from tasks.source.read import shown_source

MIN_ROWS = 5
MIN_NONZERO = 3
TOLERANCE = 1e-6


def totals_remarks(inspection: Inspection, source: Source, settings: Settings, work: Path) -> list[str]:
    """Return a remark on a last row that may be one of totals; refuse one that is.

    Parameters
    ----------
    inspection
        The rows and their statistics.
    source
        Where they come from.
    settings
        Settings of the project.
    work
        Folder of this run, with the copies of files that were not read in place.

    Raises
    ------
    SourceError
        The last row has totals; the message names its line and the reason.
    """
    place, cells = _last(inspection)
    if place < MIN_ROWS:
        return []
    row = _last_row(inspection, place, cells)
    if reason := totals_reason(row):
        where = _line(source, settings, work) or f"{shown_source(source)}, row {place + 1:,}"
        raise SourceError(f"{where}: looks like a row of totals ({reason}); remove the line")
    doubt = totals_doubt(row)
    return [doubt] if doubt and _is_alone(inspection, row) else []


def _is_alone(inspection: Inspection, row: LastRow) -> bool:
    """Return whether the word for a total is in the last row at most; otherwise it is a level."""
    name, text = row.word or ("", "")
    alias = inspection.table.one(name).alias
    sql = f"SELECT count(*) FROM {RAW_TABLE} WHERE {alias} = ?"  # noqa: S608 - own names
    return bool(inspection.table.connection.execute(sql, [text]).fetchall()[0][0] <= 1)


def _last(inspection: Inspection) -> tuple[int, tuple[Any, ...]]:
    """Return position and raw cells of the last row with a value."""
    rows = ((row[0], row[1:]) for row in inspection.last_rows)
    return next(((place, cells) for place, cells in rows if any(cell is not None for cell in cells)), (0, ()))


def _last_row(inspection: Inspection, place: int, cells: tuple[Any, ...]) -> LastRow:
    columns = inspection.table.columns
    texts = {
        column.name: cell
        for column, cell in zip(columns, cells, strict=True)
        if column.is_text and isinstance(cell, str)
    }
    n_empty = sum(cell is None for cell in cells)
    return LastRow(texts, n_empty, len(columns), _sums(inspection, place))


def _sums(inspection: Inspection, place: int) -> list[str]:
    """Return the columns of numbers whose last value is the sum or the mean of those above.

    Columns that are mostly zero are not asked: their last value may be the sum by chance.
    """
    numbers = [column for column in inspection.table.columns if column.form == "number"]
    varying = _varying(inspection)
    aliases, connection = [column.alias for column in numbers], inspection.table.connection
    last_cells = aggregates(connection, TABLE, aliases, f"WHERE rowid = {place}")
    totals = aggregates(connection, TABLE, [f"sum({alias})" for alias in aliases])
    counts = aggregates(connection, TABLE, [f"count({alias})" for alias in aliases])
    found: list[str] = []
    for column, last, total, n_values in zip(numbers, last_cells, totals, counts, strict=True):
        if last is None or n_values < MIN_ROWS or not math.isfinite(total):
            continue
        above = total - last
        is_mean = column.name in varying and _is_close(last, above / (n_values - 1))
        if (_is_close(last, above) or is_mean) and _is_often_nonzero(inspection, column, n_values):
            found.append(column.name)
    return found


def _is_often_nonzero(inspection: Inspection, column: Column, n_values: int) -> bool:
    n_nonzero = inspection.table.rows(f"count(*) FILTER ({column.alias} <> 0)")[0][0] - 1
    return bool(n_nonzero >= max(MIN_NONZERO, 0.1 * n_values))


def _varying(inspection: Inspection) -> set[str]:
    # The mean of whole numbers, or of a constant, is often one of the values.
    return {column.name for column in inspection.columns if not column.is_integer and column.n_distinct > MIN_ROWS}


def _is_close(value: float, other: float) -> bool:
    return abs(value - other) <= TOLERANCE * abs(other)


def _line(source: Source, settings: Settings, work: Path) -> str:
    """Return file and line of the last row of CSV; empty for other sources."""
    if not isinstance(source, CsvSource):
        return ""
    path = opened_paths(source, settings, work)[-1]
    with path.open("rb") as lines:
        last = max((number for number, line in enumerate(lines, start=1) if line.strip(b' \t\r\n,;|"')), default=1)
    return f"{shown_source(source) if path.parent == work / COPIES else path}, line {last:,}"
