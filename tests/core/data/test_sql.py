from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import duckdb
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from core.data.sql import UNREADABLE, Cast, quoted, row_hash_sql, staged_sql, text_or_null, value_mark

HOSTILE = "a\"; DROP TABLE rows; --\n'é"


@pytest.fixture
def engine() -> Iterator[duckdb.DuckDBPyConnection]:
    """Return an engine as ingestion uses it."""
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    yield connection
    connection.close()


def _cast(engine: duckdb.DuckDBPyConnection, value: str, wanted: str, **parts: Any) -> Any:
    engine.sql(f"SELECT {value} AS x").create_view("rows", replace=True)
    found = str(engine.table("rows").types[0])
    query = f"SELECT x::VARCHAR FROM ({staged_sql([Cast('x', found, wanted, **parts)], 'rows')})"  # noqa: S608
    return engine.sql(query).fetchall()[0][0]


@pytest.mark.parametrize(
    ("value", "wanted", "stored"),
    [
        ("'1.5'", "DOUBLE", "1.5"),
        ("' 2'", "DOUBLE", "2.0"),
        ("'nan'", "DOUBLE", None),
        ("'nan'::FLOAT", "DOUBLE", None),
        ("true", "DOUBLE", "1.0"),
        ("12.50::DECIMAL(9, 2)", "DOUBLE", "12.5"),
        ("7::UBIGINT", "DOUBLE", "7.0"),
        ("NULL", "DOUBLE", None),
        ("NULL", "VARCHAR", None),
        ("'Yes'", "BOOLEAN", "true"),
        ("'F'", "BOOLEAN", "false"),
        ("'0.0'", "BOOLEAN", "false"),
        ("1.0::DOUBLE", "BOOLEAN", "true"),
        ("'2024-02-29'", "TIMESTAMP", "2024-02-29 00:00:00"),
        ("'2024-02-29T10:30:00Z'", "TIMESTAMP", "2024-02-29 10:30:00"),
        ("'2024-02-29 10:30:00.25+02:00'", "TIMESTAMP", "2024-02-29 08:30:00.25"),
        ("DATE '2024-02-29'", "TIMESTAMP", "2024-02-29 00:00:00"),
        ("TIMESTAMPTZ '2024-02-29 10:30:00+02'", "TIMESTAMP", "2024-02-29 08:30:00"),
        ("'2024-02-29 10:30:00+02'::TIMESTAMPTZ_NS", "TIMESTAMP", "2024-02-29 08:30:00"),
        ("TIMESTAMP_NS '2024-02-29 10:30:00'", "TIMESTAMP", "2024-02-29 10:30:00"),
        ("12.0::DOUBLE", "VARCHAR", "12"),
        ("12.5::FLOAT", "VARCHAR", "12.5"),
        ("12.00::DECIMAL(9, 2)", "VARCHAR", "12"),
        ("9007199254740993::BIGINT", "VARCHAR", "9007199254740993"),
        ("true", "VARCHAR", "true"),
        ("DATE '2024-02-29'", "VARCHAR", "2024-02-29"),
        ("'1.0'", "VARCHAR", "1"),
    ],
)
def test_cells_become_the_contracts_type(
    engine: duckdb.DuckDBPyConnection, value: str, wanted: str, stored: str | None
) -> None:
    """Text and typed cells alike are read as the declared kind; offsets are applied, not dropped."""
    assert _cast(engine, value, wanted) == stored


@pytest.mark.parametrize(
    ("value", "label", "key"),
    [("'1.0'", "1", "1"), ("'TRUE'", "true", "TRUE"), ("'007'", "007", "007"), ("'v1.0'", "v1.0", "v1.0")],
)
def test_labels_and_keys_have_one_spelling(engine: duckdb.DuckDBPyConnection, value: str, label: str, key: str) -> None:
    """A label is canonical; of a key or a category only the fraction of a whole number goes."""
    assert _cast(engine, value, "VARCHAR", is_label=True) == label
    assert _cast(engine, value, "VARCHAR") == key


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ("'abc'", "DOUBLE"),
        ("'1,5'", "DOUBLE"),
        ("'inf'", "DOUBLE"),
        ("'1e999'", "DOUBLE"),
        ("'-infinity'::DOUBLE", "DOUBLE"),
        ("'maybe'", "BOOLEAN"),
        ("2", "BOOLEAN"),
        ("'29/02/2024'", "TIMESTAMP"),
        ("'2024-02-30'", "TIMESTAMP"),
        ("'epoch'", "TIMESTAMP"),
        ("'infinity'", "TIMESTAMP"),
        ("'2024-02-29 (BC)'", "TIMESTAMP"),
        ("'infinity'::TIMESTAMP", "TIMESTAMP"),
    ],
)
def test_cells_of_another_kind_stop_the_query(engine: duckdb.DuckDBPyConnection, value: str, wanted: str) -> None:
    """Nothing that is not what the contract declares passes silently as missing."""
    with pytest.raises(duckdb.Error, match=UNREADABLE):
        _cast(engine, value, wanted)


