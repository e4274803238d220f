"""Look at texts that mean no value in one column: levels of another column, or a second line of names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from core.data.sql import literal
from core.init.columns import LEVEL_MARKERS, MISSING_MARKERS
from core.text import percent, short
from tasks.init.inspection.aggregates import aggregates

if TYPE_CHECKING:
    import duckdb

Strange = Sequence[tuple[str, int]]
"""Values with their numbers of rows."""

MIN_ROWS = 5
MIN_COLUMNS = 2


def lost_levels(
    connection: duckdb.DuckDBPyConnection, table: str, missing: Iterable[str], texts: Mapping[str, str]
) -> list[str]:
    """Return a remark on each text that means no value among numbers and may be a level of a column of texts.

    Parameters
    ----------
    table
        Name of the table with the values as the source has them.
    missing
        Texts that will mean no value in every column.
    texts
        Names of the columns of texts, with their names in the table.
    """
    marks = [text for text in missing if text.lower() not in LEVEL_MARKERS]
    asked = [(mark, name, alias) for mark in marks for name, alias in texts.items()]
    counts = aggregates(connection, table, [f"count(*) FILTER ({alias} = {literal(mark)})" for mark, _, alias in asked])
    n_rows = int(connection.execute(f"SELECT count(*) FROM {table}").fetchall()[0][0])  # noqa: S608 - own name
    return [
        f"{short(mark)} means no value among numbers or dates, and source.missing applies to every column: so do "
        f"{percent(n / n_rows)} of the rows of {short(name)}; if it is a level there, write another text in the source"
        for (mark, name, _), n in zip(asked, counts, strict=True)
        if n
    ]


def second_names(connection: duckdb.DuckDBPyConnection, table: str, columns: Mapping[str, tuple[str, Strange]]) -> str:
    """Return the texts of a first row that is a second line of names, such as units; empty if it is a row.

    It is one if no column of numbers or dates has a value there, but at least two have a text that occurs nowhere else
    in them and is no marker of a missing value.

    Parameters
    ----------
    table
        Name of the table with the values as the source has them.
    columns
        Names of the columns of numbers or dates, with their names in the table and their other texts.
    """
    if not columns:
        return ""
    aliases = ", ".join(alias for alias, _ in columns.values())
    rows = connection.execute(f"SELECT {aliases} FROM {table} ORDER BY rowid LIMIT {MIN_ROWS}").fetchall()  # noqa: S608 - own names
    if len(rows) < MIN_ROWS:
        return ""
    cells = dict(zip(columns, rows[0], strict=True))
    found = {name: cell for name, cell in cells.items() if _is_alone(cell, columns[name][1])}
    if len(found) < MIN_COLUMNS or any(cell is not None and name not in found for name, cell in cells.items()):
        return ""
    return ", ".join(f"{short(cell, 20)} in {short(name)}" for name, cell in list(found.items())[:4])


def _is_alone(cell: Any, strange: Strange) -> bool:
    return any(text == cell and n == 1 and text.lower() not in MISSING_MARKERS for text, n in strange)
