from __future__ import annotations

import duckdb
import pandas as pd

from tasks.init.inspection.inspect_rows import PART, inspect_rows


def test_a_source_without_rows_has_no_statistics(connection: duckdb.DuckDBPyConnection) -> None:
    """Columns are known, rows are zero."""
    rows = connection.sql("SELECT 1 AS a, 'x' AS y WHERE false")
    found = inspect_rows(connection, rows, "y")
    assert (found.n_rows, found.columns) == (0, ())


def test_a_wide_table_is_typed_in_parts(connection: duckdb.DuckDBPyConnection) -> None:
    """Rows stay together, whatever the number of columns: the label of a row stands beside its own values."""
    n_columns = 2 * PART + 3
    frame = pd.DataFrame({f"x{place}": [f"{row}.5" for row in range(30)] for place in range(n_columns)})
    found = inspect_rows(connection, connection.from_df(frame.assign(y=[f"c{row % 3}" for row in range(30)])), "y")
    assert [(one.n_numbers, one.minimum, one.maximum) for one in found.columns[:-1]] == [(30, 0.5, 29.5)] * n_columns
    last = found.table.one(f"x{n_columns - 1}").alias
    rows = found.table.rows(f"c0, {last}, label", "ORDER BY rowid")
    assert rows == [(row + 0.5, row + 0.5, f"c{row % 3}") for row in range(30)]
