"""Inspect the rows of a data set: copy them into tables, find how their texts are read, and take statistics."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from core.data.sql import literal, quoted
from core.init.choices import NO_ANSWERS, Answers
from core.init.columns import MISSING_MARKERS
from tasks.init.inspection.codes import codes_as_text
from tasks.init.inspection.forms import MARKER_LENGTH, MAX_LISTED_STRANGE, Strange, form_of, number_value, read_forms
from tasks.init.inspection.inspected import RAW_TABLE, TABLE, Column, InspectedTable, Inspection
from tasks.init.inspection.markers import lost_levels, second_names
from tasks.init.inspection.noted import noted_columns
from tasks.init.inspection.statistics import column_statistics
from tasks.source.engine import prepare_for_width

if TYPE_CHECKING:
    import duckdb

log = logging.getLogger("perennial.inspect")

LAST_ROWS = 20
"""Exported sheets end in empty rows."""

PART = 250
PARSED = ("number", "date")


def inspect_rows(
    connection: duckdb.DuckDBPyConnection,
    rows: duckdb.DuckDBPyRelation,
    target: str,
    time: str | None = None,
    categories: Set[str] = frozenset(),
    answers: Answers = NO_ANSWERS,
) -> Inspection:
    """Compute statistics of every column.

    The rows are copied into temporary tables (a CSV is parsed once, not once per question); the engine spills them to
    disk where they exceed the memory limit.

    Parameters
    ----------
    rows
        All columns as the source has them, text stripped, blanks NULL.
    target
        Its values are counted as canonical labels.
    time
        Time column; if given and a date, each column of numbers is correlated with it.
    categories
        Columns of numbers that the source declares to be categories; they are read as text.
    answers
        Of the user, where the values of a column can be read in two ways.
    """
    for old in (RAW_TABLE, TABLE):
        connection.execute(f"DROP TABLE IF EXISTS {old}")
    names = list(rows.columns)
    log.info("reading %s columns", f"{len(names):,}")
    prepare_for_width(connection, len(names))
    # Asked first: a relation binds its whole query again after a table has been created.
    types = [str(kind) for kind in rows.types]
    rows.project(", ".join(f"{quoted(name)} AS c{i}" for i, name in enumerate(names))).create(RAW_TABLE)
    raw = [Column(name, f"c{i}", kind, form_of(kind)) for i, (name, kind) in enumerate(zip(names, types, strict=True))]
    n_rows = _n_rows(connection)
    log.info("looking at the values of %s columns in %s rows", f"{len(names):,}", f"{n_rows:,}")
    noted = noted_columns(connection, RAW_TABLE, raw, target, answers)
    raw = [replace(column, noted=noted.get(column.name, column.noted)) for column in raw]
    columns, missing, strange = read_forms(connection, raw, n_rows)
    columns, doubts = codes_as_text(connection, columns, target, categories)
    typed = {column.name: (column.alias, strange.get(column.name, [])) for column in columns if column.form in PARSED}
    second = second_names(connection, RAW_TABLE, typed)
    words = {column.name: column.alias for column in columns if column.is_text and column.form == "text"}
    remarks = (column.noted.doubt for column in columns if column.noted.doubt)
    doubts = (*doubts, *remarks, *lost_levels(connection, RAW_TABLE, missing, words))
    last_rows = _last_rows(connection)
    _drop_marks(connection, columns, missing, strange)
    _make_typed(connection, columns, target)
    table = InspectedTable(connection, columns)
    log.info("computing statistics of %s columns", f"{len(names):,}")
    found = column_statistics(table, n_rows, target, time, strange) if n_rows else ()
    return Inspection(found, n_rows, missing, table, doubts, second, last_rows)


def _n_rows(connection: duckdb.DuckDBPyConnection) -> int:
    return int(connection.execute(f"SELECT count(*) FROM {RAW_TABLE}").fetchall()[0][0])  # noqa: S608 - own name


def _last_rows(connection: duckdb.DuckDBPyConnection) -> tuple[tuple[Any, ...], ...]:
    sql = f"SELECT rowid, * FROM {RAW_TABLE} ORDER BY rowid DESC LIMIT {LAST_ROWS}"  # noqa: S608 - own name
    return tuple(connection.execute(sql).fetchall())


def _drop_marks(
    connection: duckdb.DuckDBPyConnection,
    columns: Iterable[Column],
    missing: Mapping[str, str],
    strange: Mapping[str, Strange],
) -> None:
    """Replace texts that mean no value by NULL in the raw table, so that it counts what the ingestion will store."""
    marks = ", ".join(literal(text) for text in missing)
    usual = all(text.lower() in MISSING_MARKERS and len(text) <= MARKER_LENGTH for text in missing)
    for column in columns:
        listed = {text for text, _ in strange.get(column.name, [])}
        # Usual marks are listed wherever they are, unless a column has too many other texts.
        has_none = not missing or (usual and len(listed) <= MAX_LISTED_STRANGE and listed.isdisjoint(missing))
        if column.is_text and not has_none:
            alias = column.alias
            connection.execute(f"UPDATE {RAW_TABLE} SET {alias} = NULL WHERE {alias} IN ({marks})")  # noqa: S608 - own names


def _make_typed(connection: duckdb.DuckDBPyConnection, columns: Sequence[Column], target: str) -> None:
    """Build the table of typed values, NULL if there is none, with the target's label beside them.

    A wide one is built in parts of some columns: planning one query takes the square of their number.
    """
    typed = [f"{_typed(column)} AS {column.alias}" for column in columns]
    label = next(column.read_as("VARCHAR", is_label=True) for column in columns if column.name == target)
    typed.append(f"{label} AS label")
    parts = [", ".join(typed[start : start + PART]) for start in range(0, len(typed), PART)]
    if len(parts) == 1:
        connection.execute(f"CREATE TABLE {TABLE} AS SELECT {parts[0]} FROM {RAW_TABLE}")  # noqa: S608 - own names
        return
    names = [f"part_{number}" for number in range(len(parts))]
    for name, part in zip(names, parts, strict=True):
        connection.execute(f"CREATE OR REPLACE TABLE {name} AS SELECT {part} FROM {RAW_TABLE}")  # noqa: S608 - own names
    connection.execute(f"CREATE TABLE {TABLE} AS SELECT * FROM {' POSITIONAL JOIN '.join(names)}")  # noqa: S608 - own names
    for name in names:
        connection.execute(f"DROP TABLE {name}")


def _typed(column: Column) -> str:
    """Return the SQL of a raw column's value: DOUBLE, TIMESTAMP, BOOLEAN or text, NULL if it means no value."""
    if column.form == "nested":
        return f"CASE WHEN {column.alias} IS NOT NULL THEN true END"
    if column.form == "number":
        return number_value(column)
    return column.read_as({"date": "TIMESTAMP", "boolean": "BOOLEAN", "text": "VARCHAR"}[column.form])
