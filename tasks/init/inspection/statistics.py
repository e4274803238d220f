"""Compute statistics of the columns of a typed table: one pass per query, memory bounded by the engine's limit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core.data.sql import YEARS, float_text
from core.init.columns import MAX_CATEGORY_LEVELS, MISSING_MARKERS, ColumnStatistics
from core.notations import NumberNotation
from tasks.init.inspection.aggregates import PER_QUERY, aggregates
from tasks.init.inspection.forms import Strange
from tasks.init.inspection.frequent import SMALL_TABLE, frequent_values
from tasks.init.inspection.inspected import RAW_TABLE, TABLE, Column, InspectedTable, count_distinct

LISTED_LEVELS = 1000
LEVELLED_FORMS = ("number", "boolean", "text")
MAX_FLOAT32 = 3.4028235e38


def column_statistics(
    table: InspectedTable, n_rows: int, target: str, time: str | None, strange: Mapping[str, Strange]
) -> tuple[ColumnStatistics, ...]:
    """Return the statistics of all columns.

    Parameters
    ----------
    table
        The typed rows; its raw table is in the same engine.
    n_rows
        Number of rows, at least 1.
    target
        Its values are counted as canonical labels.
    time
        Time column, with which columns of numbers are correlated if it is a date.
    strange
        By name of a text column: values that do not parse in its form.
    """
    clock = next((column.alias for column in table.columns if column.name == time and column.form == "date"), None)
    measured = {column.name: _measures(column, clock) for column in table.columns}
    flat = [sql for measures in measured.values() for sql in measures.values()]
    cells = iter(aggregates(table.connection, TABLE, flat))
    found = {name: {key: next(cells) for key in measures} for name, measures in measured.items()}
    levels = _levels(table, n_rows, target, {name: values["n_distinct"] for name, values in found.items()})
    distinct = _distinct(table, n_rows, found, levels)
    return tuple(
        _one_column(
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


def _one_column(
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
        counts = aggregates(table.connection, name, [count_distinct(column) for column in columns], per_query=size)
        known |= {column.name: int(n) for column, n in zip(columns, counts, strict=True)}
    return known


def _rank_correlation(table: InspectedTable, column: Column) -> float | None:
    """Return Spearman's correlation of a column of distinct numbers with the row number."""
    ranked = f"SELECT rowid AS place, rank() OVER (ORDER BY {column.alias}) AS rank FROM {TABLE}"  # noqa: S608 - own names
    found = table.connection.execute(
        f"SELECT corr(place, rank) FROM ({ranked} WHERE {column.alias} IS NOT NULL)"  # noqa: S608 - own names
    ).fetchall()[0][0]
    return None if found is None else float(found)
