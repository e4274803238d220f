"""Find how the texts of each column are read: as numbers, dates or text, and which of them mean no value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from core.data.sql import literal
from core.init.choices import Noted
from core.init.columns import MAX_STRANGE_TEXTS, MISSING_MARKERS, missing_texts, reads_as_one
from core.notations import DateNotation, NumberNotation
from core.text import short
from tasks.init.inspection.aggregates import aggregates
from tasks.init.inspection.frequent import Counted, frequent_values
from tasks.init.inspection.inspected import RAW_TABLE, Column
from tasks.init.inspection.noted import unread_with_digits

if TYPE_CHECKING:
    import duckdb

PREVIEW_ROWS = 10_000
NUMBER_TYPES = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "FLOAT", "DOUBLE", "DECIMAL", "U")
MARKER_LENGTH = 16
MAX_LISTED_STRANGE = len(MISSING_MARKERS) + MAX_STRANGE_TEXTS
MIN_PARSED = 0.02
"""Minimum share of a text column's values that parse as numbers (or dates) for the column to be treated as such."""

Strange = Counted


def form_of(type_name: str) -> str:
    """Return how values of a DuckDB type are read: ``number``, ``date``, ``boolean``, ``text`` or ``nested``."""
    if type_name.endswith("]") or type_name.startswith(("UNION", "STRUCT", "MAP", "BLOB", "BIT", "VARIANT", "GEOM")):
        return "nested"
    if type_name == "BOOLEAN":
        return "boolean"
    if type_name.startswith(("DATE", "TIMESTAMP")):
        return "date"
    return "number" if type_name.startswith(NUMBER_TYPES) else "text"


def number_value(column: Column) -> str:
    """Return SQL of the cell as a number; NULL if it is none, or NaN."""
    return f"nullif({column.read_as('DOUBLE')}, 'nan'::DOUBLE)"


def read_forms(
    connection: duckdb.DuckDBPyConnection, raw: Sequence[Column], n_rows: int
) -> tuple[tuple[Column, ...], dict[str, str], dict[str, Strange]]:
    """Determine how each text column's values are read, and which texts mean no value.

    Parameters
    ----------
    connection
        Engine with the raw table.
    raw
        All columns.
    n_rows
        Number of rows of the table.

    Returns
    -------
    columns
        With their form.
    missing
        Texts that mean no value, with the reason.
    strange
        By name of a text column: values that do not parse in its form, with their numbers of rows.
    """
    texts = [column for column in raw if column.is_text]
    likely = _likely_forms(connection, texts, n_rows)
    strange = _strange(connection, texts, likely, n_rows)
    forms = _final_forms(connection, texts, likely, strange)
    missing = missing_texts(strange, [name for name, form in forms.items() if form != "text"])
    columns = (replace(column, form=forms.get(column.name, column.form)) for column in raw)
    return tuple(map(_as_noted, columns)), missing, strange


def _as_noted(column: Column) -> Column:
    """Return the column with the form of its notation; without the notation if its texts are not all read in it."""
    notation = column.noted.notation
    if notation is None:
        return column
    if column.is_text and column.form == "text":
        doubt = f"{short(column.name)} has values such as {notation.example}, but not in every row; rewrite them in one"
        return replace(column, noted=Noted(doubt=f"{doubt} notation to learn from them"))
    return replace(column, form=_noted_form(column))


def _noted_form(column: Column) -> str:
    return {NumberNotation: "number", DateNotation: "date"}.get(type(column.noted.notation), "")


def _likely_forms(connection: duckdb.DuckDBPyConnection, texts: Sequence[Column], n_rows: int) -> dict[str, str]:
    """Return each text column's likely form from a few of its rows, because parsing all rows as dates is slow."""
    if not texts:
        return {}
    counts = [
        f"count({value})"
        for column in texts
        for value in (column.alias, number_value(column), column.read_as("TIMESTAMP"))
    ]
    # Rows from the whole file, because the first rows may all be blank.
    step = max(n_rows // PREVIEW_ROWS, 1)
    found = aggregates(connection, RAW_TABLE, counts, f"WHERE rowid % {step} = 0")
    return {
        column.name: _noted_form(column) or _likely_form(*found[3 * i : 3 * i + 3]) for i, column in enumerate(texts)
    }


def _likely_form(n_values: int, n_numbers: int, n_dates: int) -> str:
    if max(n_numbers, n_dates) <= MIN_PARSED * n_values:
        return "text"
    return "number" if n_numbers >= n_dates else "date"


def _strange(
    connection: duckdb.DuckDBPyConnection, texts: Sequence[Column], likely: Mapping[str, str], n_rows: int
) -> dict[str, Strange]:
    """Return the values that do not parse as the likely form; for text, only the known markers of missing values."""
    cells = {column.name: _strange_text(column, likely[column.name]) for column in texts}
    # Most columns have none, and counting values that are not there costs a third of grouping them.
    counts = aggregates(connection, RAW_TABLE, [f"count({cell})" for cell in cells.values()])
    names = [name for name, n in zip(cells, counts, strict=True) if n]
    wanted = [cells[name] for name in names]
    found = frequent_values(connection, RAW_TABLE, wanted, MAX_LISTED_STRANGE + 1, n_rows)
    return {name: [] for name in cells} | dict(zip(names, found, strict=True))


def _strange_text(column: Column, likely: str) -> str:
    wanted = {"number": "DOUBLE", "date": "TIMESTAMP"}.get(likely)
    marks = ", ".join(literal(text) for text in sorted(MISSING_MARKERS))
    marked = f"length({column.alias}) <= {MARKER_LENGTH} AND lower({column.alias}) IN ({marks})"
    parsed = number_value(column) if likely == "number" else column.read_as(wanted) if wanted else ""
    is_strange = f"{parsed} IS NULL" if wanted else marked
    return f"CASE WHEN {is_strange} THEN {column.alias} END"


def _final_forms(
    connection: duckdb.DuckDBPyConnection,
    texts: Sequence[Column],
    likely: Mapping[str, str],
    strange: Mapping[str, Strange],
) -> dict[str, str]:
    n_values = aggregates(connection, RAW_TABLE, [f"count({column.alias})" for column in texts])
    return {
        column.name: _final_form(column, n, likely[column.name], strange[column.name])
        for column, n in zip(texts, n_values, strict=True)
    }


def _final_form(column: Column, n_values: int, likely: str, strange: Strange) -> str:
    if likely == "text" or len(strange) > MAX_LISTED_STRANGE:
        return "text"
    if column.noted.notation is not None and unread_with_digits(strange):
        return "text"
    return likely if reads_as_one(n_values - sum(n for _, n in strange), strange) else "text"