@pytest.mark.parametrize(
    ("found", "wanted", "problem"),
    [
        ("TIMESTAMP", "DOUBLE", True),
        ("BIGINT", "TIMESTAMP", True),
        ("DATE", "BOOLEAN", True),
        ("BLOB", "VARCHAR", True),
        ("BIGINT[]", "VARCHAR", True),
        ("DOUBLE[]", "DOUBLE", True),
        ("DECIMAL(9,2)[3]", "DOUBLE", True),
        ("UBIGINT[][]", "BOOLEAN", True),
        ("TIMESTAMP[]", "TIMESTAMP", True),
        ("VARCHAR[]", "VARCHAR", True),
        ("ENUM('a[1]', 'b')", "VARCHAR", False),
        ("STRUCT(a BIGINT)", "VARCHAR", True),
        ('"NULL"', "DOUBLE", False),
        ("UUID", "VARCHAR", False),
        ("TIMESTAMPTZ_NS", "TIMESTAMP", False),
    ],
)
def test_types_that_cannot_hold_the_kind_are_told_before_reading(found: str, wanted: str, problem: bool) -> None:
    """A column of a hopeless type is a sentence, not a query."""
    assert (Cast("x", found, wanted).problem is not None) is problem


def test_text_is_stripped_and_markers_are_missing(engine: duckdb.DuckDBPyConnection) -> None:
    """Blanks go, also the no-break space; what remains is compared with the markers; blank is always missing."""
    values = "(VALUES (' ? '), ('\u00a0'), ('NA'), (' a b '), ('it''s'), (NULL)) t(x)"
    missing = ("?", "NA", "it's")
    found = engine.sql(f"SELECT {text_or_null('x', missing)} FROM {values}").fetchall()  # noqa: S608
    assert [text for (text,) in found] == [None, None, None, "a b", None, None]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("'1.0'", "1.0::DOUBLE"),
        ("'1'", "1.0::DOUBLE"),
        ("'1e3'", "1000.0::DOUBLE"),
        ("'0.1'", "0.1::DOUBLE"),
        ("'-0'", "0.0::DOUBLE"),
        ("'nan'", "NULL::DOUBLE"),
        ("'TRUE'", "true"),
        ("'no'", "false"),
        ("'2024-02-29'", "TIMESTAMP '2024-02-29'"),
        ("'a'", "' a '"),
        ("NULL::VARCHAR", "NULL::TIMESTAMP"),
    ],
)
def test_a_cell_hashes_by_content_not_by_type(engine: duckdb.DuckDBPyConnection, one: str, other: str) -> None:
    """Moving a column to another kind leaves the hash of its rows, with and without the types given."""
    hashes = set()
    for value in (one, other):
        kind = str(engine.sql(f"SELECT {value} AS x").types[0])
        for expression in (row_hash_sql(["x"]), row_hash_sql(["x"], {"x": kind})):
            hashes |= set(engine.sql(f"SELECT {expression} FROM (SELECT {value} AS x)").fetchall())  # noqa: S608
    assert len(hashes) == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("'9007199254740993'", "'9007199254740992'"),
        ("'a'", "NULL"),
        ("'a'", "'b'"),
        ("0.1::DOUBLE", "0.10000000000000002::DOUBLE"),
        ("'ab', 'c'", "'a', 'bc'"),
        ("'a', 'b'", "'b', 'a'"),
    ],
)
def test_other_cells_hash_otherwise(engine: duckdb.DuckDBPyConnection, one: str, other: str) -> None:
    """Neighbouring long identifiers, missing cells and swapped columns are told apart."""
    names = ["x", "y"][: one.count(",") + 1]
    columns = ", ".join(names)
    query = f"SELECT {row_hash_sql(names)} FROM (VALUES ({one}), ({other})) t({columns})"  # noqa: S608
    assert len(set(engine.sql(query).fetchall())) == 2


def test_the_hash_ignores_the_order_of_columns() -> None:
    """The expression is the same however the columns are listed."""
    assert row_hash_sql(["b", "a"]) == row_hash_sql(["a", "b"])


@given(
    names=st.lists(
        st.text(min_size=1).filter(lambda text: "\0" not in text), min_size=1, max_size=6, unique_by=str.lower
    )
)
@example(names=["at", "=at", "==at", "=", "=="])
def test_any_text_is_the_name_of_its_own_values(names: list[str]) -> None:
    """Whatever the other columns are called, each keeps its own cells."""
    mark = value_mark(names)
    casts = [Cast(name, "VARCHAR", "DOUBLE", mark=mark) for name in names]
    cells = ", ".join(f"'{place}' AS {quoted(name)}" for place, name in enumerate(names))
    with duckdb.connect() as connection:
        staged = connection.sql(staged_sql(casts, f"(SELECT {cells})"))
        assert (staged.columns, staged.fetchall()) == (names, [tuple(map(float, range(len(names))))])


def test_hostile_names_stay_names(engine: duckdb.DuckDBPyConnection) -> None:
    """A column's name is never read as SQL."""
    engine.sql(f"SELECT '5' AS {quoted(HOSTILE)}").create_view("rows")
    staged = engine.sql(staged_sql([Cast(HOSTILE, "VARCHAR", "DOUBLE")], "rows"))
    assert staged.columns == [HOSTILE]
    assert staged.fetchall() == [(5.0,)]


def test_no_membership_becomes_a_join(engine: duckdb.DuckDBPyConnection) -> None:
    """Long lists of markers and of words for true leave the plan without a join, which would lose the rows' order."""
    text = text_or_null("x", ("NA", "?", "n/a", "none", "null", "-", "--", "missing"))
    engine.sql(f"SELECT {text} AS x FROM (SELECT i::VARCHAR AS x FROM range(9) t(i))").create_view("rows")  # noqa: S608
    casts = [Cast("x", "VARCHAR", "BOOLEAN")]
    for query in (staged_sql(casts, "rows"), f"SELECT {row_hash_sql(['x'])} FROM rows"):  # noqa: S608
        plan = engine.execute(f"EXPLAIN {query}").fetchall()[0][1]
        assert "join" not in plan.lower()
