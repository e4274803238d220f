from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from config.schema import ModelConfig
from config.settings import Settings
from tasks.init.inspection.codes import code_counts
from tasks.init.model_file import InitResult, init_model
from tasks.source.stage import stage_rows
from tests.factories import make_project

N = 300
LARGE = [2**53, 2**53 + 1, 2**53 + 2]


@pytest.fixture
def project(tmp_path: Path) -> Settings:
    """Make an empty project."""
    return make_project(tmp_path)


def amounts() -> dict[str, list[Any]]:
    """Make a column of ordinary numbers and a target."""
    rng = np.random.default_rng(7)
    return {"amount": rng.normal(size=N).round(3).tolist(), "y": rng.integers(0, 2, N).tolist()}


def inferred(columns: dict[str, Any], settings: Settings, name: str, **options: Any) -> InitResult:
    """Write columns to a file and infer its model file."""
    path = settings.root / name
    table = pa.table(amounts() | columns)
    pq.write_table(table, path) if name.endswith("parquet") else table.to_pandas().to_csv(path, index=False)
    return init_model(str(path), "y", settings, name="codes", force=True, **options)


def stored(config: ModelConfig, settings: Settings) -> dict[str, list[Any]]:
    """Return values as the ingestion stores them."""
    content: dict[str, list[Any]] = pq.read_table(stage_rows(config, settings, settings.var / "w").path).to_pydict()
    return content


def comment(result: InitResult, name: str) -> str:
    """Return the comment beside a column in the model file."""
    lines = result.paths[0].read_text().splitlines()
    return next(line for line in lines if line.strip().startswith(f"- {name} ")).split("# ", 1)[1]


def test_values_are_counted_by_how_they_are_written() -> None:
    """Zeros in front, widths and numbers beyond 2^53, for text and for wide types; small types have no counts."""
    with duckdb.connect() as connection:
        connection.execute(
            "CREATE TABLE t AS SELECT unnest(['02134', '90210', '9007199254740993.0', '1.5', NULL]) AS a, "
            "unnest([1, 9007199254740993, -9007199254740993, 4, NULL])::BIGINT AS b, 1::INTEGER AS c, "
            "unnest([1, 18446744073709551615, 18446744073709551614, 4, NULL])::UBIGINT AS d"
        )
        a, b, c, d = code_counts(
            connection, "t", [("a", "VARCHAR"), ("b", "BIGINT"), ("c", "INTEGER"), ("d", "UBIGINT")]
        )
        assert code_counts(connection, "t", [("c", "INTEGER")]) == [None]
    assert a is not None
    assert b is not None
    assert d is not None
    assert (a.n_values, a.n_whole, a.n_padded, a.padded, a.n_beyond) == (4, 3, 1, "02134", 1)
    assert (b.n_values, b.n_beyond, b.beyond) == (4, 2, ("-9007199254740993", "9007199254740993"))
    assert (c, d.n_beyond, d.beyond) == (None, 2, ("18446744073709551614", "18446744073709551615"))


def test_versions_and_digits_around_an_e_are_counted() -> None:
    """Text only; numbers of a fixed number of decimals, and numbers without zeros at the end, need no closer look."""
    with duckdb.connect() as connection:
        connection.execute(
            "CREATE TABLE t AS SELECT unnest(['1.10', '1.9', '2.0']) AS version, "
            "unnest(['1E05', '2e10', '7']) AS code, "
            "unnest(['2.50', '0.90', '1.00']) AS price, unnest(['2.5', '0.91', '1e-5']) AS size"
        )
        names = ("version", "code", "price", "size")
        version, code, *others = code_counts(connection, "t", [(name, "VARCHAR") for name in names])
    assert version is not None
    assert (version.n_short, version.n_long_zeros, version.long_zero) == (1, 1, "1.10")
    assert code is not None
    assert (code.n_exponents, code.exponent) == (2, "1E05")
    assert others == [None, None]


@pytest.mark.parametrize("name", ["rows.csv", "rows.parquet"])
def test_postcodes_keep_their_zeros(name: str, project: Settings) -> None:
    """The column is categorical, with the reason beside it; the suite and the stored rows have the texts."""
    zips = ["02134", "00501", "90210"] * 100
    result = inferred({"zip": zips}, project, name)
    assert result.config.features.categorical == ("zip",)
    assert "leading zeros, such as '00501'" in comment(result, "zip")
    assert stored(result.config, project)["zip"] == zips
    suite = json.loads(result.paths[1].read_text())["expectations"]
    sets = [item["kwargs"]["value_set"] for item in suite if "value_set" in item["kwargs"]]
    assert sorted(set(zips)) in sets


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("rows.csv", pa.int64()),
        ("rows.parquet", pa.int64()),
        ("rows.parquet", pa.uint64()),
        ("rows.parquet", pa.decimal128(38, 0)),
        ("rows.parquet", pa.decimal128(38, 2)),
        ("rows.parquet", pa.string()),
    ],
)
def test_whole_numbers_beyond_doubles_stay_apart(name: str, kind: pa.DataType, project: Settings) -> None:
    """Three accounts are three levels and three stored texts, whatever their type."""
    digits = [str(value) for value in LARGE] * 100
    values = [Decimal(text) for text in digits] if pa.types.is_decimal(kind) else [int(text) for text in digits]
    result = inferred({"account": pa.array(digits if kind == pa.string() else values, kind)}, project, name)
    assert "account" in result.config.features.categorical
    assert "2^53 or more, inexact as doubles" in comment(result, "account")
    assert stored(result.config, project)["account"] == digits


