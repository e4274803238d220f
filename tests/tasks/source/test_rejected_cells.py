"""Cells that are not what the model file declares, as a person reads of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from config.settings import Settings
from core.data.sql import Cast
from tasks.source.engine import ingestion_engine
from tasks.source.rejected_cells import MAX_COLUMNS, MAX_SHOWN_LETTERS, rejected_cells_message


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """Return an engine that is asked to make rows."""
    with ingestion_engine(Settings(root=tmp_path, var=tmp_path), tmp_path) as connection:
        yield connection


def _message(engine: duckdb.DuckDBPyConnection, values: list[str | None], wanted: str) -> str:
    engine.execute("CREATE TABLE rows (a VARCHAR)")
    engine.executemany("INSERT INTO rows VALUES (?)", [[value] for value in values])
    return rejected_cells_message(engine, [Cast("a", "VARCHAR", wanted)], "rows", "rows.csv")


def test_cells_are_counted_and_examples_are_distinct(engine: duckdb.DuckDBPyConnection) -> None:
    """The first three of them in the rows' order; a gap is no wrong cell."""
    assert _message(engine, ["1", None, "x", "x", "y", "2", "z", "w"], "DOUBLE") == (
        "rows.csv: values that do not fit the model file:\n"
        "  column 'a': expected a number, found 5 other values ('x', 'y', 'z'), first in row 3; "
        "add the text to source.missing if it means no value, state how the column writes numbers in source.decimal, "
        "thousands and units, or declare it categorical"
    )


@pytest.mark.parametrize(
    ("value", "wanted", "says"),
    [
        ("inf", "DOUBLE", "leave them blank or replace them"),
        ("perhaps", "BOOLEAN", "write true or false, yes or no, t or f, y or n, 1 or 0"),
        ("03/04/2024", "TIMESTAMP", "write dates as 2024-12-31"),
        ("a\x1b[2J\n", "DOUBLE", r"'a\x1b[2J\n'"),
        ("n" * 100, "DOUBLE", f"'{'n' * MAX_SHOWN_LETTERS}…'"),
    ],
)
def test_a_cell_is_shown_on_one_line_with_advice(
    engine: duckdb.DuckDBPyConnection, value: str, wanted: str, says: str
) -> None:
    """By what is wanted; a long one is cut, and one that steers a terminal is escaped."""
    message = _message(engine, [value], wanted)
    assert says in message
    assert "found 1 other value (" in message
    assert len(message.splitlines()) == 2


def test_columns_beyond_the_first_are_counted(engine: duckdb.DuckDBPyConnection) -> None:
    """Sound ones are not among them, and names are only names."""
    names = ['odd "name"', *(f"c{number}" for number in range(MAX_COLUMNS + 1))]
    cells = ", ".join("'x' AS \"" + name.replace('"', '""') + '"' for name in names)
    engine.execute(f"CREATE TABLE rows AS SELECT '1' AS sound, {cells}")
    casts = [Cast(name, "VARCHAR", "DOUBLE") for name in ("sound", *names)]
    lines = rejected_cells_message(engine, casts, "rows", "rows.csv").splitlines()
    assert lines[1].startswith("  column 'odd \"name\"': expected a number")
    assert (len(lines), lines[-1]) == (MAX_COLUMNS + 2, "  and 2 more columns")
