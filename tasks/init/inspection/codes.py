"""Count the values of columns of numbers that look like codes, and read columns of codes as text."""

from __future__ import annotations

import re
from collections.abc import Sequence, Set
from dataclasses import replace
from typing import TYPE_CHECKING

from core.init.codes import EXACT_UP_TO, CodeCounts, code_doubt, code_reason
from core.init.columns import MAX_CLASSES
from core.text import name_words
from tasks.init.inspection.aggregates import aggregates
from tasks.init.inspection.inspected import RAW_TABLE, Column, InspectedTable, distinct_values

if TYPE_CHECKING:
    import duckdb

_WIDE = re.compile(r"U?BIGINT|U?HUGEINT|DECIMAL")
_WHOLE = r"'[+-]?\d+(\.0+)?'"
_PADDED = r"'[+-]?0\d+(\.0+)?'"
_EXPONENT = r"'\d+[eE]\d+'"
_SHORT = r"'\d+\.[1-9]'"
_LONG_ZERO = r"'\d+\.\d+0'"
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
    suspects = aggregates(connection, table, [_suspects(*columns[place]) for place in wide])
    wanted = [place for place, n_rows in zip(wide, suspects, strict=True) if n_rows]
    values = iter(aggregates(connection, table, [sql for place in wanted for sql in _measures(*columns[place])]))
    found: list[CodeCounts | None] = [None] * len(columns)
    for place in wanted:
        n_values, n_whole, n_padded, padded, shortest, longest, n_beyond, low, high = (next(values) for _ in range(9))
        n_exponents, exponent, n_short, n_long_zeros, long_zero = (next(values) for _ in range(5))
        found[place] = CodeCounts(
            n_values,
            n_whole,
            n_padded,
            padded or "",
            same_width=shortest is not None and shortest == longest,
            n_beyond=n_beyond,
            beyond=(low or "", high or ""),
            n_exponents=n_exponents,
            exponent=exponent or "",
            n_short=n_short,
            n_long_zeros=n_long_zeros,
            long_zero=long_zero or "",
        )
    return found


def codes_as_text(
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


def _suspects(name: str, kind: str) -> str:
    """Return an aggregate that is not zero if a column needs a closer look."""
    if kind != "VARCHAR":
        return f"count(*) FILTER ({_outside(name)})"
    # Texts that begin with a zero and a digit lie between two texts; comparing takes a tenth of the time of matching.
    zeros = " OR ".join(f"({name} >= '{sign}00' AND {name} < '{sign}0:')" for sign in ("", "+", "-"))
    # A filter evaluates both sides of AND for each row, a CASE only for the rows that need it.
    padded = _where(f"{name} < '0:'", zeros)
    powers = _where(f"contains({name}, 'e') OR contains({name}, 'E')", f"regexp_matches({name}, '^\\d+[eE]\\d+$')")
    long = _where(f"strlen({name}) >= 16", f"regexp_matches({name}, '^[+-]?\\d{{16}}')")
    # 1.9 beside 1.10; most columns have only one of the two.
    short, long_zero = f"{name} LIKE '%._' AND {name} NOT LIKE '%.0'", f"{name} LIKE '%.%_0'"
    codes = f"count(*) FILTER ({padded} OR {long} OR {powers})"
    return f"{codes} + least(count(*) FILTER ({short}), count(*) FILTER ({long_zero}))"


def _where(first: str, then: str) -> str:
    return f"CASE WHEN {first} THEN {then} ELSE false END"


def _measures(name: str, kind: str) -> tuple[str, ...]:
    if kind == "VARCHAR":
        whole, padded = (f"regexp_full_match({name}, {pattern})" for pattern in (_WHOLE, _PADDED))
        exact = f"try_cast({name} AS HUGEINT)"
        long = f"regexp_full_match({name}, {_LONG}) AND coalesce({_outside(exact)}, true)"
        width = f"length({name})"
        n_values = f"count(try_cast({name} AS DOUBLE))"
        forms = [f"regexp_full_match({name}, {pattern})" for pattern in (_EXPONENT, _SHORT, _LONG_ZERO)]
    else:
        whole = f"{name} = trunc({name})" if kind.startswith("DECIMAL") else f"{name} IS NOT NULL"
        padded, width, n_values = "false", "NULL", f"count({name})"
        long = f"{whole} AND {_outside(name)}"
        forms = ["false"] * 3
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
        f"count(*) FILTER ({forms[0]})",
        f"min({name}::VARCHAR) FILTER ({forms[0]})",
        f"count(*) FILTER ({forms[1]})",
        f"count(*) FILTER ({forms[2]})",
        f"min({name}::VARCHAR) FILTER ({forms[2]})",
    )


def _outside(number: str) -> str:
    return f"({number} >= {EXACT_UP_TO} OR {number} <= -{EXACT_UP_TO})"