def test_unsigned_numbers_that_are_one_double_are_not_constant(project: Settings) -> None:
    """260 values above 2^63 that round to one double are an identifier, not the same value in every row."""
    values = [2**64 - 1 - place for place in range(N)]
    result = inferred({"device": pa.array(values, pa.uint64())}, project, "rows.parquet")
    assert result.config.features.ignored == ("device",)
    assert "an identifier: 300 different values" in comment(result, "device")
    assert stored(result.config, project)["device"] == [str(value) for value in values]


@pytest.mark.parametrize("name", ["rows.csv", "rows.parquet"])
def test_keys_keep_their_digits(name: str, project: Settings) -> None:
    """A key has its zeros, and every digit beyond 2^53."""
    padded = inferred({"k": [f"{place:05}" for place in range(N)]}, project, name, key="k")
    assert stored(padded.config, project)["k"][:2] == ["00000", "00001"]
    large = inferred({"k": [2**53 + place for place in range(N)]}, project, name, key="k")
    assert large.config.key_is_unique
    assert stored(large.config, project)["k"][:2] == ["9007199254740992", "9007199254740993"]


def test_codes_from_a_query_keep_their_digits(project: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Categorical, ignored and key columns of a query are stored digit by digit."""
    columns: dict[str, list[Any]] = {
        "k": [2**53 + place for place in range(N)],
        "account": LARGE * 100,
        "wide": [str(2**64 + place) for place in range(N)],
        "zip": ["02134", "00501", "90210"] * 100,
    }
    result = inferred(columns, project, "rows.parquet", key="k")
    with closing(sqlite3.connect(project.root / "rows.db")) as connection:
        pd.DataFrame(amounts() | columns).to_sql("t", connection, index=False)
    monkeypatch.setenv("ROWS", f"sqlite:///{project.root / 'rows.db'}")
    content = result.config.model_dump() | {"source": {"kind": "sql", "uri_env": "ROWS", "query": "SELECT * FROM t"}}
    found = stored(ModelConfig.model_validate(content), project)
    assert {name: found[name] for name in columns} == {name: list(map(str, columns[name])) for name in columns}


def test_ordinary_numbers_stay_numbers(project: Settings) -> None:
    """Zeros before a decimal point, a lone zero and one largest number of a type are no codes."""
    rng = np.random.default_rng(3)
    columns = {
        "rate": [f"{value:05.2f}" for value in rng.uniform(0, 20, N)],
        "count": rng.integers(0, 40, N).tolist(),
        "limit": np.where(rng.random(N) < 0.1, 2**63 - 1, rng.integers(0, 900, N)).tolist(),
    }
    result = inferred(columns, project, "rows.parquet")
    assert result.config.features.numeric == ("amount", "rate", "count", "limit")
    assert any(note.startswith("look: 'limit' has whole numbers of 2^53") for note in result.notes)
    assert not any("'rate'" in note or "'count'" in note for note in result.notes)


def test_a_target_with_leading_zeros_keeps_them(project: Settings) -> None:
    """Its labels are classes as they are written, not numbers."""
    result = inferred({"y": ["01", "02", "03"] * 100}, project, "rows.csv")
    assert result.config.task == "multiclass"
    assert stored(result.config, project)["y"][:3] == ["01", "02", "03"]


def test_a_target_of_large_amounts_is_one_of_numbers(project: Settings) -> None:
    """Rounding an amount beyond 2^53 changes nothing that a regression could learn."""
    result = inferred({"y": [2**60 + 10**6 * place**3 for place in range(N)]}, project, "rows.parquet")
    assert result.config.task == "regression"


def test_categories_of_numbers_in_parquet_are_categories(project: Settings) -> None:
    """Dictionaries of whole numbers and of floats are read as levels; ordered ones and other integers as numbers."""
    stores = [3, 1, 2] * 100
    columns = {
        "store": pa.array(stores, pa.int8()).dictionary_encode(),
        "float": pa.array(map(float, stores)).dictionary_encode(),
        "rank": pa.DictionaryArray.from_arrays([0, 1, 2] * 100, [1, 2, 3], ordered=True),
        "count": stores,
    }
    result = inferred(columns, project, "rows.parquet")
    assert result.config.features.categorical == ("store", "float")
    assert result.config.features.numeric == ("amount", "rank", "count")
    assert comment(result, "store") == "codes (a category in the file): 3 levels: 1, 2, 3"
    found = stored(result.config, project)
    assert found["store"] == found["float"] == [str(store) for store in stores]


def test_labels_have_a_remark(project: Settings) -> None:
    """Status codes become levels, amounts on a grid stay numbers."""
    columns = {"status": [200, 301, 404] * 100, "term": [36, 48, 60] * 100}
    result = inferred(columns, project, "rows.csv")
    assert result.config.features.categorical == ("status",)
    assert [note for note in result.notes if "sparse" in note] == [
        "look: 'status' has few, sparse whole numbers, taken as codes; if they are amounts, move it to features.numeric"
    ]


def test_a_wide_table_is_counted_in_several_queries() -> None:
    """Each of many columns has its own counts; columns of plain numbers have none."""
    with duckdb.connect() as connection:
        cells = ", ".join(
            f"'{place % 2 * '0'}{place}' AS c{place}, '0.1234567890123456' AS d{place}" for place in range(120)
        )
        connection.execute(f"CREATE TABLE t AS SELECT {cells}")
        names = [(f"{letter}{place}", "VARCHAR") for place in range(120) for letter in "cd"]
        found = dict(zip(names, code_counts(connection, "t", names), strict=True))
    padded = {name for (name, _), counts in found.items() if counts is not None and counts.n_padded == 1}
    assert padded == {f"c{place}" for place in range(120) if place % 2}
    assert sum(counts is None for counts in found.values()) == 180
