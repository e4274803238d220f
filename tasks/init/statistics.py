"""Compute statistics of a data set's columns in DuckDB: one pass per query, memory bounded by the engine's limit."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from core.data.sql import YEARS, Cast, float_text, literal, quoted
from core.init.choices import NO_ANSWERS, NOT_NOTED, Answers, Noted
from core.init.codes import code_doubt, code_reason
from core.init.columns import (
    MAX_CATEGORY_LEVELS,
    MAX_CLASSES,
    MAX_STRANGE_TEXTS,
    MISSING_MARKERS,
    ColumnStatistics,
    missing_texts,
    reads_as_one,
)
from core.notations import DateNotation, NumberNotation
from core.text import name_words, short
from tasks.init.aggregates import PER_QUERY, aggregates
from tasks.init.codes import code_counts
from tasks.init.frequent import SMALL_TABLE, Counted, frequent_values
from tasks.init.markers import lost_levels, second_names
from tasks.init.noted import noted_columns, unread_with_digits

if TYPE_CHECKING:
    import duckdb

log = logging.getLogger("perennial.inspect")

TABLE = "inspected"
RAW_TABLE = "inspected_raw"
PREVIEW_ROWS = 10_000
SAMPLE_ROWS = 20_000
LISTED_LEVELS = 1000
LAST_ROWS = 20
"""Exported sheets end in empty rows."""

WIDE = 500
PART = 250
PARSED = ("number", "date")
LEVELLED_FORMS = ("number", "boolean", "text")
NUMBER_TYPES = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "FLOAT", "DOUBLE", "DECIMAL", "U")
MARKER_LENGTH = 16
MAX_LISTED_STRANGE = len(MISSING_MARKERS) + MAX_STRANGE_TEXTS
MAX_FLOAT32 = 3.4028235e38
MIN_PARSED = 0.02
"""Minimum share of a text column's values that parse as numbers (or dates) for the column to be treated as such."""


Strange = Counted


@dataclass(frozen=True)
class Column:
    """One column of the inspected table; ``alias`` is its name in SQL, independent of its name in the source."""

    name: str
    alias: str
    type_name: str
    form: str
    """How its values are read: ``number``, ``date``, ``boolean``, ``text`` or ``nested``."""
    code: str = ""
    """Why whole numbers are read as text; empty if they are not."""
    noted: Noted = NOT_NOTED

    @property
    def is_text(self) -> bool:
        """Whether the source stores it as text."""
        return self.type_name == "VARCHAR"

    def read_as(self, kind: str, *, is_label: bool = False) -> str:
        """Return SQL that casts its value to a DuckDB type as the ingestion does; NULL if the cast fails."""
        notation = self.noted.notation
        fitting = (
            notation if kind == {NumberNotation: "DOUBLE", DateNotation: "TIMESTAMP"}.get(type(notation)) else None
        )
        return Cast(self.alias, self.type_name, kind, is_label=is_label, notation=fitting).value


@dataclass(frozen=True)
class Inspection:
    """Statistics of every column, and the table they were taken from.

    Parameters
    ----------
    columns
        In the source's order.
    n_rows
        Rows of the source.
    missing
        Texts that mean no value, with the reason.
    table
        The rows.
    doubts
        Remarks on columns whose kind the user should check.
    second_names
        Texts of a first row that is a second line of names; empty if it is a row.
    last_rows
        Position and values of the last rows as the source has them, the last first.
    """

    columns: tuple[ColumnStatistics, ...]
    n_rows: int
    missing: dict[str, str]
    table: InspectedTable
    doubts: tuple[str, ...] = ()
    second_names: str = ""
    last_rows: tuple[tuple[Any, ...], ...] = ()

    def named(self, name: str) -> ColumnStatistics:
        """Statistics of one column."""
        return self._by_name[name]

    @cached_property
    def _by_name(self) -> dict[str, ColumnStatistics]:
        return {column.name: column for column in self.columns}


