"""The most frequent values of columns are the same whether columns share a query or not."""

from __future__ import annotations

import duckdb
import pytest

from tasks.init.inspection.aggregates import PER_QUERY
from tasks.init.inspection.frequent import SMALL_TABLE, frequent_values


@pytest.mark.parametrize("n_rows", [10, SMALL_TABLE + 1])
def test_values_come_by_frequency_then_by_text(n_rows: int) -> None:
    """NULL is not counted, ties follow the text, and no more values than the limit are returned."""
    with duckdb.connect() as connection:
        connection.execute(
            "CREATE TABLE t AS SELECT * FROM (VALUES ('b', 'x'), ('a', NULL), ('b', NULL), ('c', NULL)) v(p, q)"
        )
        found = frequent_values(connection, "t", ["p", "q", "CASE WHEN p = 'z' THEN p END"], 2, n_rows)
    assert found == [[("b", 2), ("a", 1)], [("x", 1)], []]


def test_each_column_of_a_wide_table_has_its_own_values() -> None:
    """Also where the columns need several queries."""
    n_columns = 2 * PER_QUERY + 5
    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE t AS SELECT i FROM range(3) r(i)")
        texts = [f"(i // 2 + {place})::VARCHAR" for place in range(n_columns)]
        found = frequent_values(connection, "t", texts, 10, 3)
    assert found == [[(str(place), 2), (str(place + 1), 1)] for place in range(n_columns)]
