"""Rows of a source as it has them."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from config.schema import CsvSource, ParquetSource, SklearnSource
from config.settings import Settings
from core.errors import SchemaError, SourceError
from tasks.source.engine import ingestion_engine, reading
from tasks.source.read import declared_categories, raw_rows, shown_source


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Return settings of a bare project folder."""
    return Settings(root=tmp_path, var=tmp_path / "var")


@pytest.fixture
def engine(settings: Settings) -> Iterator[duckdb.DuckDBPyConnection]:
    """Return an ingestion engine."""
    with ingestion_engine(settings, settings.var) as connection:
        yield connection


def _csv(engine: duckdb.DuckDBPyConnection, settings: Settings, *texts: str, **more: Any) -> duckdb.DuckDBPyRelation:
    for number, text in enumerate(texts):
        (settings.root / f"{number}.csv").write_text(text)
    return raw_rows(engine, CsvSource(kind="csv", uri="*.csv", **more), settings, settings.var)


def test_only_whole_cells_mean_no_value(engine: duckdb.DuckDBPyConnection, settings: Settings) -> None:
    """Text is stripped first, in CSV and in Parquet; letters count as they are written."""
    found = _csv(engine, settings, "a,b\n NA ,NAN\nna,xNA\n", missing=("NA",)).fetchall()
    assert found == [(None, "NAN"), ("na", "xNA")]
    pq.write_table(pa.table({"a": [" NA ", "na"], "b": ["NAN", "xNA"]}), settings.root / "a.parquet")
    source = ParquetSource(kind="parquet", uri="a.parquet", missing=("NA",))
    assert raw_rows(engine, source, settings, settings.var).fetchall() == found


def test_files_may_differ_in_order_and_delimiter(engine: duckdb.DuckDBPyConnection, settings: Settings) -> None:
    """Rows are in the order of the files' names, columns in that of the first file."""
    rows = _csv(engine, settings, "a,b\n1,2\n", "b;a\n4;3\n", "a,b\n5,6\n")
    assert (rows.columns, rows.fetchall()) == (["a", "b"], [("1", "2"), ("3", "4"), ("5", "6")])


def test_other_columns_are_named_with_their_file(engine: duckdb.DuckDBPyConnection, settings: Settings) -> None:
    """What lacks and what is added."""
    with pytest.raises(SchemaError, match=r"1\.csv has other columns than .*0\.csv: it lacks \['b'\] and adds \['c'\]"):
        _csv(engine, settings, "a,b\n1,2\n", "a,c\n1,2\n")


def test_not_a_number_is_no_value(engine: duckdb.DuckDBPyConnection, settings: Settings) -> None:
    """In either width; infinities are values, and integers stay integers."""
    table = pa.table(
        {
            "d": pa.array([float("nan"), float("inf")]),
            "f": pa.array([float("nan"), 1.5], pa.float32()),
            "i": pa.array([1, None]),
        }
    )
    pq.write_table(table, settings.root / "a.parquet")
    rows = raw_rows(engine, ParquetSource(kind="parquet", uri="a.parquet"), settings, settings.var)
    assert rows.fetchall() == [(None, None, 1), (float("inf"), 1.5, None)]


def test_a_name_with_signs_of_a_pattern_is_one_file(engine: duckdb.DuckDBPyConnection, settings: Settings) -> None:
    """The engine would read the neighbour's rows as well."""
    (settings.root / "x[1]*.csv").write_text("a,b\n1,2\n")
    (settings.root / "x1y.csv").write_text("a,b\n3,4\n")
    source = CsvSource(kind="csv", uri="x[1]*.csv")
    assert raw_rows(engine, source, settings, settings.var).fetchall() == [("1", "2")]


def test_names_of_columns_are_only_names(engine: duckdb.DuckDBPyConnection, settings: Settings) -> None:
    """Words and signs of the engine's language among them."""
    rows = _csv(engine, settings, '"a""; DROP TABLE x; --",select,c0\n1,2,3\n')
    assert (rows.columns, rows.fetchall()) == (['a"; DROP TABLE x; --', "select", "c0"], [("1", "2", "3")])


def test_a_source_is_shown_without_its_secrets() -> None:
    """Addresses by themselves, all else by its name."""
    assert shown_source(CsvSource(kind="csv", uri="s3://key:secret@bucket/a.csv")) == "s3://bucket/a.csv"
    assert shown_source(SklearnSource(kind="sklearn", name="wine")) == "scikit-learn's wine"


