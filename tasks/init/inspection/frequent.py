"""Count the most frequent values of columns: of many columns per query where the table is small."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tasks.init.inspection.aggregates import PER_QUERY

if TYPE_CHECKING:
    import duckdb

SMALL_TABLE = 100_000
"""Up to this number of rows, a query costs more than the rows that it reads."""

Counted = list[tuple[str, int]]
"""Values with their numbers of rows, the most frequent first, then in the order of the texts."""


def frequent_values(
    connection: duckdb.DuckDBPyConnection, table: str, texts: Sequence[str], limit: int, n_rows: int
) -> list[Counted]:
    """Return the most frequent values of each expression.

    Parameters
    ----------
    connection
        Engine with the table.
    table
        Name of the table, quoted where needed.
    texts
        SQL expressions of type VARCHAR; NULL is not counted.
    limit
        Maximum number of values of each expression.
    n_rows
        Number of rows of the table.
    """
    per_query = PER_QUERY if n_rows <= SMALL_TABLE else 1
    found: list[Counted] = []
    for start in range(0, len(texts), per_query):
        found += _counted(connection, table, texts[start : start + per_query], limit)
    return found


def _counted(connection: duckdb.DuckDBPyConnection, table: str, texts: Sequence[str], limit: int) -> list[Counted]:
    if len(texts) == 1:
        sql = f"SELECT 0, {texts[0]} AS value, count(*) AS n FROM {table} GROUP BY value HAVING value IS NOT NULL"  # noqa: S608 - own names
        sql += f" ORDER BY n DESC, value LIMIT {limit}"
    else:
        cells = f"unnest(range({len(texts)})) AS place, unnest([{', '.join(texts)}]) AS value"
        counts = f"SELECT place, value, count(*) AS n FROM (SELECT {cells} FROM {table}) WHERE value IS NOT NULL"  # noqa: S608 - own names
        rank = "row_number() OVER (PARTITION BY place ORDER BY n DESC, value)"
        sql = f"SELECT * FROM ({counts} GROUP BY ALL) QUALIFY {rank} <= {limit} ORDER BY place, n DESC, value"  # noqa: S608 - own names
    found: list[Counted] = [[] for _ in texts]
    for place, value, n in connection.execute(sql).fetchall():
        found[place].append((value, n))
    return found