@dataclass(frozen=True)
class InspectedTable:
    """The rows under inspection: a temporary table of typed columns with generated names."""

    connection: duckdb.DuckDBPyConnection
    columns: tuple[Column, ...]

    def one(self, name: str) -> Column:
        """Return the column of that name."""
        return self._by_name[name]

    @cached_property
    def _by_name(self) -> dict[str, Column]:
        return {column.name: column for column in self.columns}

    def rows(self, columns: str, rest: str = "") -> list[tuple[Any, ...]]:
        """Run ``SELECT columns FROM table rest``."""
        return self.connection.execute(f"SELECT {columns} FROM {TABLE} {rest}").fetchall()  # noqa: S608 - own names


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
    if len(names) > WIDE:
        # They take the square of the number of columns, and save time per row, of which a wide table has few.
        connection.execute("SET disabled_optimizers = 'common_subexpressions,statistics_propagation'")
    # Asked first: a relation binds its whole query again after a table has been created.
    types = [str(kind) for kind in rows.types]
    rows.project(", ".join(f"{quoted(name)} AS c{i}" for i, name in enumerate(names))).create(RAW_TABLE)
    raw = [Column(name, f"c{i}", kind, _form_of(kind)) for i, (name, kind) in enumerate(zip(names, types, strict=True))]
    n_rows = _n_rows(connection)
    log.info("looking at the values of %s columns in %s rows", f"{len(names):,}", f"{n_rows:,}")
    noted = noted_columns(connection, RAW_TABLE, raw, target, answers)
    raw = [replace(column, noted=noted.get(column.name, column.noted)) for column in raw]
    columns, missing, strange = _read_forms(connection, raw)
    columns, doubts = _codes_as_text(connection, columns, target, categories)
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
    found = _statistics(table, n_rows, target, time, strange) if n_rows else ()
    return Inspection(found, n_rows, missing, table, doubts, second, last_rows)


def _last_rows(connection: duckdb.DuckDBPyConnection) -> tuple[tuple[Any, ...], ...]:
    sql = f"SELECT rowid, * FROM {RAW_TABLE} ORDER BY rowid DESC LIMIT {LAST_ROWS}"  # noqa: S608 - own name
    return tuple(connection.execute(sql).fetchall())


def _read_forms(
    connection: duckdb.DuckDBPyConnection, raw: Sequence[Column]
) -> tuple[tuple[Column, ...], dict[str, str], dict[str, Strange]]:
    """Determine how each text column's values are read, and which texts mean no value."""
    texts = [column for column in raw if column.is_text]
    likely = _likely_forms(connection, texts)
    strange = _strange(connection, texts, likely)
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


def _codes_as_text(
    connection: duckdb.DuckDBPyConnection, columns: tuple[Column, ...], target: str, categories: Set[str]
) -> tuple[tuple[Column, ...], tuple[str, ...]]:
    """Read columns of codes as text, so that no statistic is taken from rounded numbers; return remarks on others."""
    numbers = [column for column in columns if column.form == "number" and column.noted.notation is None]
    counts = code_counts(connection, RAW_TABLE, [(column.alias, column.type_name) for column in numbers])
    known = {column.name: found for column, found in zip(numbers, counts, strict=True) if found is not None}
    codes = {name: code_reason(found, name_words(name)) for name, found in known.items()}
    # Amounts may be this large; a rounded target of a regression changes nothing.
    if codes.get(target) and not known[target].n_padded and not _has_few(connection, columns, target):
        codes[target] = ""
    codes |= {column.name: "a category in the file" for column in numbers if column.name in categories}
    doubts = tuple(doubt for name, found in known.items() if name != target and (doubt := code_doubt(name, found)))
    return tuple(
        replace(column, form="text", code=codes[column.name]) if codes.get(column.name) else column
        for column in columns
    ), doubts


def _has_few(connection: duckdb.DuckDBPyConnection, columns: Sequence[Column], name: str) -> bool:
    return distinct_values(InspectedTable(connection, tuple(columns)), name) <= MAX_CLASSES


def _form_of(type_name: str) -> str:
    if type_name.endswith("]") or type_name.startswith(("UNION", "STRUCT", "MAP", "BLOB", "BIT", "VARIANT", "GEOM")):
        return "nested"
    if type_name == "BOOLEAN":
        return "boolean"
    if type_name.startswith(("DATE", "TIMESTAMP")):
        return "date"
    return "number" if type_name.startswith(NUMBER_TYPES) else "text"


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
        return _number(column)
    return column.read_as({"date": "TIMESTAMP", "boolean": "BOOLEAN", "text": "VARCHAR"}[column.form])


def _number(column: Column) -> str:
    return f"nullif({column.read_as('DOUBLE')}, 'nan'::DOUBLE)"


