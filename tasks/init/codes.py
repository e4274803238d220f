"""Count the values of columns of numbers that look like codes, in one pass over the raw table."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from core.init.codes import EXACT_UP_TO, CodeCounts
from tasks.init.aggregates import aggregates

if TYPE_CHECKING:
    import duckdb

_WIDE = re.compile(r"U?BIGINT|U?HUGEINT|DECIMAL")
_WHOLE = r"'[+-]?\d+(\.0+)?'"
_PADDED = r"'[+-]?0\d+(\.0+)?'"
_LONG = r"'[+-]?0*[1-9]\d{15,}(\.0+)?'"


def code_counts(
    connection: duckdb.DuckDBPyConnection, table: str, columns: Sequence[tuple[str, str]]
) -> list[CodeCounts | None]:
    """Return the counts of each column; None for one whose numbers are all exact as doubles and without such zeros.

    Parameters
    ----------
    table
        Name of the table with the values as the source has them.
    columns
        Name and DuckDB type of each column.
    """
    wide = [place for place, (_, kind) in enumerate(columns) if kind == "VARCHAR" or _WIDE.match(kind)]
    suspects = aggregates(connection, table, [f"count(*) FILTER ({_suspect(*columns[place])})" for place in wide])
    wanted = [place for place, n_rows in zip(wide, suspects, strict=True) if n_rows]
    values = iter(aggregates(connection, table, [sql for place in wanted for sql in _measures(*columns[place])]))
    found: list[CodeCounts | None] = [None] * len(columns)
    for place in wanted:
        n_values, n_whole, n_padded, padded, shortest, longest, n_beyond, low, high = (next(values) for _ in range(9))
        same_width = shortest is not None and shortest == longest
        found[place] = CodeCounts(
            n_values, n_whole, n_padded, padded or "", same_width, n_beyond, (low or "", high or "")
        )
    return found


def _suspect(name: str, kind: str) -> str:
    if kind != "VARCHAR":
        return _outside(name)
    # Texts that begin with a zero and a digit lie between two texts; comparing takes a tenth of the time of matching.
    padded = " OR ".join(f"({name} >= '{sign}00' AND {name} < '{sign}0:')" for sign in ("", "+", "-"))
    return f"({padded} OR (strlen({name}) >= 16 AND regexp_matches({name}, '^[+-]?\\d{{16}}')))"


def _measures(name: str, kind: str) -> tuple[str, ...]:
    if kind == "VARCHAR":
        whole, padded = (f"regexp_full_match({name}, {pattern})" for pattern in (_WHOLE, _PADDED))
        exact = f"try_cast({name} AS HUGEINT)"
        long = f"regexp_full_match({name}, {_LONG}) AND coalesce({_outside(exact)}, true)"
        width = f"length({name})"
        n_values = f"count(try_cast({name} AS DOUBLE))"
    else:
        whole = f"{name} = trunc({name})" if kind.startswith("DECIMAL") else f"{name} IS NOT NULL"
        padded, width, n_values = "false", "NULL", f"count({name})"
        long = f"{whole} AND {_outside(name)}"
    return (
        n_values,
        f"count(*) FILTER ({whole})",
        f"count(*) FILTER ({padded})",
        f"min({name}::VARCHAR) FILTER ({padded})",
        f"min({width}) FILTER ({whole})",
        f"max({width}) FILTER ({whole})",
        f"count(*) FILTER ({long})",
        f"min({name}) FILTER ({long})::VARCHAR",
        f"max({name}) FILTER ({long})::VARCHAR",
    )


def _outside(number: str) -> str:
    return f"({number} >= {EXACT_UP_TO} OR {number} <= -{EXACT_UP_TO})"
