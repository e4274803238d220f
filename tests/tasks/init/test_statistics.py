from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import duckdb
import numpy as np
import pandas as pd
import pytest

from tasks.init.statistics import (
    PART,
    SAMPLE_ROWS,
    Inspection,
    baseline_error,
    distinct_values,
    examples,
    inspect_rows,
    repeated_rows,
    sampled_columns,
)


@pytest.fixture
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    """Open DuckDB in memory."""
    with duckdb.connect() as opened:
        yield opened


def _inspected(
    connection: duckdb.DuckDBPyConnection,
    columns: Mapping[str, Sequence[object]],
    target: str = "y",
    time: str | None = None,
) -> Inspection:
    frame = pd.DataFrame(dict(columns))
    return inspect_rows(connection, connection.from_df(frame), target, time)


def test_text_is_read_as_what_most_of_it_is(connection: duckdb.DuckDBPyConnection) -> None:
    """Numbers with a marker are numbers, dates are dates, and the marker means no value."""
    numbers: list[str] = [str(i) for i in range(99)] + ["?"]
    days: list[str] = [f"2024-01-{1 + i % 28:02d}" for i in range(100)]
    found = _inspected(connection, {"age": numbers, "day": days, "y": ["no", "yes"] * 50})
    forms = {column.name: column.form for column in found.table.columns}
    assert forms == {"age": "number", "day": "date", "y": "text"}
    assert set(found.missing) == {"?"}
    assert found.named("age").n_missing == 1


def test_a_word_that_casts_to_no_number_is_a_marker_too(connection: duckdb.DuckDBPyConnection) -> None:
    """The engine parses NaN as a number: it is no value among numbers, and none among words."""
    columns = {"age": ["1", "2", "3", "NaN"] * 25, "colour": ["red", "blue", "NaN", "green"] * 25, "y": ["a", "b"] * 50}
    found = _inspected(connection, columns)
    assert set(found.missing) == {"NaN"}
    assert (found.named("age").n_missing, found.named("colour").n_missing) == (25, 25)


def test_a_source_without_rows_has_no_statistics(connection: duckdb.DuckDBPyConnection) -> None:
    """Columns are known, rows are zero."""
    rows = connection.sql("SELECT 1 AS a, 'x' AS y WHERE false")
    found = inspect_rows(connection, rows, "y")
    assert (found.n_rows, found.columns) == (0, ())


def test_distinct_values_are_counted_as_the_source_has_them(connection: duckdb.DuckDBPyConnection) -> None:
    """Whole numbers beyond 2^53 that are one double stay two values."""
    found = _inspected(connection, {"account": [2**53, 2**53 + 1, 2**53 + 1], "y": [0, 1, 0]})
    assert distinct_values(found.table, "account") == 2
    assert examples(found.table, "account", limit=2) == [str(2**53), str(2**53 + 1)]


def test_repeats_are_counted_over_the_named_columns(connection: duckdb.DuckDBPyConnection) -> None:
    """A row repeats where all its named values stood before."""
    found = _inspected(connection, {"a": [1, 1, 2, 1], "b": [1, 1, 1, 2], "y": [0, 1, 0, 1]})
    assert repeated_rows(found.table, ["a", "b"]) == 1
    assert repeated_rows(found.table, ["a"]) == 2


def test_a_rare_class_is_well_represented_in_the_sample(connection: duckdb.DuckDBPyConnection) -> None:
    """Of a class of one row in a hundred every row is drawn, of the large one about half a sample."""
    n_rows = 4 * SAMPLE_ROWS
    labels = np.where(np.arange(n_rows) % 100 == 0, "rare", "usual")
    frame = pd.DataFrame({"x": np.arange(n_rows), "y": labels})
    found = inspect_rows(connection, connection.from_df(frame), "y")
    columns, y = sampled_columns(found.table, ["x"], "y", [("rare", n_rows // 100), ("usual", n_rows - n_rows // 100)])
    assert (y == 0).sum() == n_rows // 100
    assert (y == 1).sum() == pytest.approx(SAMPLE_ROWS / 2, rel=0.05)
    assert len(columns["x"]) == len(y)


def test_the_baseline_is_the_error_of_the_mean(connection: duckdb.DuckDBPyConnection) -> None:
    """Without a time it is the standard deviation; with one, the older rows' mean on the newest rows."""
    days: list[object] = list(pd.date_range("2024-01-01", periods=1000, freq="D"))
    values = [1.0] * 800 + [4.0] * 200
    found = _inspected(connection, {"day": days, "y": values}, time="day")
    assert baseline_error(found.table, "y", None, 0.2) == pytest.approx(np.std(np.array(values, dtype=float)))
    assert baseline_error(found.table, "y", "day", 0.2) == pytest.approx(3.0, rel=0.01)


def test_a_wide_table_is_typed_in_parts(connection: duckdb.DuckDBPyConnection) -> None:
    """Rows stay together, whatever the number of columns: the label of a row stands beside its own values."""
    n_columns = 2 * PART + 3
    frame = pd.DataFrame({f"x{place}": [f"{row}.5" for row in range(30)] for place in range(n_columns)})
    found = inspect_rows(connection, connection.from_df(frame.assign(y=[f"c{row % 3}" for row in range(30)])), "y")
    assert [(one.n_numbers, one.minimum, one.maximum) for one in found.columns[:-1]] == [(30, 0.5, 29.5)] * n_columns
    last = found.table.one(f"x{n_columns - 1}").alias
    rows = found.table.rows(f"c0, {last}, label", "ORDER BY rowid")
    assert rows == [(row + 0.5, row + 0.5, f"c{row % 3}") for row in range(30)]
