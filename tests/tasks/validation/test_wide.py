from pathlib import Path
from types import SimpleNamespace
from typing import Any

import duckdb

from tasks.validation.wide import PART, by_part, column_parts, part_statements


def _expectation(**given: Any) -> Any:
    return SimpleNamespace(configuration=SimpleNamespace(kwargs=given))


def test_a_narrow_file_is_not_divided() -> None:
    """Up to the bound there is one table; beyond it every column is in one part."""
    names = [f"c{place}" for place in range(2 * PART + 1)]
    assert column_parts(names[:PART]) == {}
    parts = column_parts(names)
    assert [len(columns) for columns in parts.values()] == [PART, PART, 1]
    assert [column for columns in parts.values() for column in columns] == names


def test_only_what_one_column_decides_is_asked_of_a_part() -> None:
    """A condition, a place, several columns, an unknown column and the table need all columns."""
    parts = {"one": ["a"], "two": ["b"]}
    alone = [_expectation(column="b", min_value=1), _expectation(column="a"), _expectation(column="b")]
    others = [
        _expectation(column="a", row_condition="b > 1"),
        _expectation(column="a", column_index=0),
        _expectation(column_A="a", column_B="b"),
        _expectation(column="none"),
        _expectation(value=3),
    ]
    found = dict(by_part(parts, "rows", [*alone, *others]))
    assert found == {"one": [alone[1]], "two": [alone[0], alone[2]], "rows": others}


def test_a_part_is_a_file_with_the_rows_in_order(tmp_path: Path) -> None:
    """Names that need quotes, in columns and in the folder's path, are written as they are."""
    folder = tmp_path / "it's"
    folder.mkdir()
    with duckdb.connect() as engine:
        engine.execute('CREATE VIEW "rows" AS SELECT i AS "select", 2 * i AS "a""b", 3 * i AS c FROM range(5) t(i)')
        for statement in part_statements({"p": ['a"b', "select"]}, "rows", folder):
            engine.execute(statement)
        assert engine.sql("FROM p").columns == ['a"b', "select"]
        assert engine.sql("FROM p").fetchall() == [(2 * i, i) for i in range(5)]
    assert [file.name for file in folder.iterdir()] == ["p.parquet"]
