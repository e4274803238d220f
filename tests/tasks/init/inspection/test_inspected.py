from __future__ import annotations

import duckdb

from tasks.init.inspection.inspected import distinct_values, examples, repeated_rows
from tests.tasks.init.inspection.inspecting import inspected


def test_distinct_values_are_counted_as_the_source_has_them(connection: duckdb.DuckDBPyConnection) -> None:
    """Whole numbers beyond 2^53 that are one double stay two values."""
    found = inspected(connection, {"account": [2**53, 2**53 + 1, 2**53 + 1], "y": [0, 1, 0]})
    assert distinct_values(found.table, "account") == 2
    assert examples(found.table, "account", limit=2) == [str(2**53), str(2**53 + 1)]


def test_repeats_are_counted_over_the_named_columns(connection: duckdb.DuckDBPyConnection) -> None:
    """A row repeats where all its named values stood before."""
    found = inspected(connection, {"a": [1, 1, 2, 1], "b": [1, 1, 1, 2], "y": [0, 1, 0, 1]})
    assert repeated_rows(found.table, ["a", "b"]) == 1
    assert repeated_rows(found.table, ["a"]) == 2