def test_categories_are_those_of_any_file(tmp_path: Path) -> None:
    """A folder's files may declare them in one file only; CSV declares none."""
    settings = Settings(root=tmp_path, var=tmp_path / "var")
    (tmp_path / "rows").mkdir()
    pq.write_table(pa.table({"store": pa.array([3, 1])}), tmp_path / "rows" / "a.parquet")
    pq.write_table(pa.table({"store": pa.array([3, 1]).dictionary_encode()}), tmp_path / "rows" / "b.parquet")
    work = tmp_path / "work"
    assert declared_categories(ParquetSource(kind="parquet", uri="rows"), settings, work) == {"store"}
    assert declared_categories(CsvSource(kind="csv", uri="rows.csv"), settings, work) == frozenset()


def test_a_row_of_column_names_stops_the_reading(tmp_path: Path) -> None:
    """Its file and line are told, also of a copy; one equal cell, or a table of one column, is no such row."""
    settings = Settings(root=tmp_path, var=tmp_path / "var")
    rows = {"a.csv": "n,word\n1,word\nn,x\n", "b.csv": 'n,word\n"1\n",x\nn, word\n2,y\n', "one.csv": "n\nx\nn\n"}
    for name, text in rows.items():
        (tmp_path / name).write_text(text)
    with ingestion_engine(settings, tmp_path / "work") as engine:
        for name in ("a.csv", "one.csv"):
            found = raw_rows(engine, CsvSource(kind="csv", uri=name), settings, tmp_path / "work")
            assert len(found.fetchall()) == 2
        found = raw_rows(engine, CsvSource(kind="csv", uri="[ab].csv"), settings, tmp_path / "work")
        with pytest.raises(SourceError, match=r"b.csv: repeats the line of column names"), reading("rows"):
            found.fetchall()
    (tmp_path / "c.csv").write_text("n,word,\n1,x,1\nn,word,\n", encoding="utf-16")
    source = CsvSource(kind="csv", uri="c.csv", encoding="utf-16")
    with ingestion_engine(settings, tmp_path / "work") as engine:
        found = raw_rows(engine, source, settings, tmp_path / "work")
        with (
            pytest.raises(SourceError, match=r"^the rows of May, line 3: repeats the line"),
            reading("the rows of May"),
        ):
            found.fetchall()


@pytest.mark.parametrize(
    ("one", "other", "found"),
    [
        (pa.array([2**53 + 1]), pa.array([0.5, None, float("nan")]), ["9007199254740993", "0.5", None, None]),
        (pa.array([2**24 + 1]), pa.array([3.0], pa.float32()), ["16777217", "3"]),
        (pa.array([2**24 + 1], pa.int32()), pa.array([3.0]), [16777217.0, 3.0]),
        (pa.array([2**53 + 1]), pa.array([2**64 - 1], pa.uint64()), [2**53 + 1, 2**64 - 1]),
        (pa.array([2**53 + 1]), pa.nulls(1), [2**53 + 1, None]),
        (
            pa.array([Decimal(2**53 + 1)], pa.decimal128(38, 0)),
            pa.array([Decimal("0.50")], pa.decimal128(20, 2)),
            ["9007199254740993", "0.50"],
        ),
    ],
)
def test_files_with_other_types_of_numbers_are_not_rounded(
    tmp_path: Path, one: pa.Array, other: pa.Array, found: list[Any]
) -> None:
    """A column is text where no type of numbers has all values; otherwise it keeps the common type."""
    settings = Settings(root=tmp_path, var=tmp_path / "var")
    (tmp_path / "rows").mkdir()
    pq.write_table(pa.table({"n": one, "a": ["x"] * len(one)}), tmp_path / "rows" / "a.parquet")
    pq.write_table(pa.table({"a": ["y"] * len(other), "n": other}), tmp_path / "rows" / "b.parquet")
    with ingestion_engine(settings, tmp_path / "work") as engine:
        rows = raw_rows(engine, ParquetSource(kind="parquet", uri="rows"), settings, tmp_path / "work")
        assert rows.columns == ["n", "a"]
        assert [row[0] for row in rows.fetchall()] == found
