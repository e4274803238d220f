from __future__ import annotations

import duckdb

from tests.tasks.init.inspection.inspecting import inspected


def test_text_is_read_as_what_most_of_it_is(connection: duckdb.DuckDBPyConnection) -> None:
    """Numbers with a marker are numbers, dates are dates, and the marker means no value."""
    numbers: list[str] = [str(i) for i in range(99)] + ["?"]
    days: list[str] = [f"2024-01-{1 + i % 28:02d}" for i in range(100)]
    found = inspected(connection, {"age": numbers, "day": days, "y": ["no", "yes"] * 50})
    forms = {column.name: column.form for column in found.table.columns}
    assert forms == {"age": "number", "day": "date", "y": "text"}
    assert set(found.missing) == {"?"}
    assert found.named("age").n_missing == 1


def test_a_word_that_casts_to_no_number_is_a_marker_too(connection: duckdb.DuckDBPyConnection) -> None:
    """The engine parses NaN as a number: it is no value among numbers, and none among words."""
    columns = {"age": ["1", "2", "3", "NaN"] * 25, "colour": ["red", "blue", "NaN", "green"] * 25, "y": ["a", "b"] * 50}
    found = inspected(connection, columns)
    assert set(found.missing) == {"NaN"}
    assert (found.named("age").n_missing, found.named("colour").n_missing) == (25, 25)
