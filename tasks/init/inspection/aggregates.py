"""Compute many aggregates of a table, some of them per query."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import duckdb

PER_QUERY = 90
"""Aggregates per query: DuckDB takes minutes to plan one query of thousands."""


def aggregates(
    connection: duckdb.DuckDBPyConnection,
    table: str,
    cells: Sequence[str],
    rest: str = "",
    *,
    per_query: int = PER_QUERY,
) -> list[Any]:
    """Return the first row of ``SELECT cells FROM table rest``.

    Parameters
    ----------
    connection
        Engine with the table.
    table
        Name of the table, quoted where needed.
    cells
        SQL expressions, any number of them.
    rest
        SQL that follows the table.
    per_query
        Number of expressions per query.
    """
    found: list[Any] = []
    for start in range(0, len(cells), per_query):
        some = ", ".join(cells[start : start + per_query])
        found += connection.execute(f"SELECT {some} FROM {table} {rest}").fetchall()[0]  # noqa: S608 - names of our own
    return found
