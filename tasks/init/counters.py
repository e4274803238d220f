"""Find columns of numbers that follow the order of rows or of time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from core.init.columns import Decision
from core.init.counters import Steps, row_counter, time_counter
from tasks.init.inspection.aggregates import aggregates
from tasks.init.inspection.inspected import TABLE, Column, InspectedTable, Inspection

MIN_CORRELATION = 0.5
"""Columns below this linear correlation with the order are not sorted and compared row by row, which is slow."""

ROW = "rowid"


def counters(
    inspection: Inspection, kinds: Mapping[str, Decision], time: str | None
) -> tuple[dict[str, Decision], list[str]]:
    """Return the numeric columns that count time or rows as ignored, and remarks on those that perhaps do.

    Parameters
    ----------
    inspection
        The rows and their statistics.
    kinds
        Kind of each column so far.
    time
        Name of the declared time column; None if there is none.
    """
    numbers = [name for name, decision in kinds.items() if decision.kind == "numeric"]
    found: dict[str, Decision] = {}
    if time is not None:
        for name, steps in _ordered(inspection.table, numbers, time).items():
            decision = time_counter(inspection.named(name), steps, time)
            found |= {name: decision} if decision else {}
    doubts: list[str] = []
    dates = [name for name, decision in kinds.items() if decision.kind == "dates"] + ([time] if time else [])
    others = [name for name in numbers if name not in found]
    ordered = _ordered(inspection.table, [*others, *dates], None)
    dated = [name for name in dates if name in ordered and ordered[name].direction]
    for name in others:
        verdict = row_counter(inspection.named(name), ordered[name], dated) if name in ordered else None
        if isinstance(verdict, str):
            doubts.append(verdict)
        elif verdict is not None:
            found[name] = verdict
    return found, doubts


def _ordered(table: InspectedTable, names: Sequence[str], time: str | None) -> dict[str, Steps]:
    """Return the steps of the columns that correlate with the order of rows, or of the time column."""
    if not names:
        return {}
    clock = ROW if time is None else f"epoch({table.one(time).alias})"
    values = [_number(table.one(name)) for name in names]
    correlations = aggregates(table.connection, TABLE, [f"corr({value}, {clock})" for value in values])
    close = [
        name
        for name, found in zip(names, correlations, strict=True)
        if found is not None and abs(found) >= MIN_CORRELATION
    ]
    return {name: _steps(table, table.one(name), ROW if time is None else table.one(time).alias) for name in close}


def _number(column: Column) -> str:
    return f"epoch({column.alias})" if column.form == "date" else column.alias


def _steps(table: InspectedTable, column: Column, clock: str) -> Steps:
    """Count the steps between consecutive moments; rows of the same moment have no order among each other."""
    value = column.alias
    moments = (
        f"SELECT {clock} AS moment, min({value}) AS low, max({value}) AS high FROM {TABLE} "  # noqa: S608 - own names
        f"WHERE {value} IS NOT NULL AND {clock} IS NOT NULL GROUP BY 1"
    )
    if clock == ROW:
        moments = (
            f"SELECT {ROW} AS moment, {value} AS low, {value} AS high FROM {TABLE} "  # noqa: S608 - own names
            f"WHERE {value} IS NOT NULL"
        )
    before = "lag(low) OVER (ORDER BY moment) AS last_low, lag(high) OVER (ORDER BY moment) AS last_high"
    sql = (
        "SELECT count(last_low), count(*) FILTER (high > last_low), count(*) FILTER (low < last_high) "  # noqa: S608 - own names
        f"FROM (SELECT low, high, {before} FROM ({moments}))"
    )
    return Steps(*map(int, table.connection.execute(sql).fetchall()[0]))