def _likely_forms(connection: duckdb.DuckDBPyConnection, texts: Sequence[Column]) -> dict[str, str]:
    """Return each text column's likely form from a few of its rows, because parsing all rows as dates is slow."""
    if not texts:
        return {}
    counts = [
        f"count({value})" for column in texts for value in (column.alias, _number(column), column.read_as("TIMESTAMP"))
    ]
    # Rows from the whole file, because the first rows may all be blank.
    step = max(_n_rows(connection) // PREVIEW_ROWS, 1)
    found = aggregates(connection, RAW_TABLE, counts, f"WHERE rowid % {step} = 0")
    return {
        column.name: _noted_form(column) or _likely_form(*found[3 * i : 3 * i + 3]) for i, column in enumerate(texts)
    }


def _noted_form(column: Column) -> str:
    return {NumberNotation: "number", DateNotation: "date"}.get(type(column.noted.notation), "")


def _likely_form(n_values: int, n_numbers: int, n_dates: int) -> str:
    if max(n_numbers, n_dates) <= MIN_PARSED * n_values:
        return "text"
    return "number" if n_numbers >= n_dates else "date"


def _strange(
    connection: duckdb.DuckDBPyConnection, texts: Sequence[Column], likely: Mapping[str, str]
) -> dict[str, Strange]:
    """Return the values that do not parse as the likely form; for text, only the known markers of missing values."""
    cells = {column.name: _strange_text(column, likely[column.name]) for column in texts}
    # Most columns have none, and counting values that are not there costs a third of grouping them.
    counts = aggregates(connection, RAW_TABLE, [f"count({cell})" for cell in cells.values()])
    names = [name for name, n in zip(cells, counts, strict=True) if n]
    wanted = [cells[name] for name in names]
    found = frequent_values(connection, RAW_TABLE, wanted, MAX_LISTED_STRANGE + 1, _n_rows(connection))
    return {name: [] for name in cells} | dict(zip(names, found, strict=True))


def _strange_text(column: Column, likely: str) -> str:
    wanted = {"number": "DOUBLE", "date": "TIMESTAMP"}.get(likely)
    marks = ", ".join(literal(text) for text in sorted(MISSING_MARKERS))
    marked = f"length({column.alias}) <= {MARKER_LENGTH} AND lower({column.alias}) IN ({marks})"
    parsed = _number(column) if likely == "number" else column.read_as(wanted) if wanted else ""
    is_strange = f"{parsed} IS NULL" if wanted else marked
    return f"CASE WHEN {is_strange} THEN {column.alias} END"


def _n_rows(connection: duckdb.DuckDBPyConnection) -> int:
    return int(connection.execute(f"SELECT count(*) FROM {RAW_TABLE}").fetchall()[0][0])  # noqa: S608 - own name


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


def _statistics(
    table: InspectedTable, n_rows: int, target: str, time: str | None, strange: Mapping[str, Strange]
) -> tuple[ColumnStatistics, ...]:
    clock = next((column.alias for column in table.columns if column.name == time and column.form == "date"), None)
    measured = {column.name: _measures(column, clock) for column in table.columns}
    flat = [sql for measures in measured.values() for sql in measures.values()]
    cells = iter(aggregates(table.connection, TABLE, flat))
    found = {name: {key: next(cells) for key in measures} for name, measures in measured.items()}
    levels = _levels(table, n_rows, target, {name: values["n_distinct"] for name, values in found.items()})
    distinct = _distinct(table, n_rows, found, levels)
    return tuple(
        _column_statistics(
            table,
            column,
            found[column.name] | {"n_rows": n_rows, "n_distinct": distinct[column.name]},
            levels.get(column.name, []),
            strange.get(column.name, []),
        )
        for column in table.columns
    )


def _measures(column: Column, clock: str | None) -> dict[str, str]:
    """Return SQL aggregates of one column; the keys are fields of :class:`ColumnStatistics`, except ``n_values``."""
    value = column.alias
    measures = {"n_values": f"count({value})", "n_distinct": f"approx_count_distinct({value})"}
    if column.form == "number":
        # Models compute in float32, in which a larger number is infinite.
        finite = f"CASE WHEN abs({value}) <= {MAX_FLOAT32} THEN {value} END"
        measures |= {
            "n_numbers": f"count({finite})",
            "n_infinite": f"count(*) FILTER (abs({value}) > {MAX_FLOAT32})",
            "n_integers": f"count(*) FILTER ({finite} = floor({value}))",
            "minimum": f"min({finite})",
            "maximum": f"max({finite})",
        }
        measures |= {"time_correlation": f"corr({finite}, epoch({clock}))"} if clock else {}
    elif column.form == "date":
        within = f"{value} BETWEEN {YEARS}"
        measures |= {
            "n_dates": f"count({value})",
            "n_infinite": f"count(*) FILTER (NOT {within})",
            "earliest": f"min({value}) FILTER ({within})",
            "latest": f"max({value}) FILTER ({within})",
        }
    elif column.form == "text":
        measures["example"] = f"coalesce(min({value}), '')"
        measures["mean_length"] = f"coalesce(avg(length({value})), 0)"
        measures["n_with_space"] = f"count(*) FILTER (contains({value}, ' '))"
    return measures


def _column_statistics(
    table: InspectedTable, column: Column, found: dict[str, Any], levels: Strange, strange: Strange
) -> ColumnStatistics:
    n_values = int(found.pop("n_values"))
    others = [(text, n) for text, n in strange if text.strip().lower() not in MISSING_MARKERS]
    all_differ = found.get("n_integers") == found["n_distinct"] == n_values
    return ColumnStatistics(
        name=column.name,
        type_name=column.type_name,
        n_missing=found["n_rows"] - n_values,
        row_correlation=_rank_correlation(table, column) if all_differ else None,
        levels=tuple(levels[: MAX_CATEGORY_LEVELS + 1]),
        strange=tuple(others) if column.form == "text" else (),
        code=column.code,
        notation=column.noted.question,
        written="" if column.noted.notation is None else f"written as {column.noted.notation.example}",
        **found,
    )


def _levels(table: InspectedTable, n_rows: int, target: str, about: Mapping[str, int]) -> dict[str, Strange]:
    """Return values as the text that will be stored, with their numbers of rows; for the target, its labels."""
    few = [
        column for column in table.columns if column.form in LEVELLED_FORMS and about[column.name] <= 2 * LISTED_LEVELS
    ]
    texts = [_level(column, is_label=column.name == target) for column in few]
    found = frequent_values(table.connection, RAW_TABLE, texts, LISTED_LEVELS + 1, n_rows)
    return {column.name: values for column, values in zip(few, found, strict=True)}


def _level(column: Column, *, is_label: bool) -> str:
    if isinstance(column.noted.notation, NumberNotation):
        return float_text(column.read_as("DOUBLE"))
    return column.read_as("VARCHAR", is_label=is_label)


def _distinct(
    table: InspectedTable, n_rows: int, found: Mapping[str, dict[str, Any]], levels: Mapping[str, Strange]
) -> dict[str, int]:
    """Return numbers of distinct values: estimates, off by a few percent, where no decision depends on them."""
    known = {name: int(values["n_distinct"]) for name, values in found.items()}
    few, unique = [], []
    for column in table.columns:
        n_levels, nearly_all = len(levels.get(column.name, [])), 0.8 * found[column.name]["n_values"]
        if column.form != "number" and 0 < n_levels <= LISTED_LEVELS:
            known[column.name] = n_levels
        elif n_levels and (column.form == "number" or known[column.name] > nearly_all):
            few.append(column)
        elif known[column.name] > nearly_all:
            unique.append(column)
    # Each count of many distinct values takes memory.
    per_query = PER_QUERY if n_rows <= SMALL_TABLE else 1
    for name, columns, size in ((TABLE, few, PER_QUERY), (RAW_TABLE, unique, per_query)):
        counts = aggregates(table.connection, name, [_n_distinct(column) for column in columns], per_query=size)
        known |= {column.name: int(n) for column, n in zip(columns, counts, strict=True)}
    return known


def _n_distinct(column: Column) -> str:
    return f"count(DISTINCT {column.alias})"


def _rank_correlation(table: InspectedTable, column: Column) -> float | None:
    """Return Spearman's correlation of a column of distinct numbers with the row number."""
    ranked = f"SELECT rowid AS place, rank() OVER (ORDER BY {column.alias}) AS rank FROM {TABLE}"  # noqa: S608 - own names
    found = table.connection.execute(
        f"SELECT corr(place, rank) FROM ({ranked} WHERE {column.alias} IS NOT NULL)"  # noqa: S608 - own names
    ).fetchall()[0][0]
    return None if found is None else float(found)


def repeated_rows(table: InspectedTable, names: Iterable[str]) -> int:
    """Count the rows that repeat an earlier row's values in the given columns."""
    aliases = ", ".join(table.one(name).alias for name in names)
    return int(table.rows(f"count(*) - count(DISTINCT hash({aliases}))")[0][0])


def distinct_values(table: InspectedTable, name: str) -> int:
    """Count a column's distinct values exactly, in the source's type: as doubles, long identifiers would merge."""
    sql = f"SELECT {_n_distinct(table.one(name))} FROM {RAW_TABLE}"  # noqa: S608 - own names
    return int(table.connection.execute(sql).fetchall()[0][0])


def examples(table: InspectedTable, name: str, limit: int = 3) -> list[str]:
    """Return the first values of a column as text."""
    alias = table.one(name).alias
    sql = f"SELECT {alias}::VARCHAR FROM {RAW_TABLE} WHERE {alias} IS NOT NULL ORDER BY rowid LIMIT {limit}"  # noqa: S608 - own names
    return [str(text) for (text,) in table.connection.execute(sql).fetchall()]


def sampled_columns(
    table: InspectedTable, names: Iterable[str], target: str, classes: Sequence[tuple[str, int]]
) -> tuple[dict[str, npt.NDArray[Any]], npt.NDArray[Any]]:
    """Draw a deterministic sample of labelled rows, about ``SAMPLE_ROWS`` at most.

    Each class gives the same number of rows, or all it has: a class with 1 row in 500 still has hundreds in the sample.

    Parameters
    ----------
    classes
        The target's labels with their numbers of rows; empty for regression.

    Returns
    -------
    columns
        Name: shape (n,), float64 (dates as seconds, booleans as 0 and 1) with NaN, or text levels as objects.
    y
        Codes in the order of ``classes``; for regression, the numbers themselves.
    """
    wanted = [table.one(name) for name in names]
    goal = table.one(target)
    picks = ", ".join(f"{_sampled(column)} AS {column.alias}" for column in wanted)
    y = f"array_position([{', '.join(literal(text) for text, _ in classes)}], label) - 1"
    y = y if classes else goal.alias
    # A multiplicative hash of the row's position: spread over the file, and the same rows every time.
    place = "(rowid * 2654435761 % 4294967296) / 4294967296.0"
    sizes = [n_rows for _, n_rows in classes] or [int(table.rows(f"count({goal.alias})")[0][0])]
    cuts = [SAMPLE_ROWS / len(sizes) / n_rows for n_rows in sizes]
    cut = f"[{', '.join(map(str, cuts))}][y + 1]" if classes else str(cuts[0])
    frame = table.connection.execute(
        f"SELECT * EXCLUDE (place) FROM (SELECT {y} AS y, {place} AS place, {picks} FROM {TABLE}) "  # noqa: S608 - own names
        f"WHERE y IS NOT NULL AND place < {cut} ORDER BY place"
    ).df()
    numbers = frame["y"].to_numpy(dtype=np.float64)
    return {column.name: _as_array(frame[column.alias], column) for column in wanted}, numbers


def _sampled(column: Column) -> str:
    if column.form == "date":
        return f"epoch({column.alias})"
    return f"{column.alias}::DOUBLE" if column.form == "boolean" else column.alias


def _as_array(values: Any, column: Column) -> npt.NDArray[Any]:
    if column.form == "text":
        filled: npt.NDArray[Any] = values.astype(object).where(values.notna(), None).to_numpy()
        return filled
    numbers: npt.NDArray[Any] = values.to_numpy(dtype=np.float64, na_value=np.nan)
    return numbers


def baseline_error(table: InspectedTable, target: str, time: str | None, holdout: float) -> float:
    """Return the root mean squared error of predicting the mean.

    Without a time column, this is the standard deviation. With one, the mean of the older rows predicts the newest
    ``holdout`` share of rows.
    """
    value = table.one(target).alias
    if time is None:
        return float(table.rows(f"stddev_pop({value})")[0][0])
    clock = table.one(time).alias
    cut = table.rows(f"quantile_disc({clock}, {1 - holdout})", f"WHERE {value} IS NOT NULL")[0][0]
    bounds = f"avg({value}) FILTER ({clock} < '{cut}'), count(*) FILTER ({clock} >= '{cut}')"
    mean, n_newer = table.rows(bounds)[0]
    if mean is None or not n_newer:
        return baseline_error(table, target, None, holdout)
    return float(table.rows(f"sqrt(avg(({value} - {mean!r}) ** 2))", f"WHERE {clock} >= '{cut}'")[0][0])
