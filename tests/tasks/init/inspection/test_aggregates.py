"""Aggregates of a wide table come in the order in which they were asked for."""

from __future__ import annotations

import duckdb
import pytest

from tasks.init.inspection.aggregates import PER_QUERY, aggregates


@pytest.mark.parametrize("n", [0, 1, PER_QUERY, PER_QUERY + 1, 2 * PER_QUERY + 5])
def test_each_aggregate_is_at_its_place(n: int) -> None:
    """Whatever the number of queries, and also for a part of the rows."""
    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE t AS SELECT i FROM range(10) r(i)")
        cells = [f"max(i) + {place}" for place in range(n)]
        assert aggregates(connection, "t", cells) == [9 + place for place in range(n)]
        assert aggregates(connection, "t", cells, "WHERE i < 5") == [4 + place for place in range(n)]
