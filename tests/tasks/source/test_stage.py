"""Reading every kind of source into staged rows."""

from __future__ import annotations

import gzip
import hashlib
import json
import sqlite3
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import fsspec
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import TypeAdapter

from config.schema import ModelConfig, Source
from config.settings import Settings
from core.data.simulate import simulate
from core.errors import ConfigError, SchemaError, SourceError, SourceTooLargeError
from core.references import StagedRows
from tasks.source import buffer
from tasks.source import stage as staging
from tasks.source.stage import ingestion_engine, raw_rows, stage_rows
from tests.factories import credit_rows, shared_data
from tests.other_user import read_only

HOSTILE = "a\"; DROP TABLE rows; --\n'é"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Return settings of a bare project folder."""
    return Settings(root=tmp_path, var=tmp_path / "var")


def _config(source: dict[str, Any], **changes: Any) -> ModelConfig:
    content: dict[str, Any] = {
        "model": "credit",
        "task": "binary",
        "source": source,
        "target": "default",
        "positive": "1",
        "key": "id",
        "features": {"numeric": ["income", "age"], "categorical": ["region"], "boolean": ["owner"]},
        "validation": {"suite": "suite.json"},
        "training": {"estimator": "sklearn.linear_model.LogisticRegression"},
        "gate": {"metric": "roc_auc", "floor": 0.6},
    }
    return ModelConfig.model_validate(content | changes)


def _csv(**parts: Any) -> ModelConfig:
    return _config({"kind": "csv", "uri": "rows.csv", **parts})


def _parquet(uri: str = "rows.parquet") -> ModelConfig:
    return _config({"kind": "parquet", "uri": uri})


def _stage(config: ModelConfig, settings: Settings) -> StagedRows:
    return stage_rows(config, settings, settings.var / "work")


def _sha(rows: StagedRows) -> str:
    return hashlib.sha256(rows.path.read_bytes()).hexdigest()


def _table(rows: StagedRows) -> dict[str, list[Any]]:
    content: dict[str, list[Any]] = pq.read_table(rows.path).to_pydict()
    return content


def test_staged_columns_are_the_contracts(settings: Settings) -> None:
    """Columns come in the contract's order and types, undeclared ones stay behind and are named."""
    credit_rows(20).assign(extra=1, other=2)[["other", "owner", "extra", *credit_rows(1).columns.drop("owner")]].to_csv(
        settings.root / "rows.csv", index=False
    )
    config = _csv()
    rows = _stage(config, settings)
    assert rows.undeclared == ("other", "extra")
    assert (rows.n_rows, rows.source) == (20, "rows.csv")
    schema = pq.read_schema(rows.path)
    assert tuple(schema.names) == config.columns
    assert [str(schema.field(name).type) for name in ("id", "default", "income", "region", "owner")] == [
        *("string", "string", "double", "string", "bool")
    ]
    assert sorted(path.name for path in rows.path.parent.iterdir()) == ["staged.parquet"]


def test_csv_and_parquet_give_the_same_bytes(settings: Settings) -> None:
    """The same rows from either format, read once or twice, are the same file and the same fingerprint."""
    frame = credit_rows(300)
    frame.loc[3, "income"] = np.nan
    frame.loc[4, "region"] = None
    frame.to_csv(settings.root / "rows.csv", index=False)
    frame.assign(owner=frame["owner"] == "true").to_parquet(settings.root / "rows.parquet")
    from_csv = _stage(_csv(), settings)
    bytes_csv = _sha(from_csv)
    assert _sha(_stage(_csv(), settings)) == bytes_csv
    from_parquet = _stage(_parquet(), settings)
    assert from_parquet.fingerprint == from_csv.fingerprint
    assert _sha(from_parquet) == bytes_csv


NOTED = {
    "decimal": ",",
    "thousands": {"income": "."},
    "units": {"age": "years"},
    "dates": {"seen": ["%d.%m.%Y", "%d.%m.%Y %H:%M"]},
}
NOTED_CSV = """id;default;income;age;region;owner;seen
1;0;1.234,5;41 years;1.5;yes;31.12.2024
2;1;-2.000;"7,5 years";2,5;no;1.2.2025 18:30
3;0;;;;no;2025-03-04
"""


def test_texts_are_read_in_the_notation_of_their_column(settings: Settings) -> None:
    """Numbers and dates are what the file means; texts of other columns stay as they are."""
    (settings.root / "rows.csv").write_text(NOTED_CSV, encoding="utf-8")
    staged = _table(_stage(_config({"kind": "csv", "uri": "rows.csv", **NOTED}, time="seen"), settings))
    assert staged["income"] == [1234.5, -2000.0, None]
    assert staged["age"] == [41.0, 7.5, None]
    assert staged["region"] == ["1.5", "2,5", None]
    assert staged["seen"] == [datetime(2024, 12, 31), datetime(2025, 2, 1, 18, 30), datetime(2025, 3, 4)]


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("1.234,5", "1234.5", r"'income': expected a number such as 1.234,5, found 1 other value \('1234.5'\)"),
        ("41 years", "41", r"'age': expected a number such as 1234,5 years, found 1 other value \('41'\)"),
        ("31.12.2024", "12/31/2024", "'seen': expected a date such as %d.%m.%Y or %d.%m.%Y %H:%M, found 1"),
    ],
)
def test_texts_in_another_notation_stop_the_ingestion(old: str, new: str, says: str, settings: Settings) -> None:
    """They would be read as another value; the message names column, notation and row."""
    (settings.root / "rows.csv").write_text(NOTED_CSV.replace(old, new), encoding="utf-8")
    with pytest.raises(SchemaError, match=says):
        _stage(_config({"kind": "csv", "uri": "rows.csv", **NOTED}, time="seen"), settings)


def test_numbers_in_parquet_are_dates_by_their_format(settings: Settings) -> None:
    """Digits such as 20241231 and counts of milliseconds are dates; typed numbers need no notation."""
    frame = credit_rows(3).assign(seen=[20241231, 20250101, 20250102], age=[1.5, 2.5, 3.5])
    frame["owner"] = [1_700_000_000_000, 1_700_000_000_500, 0]
    frame.to_parquet(settings.root / "rows.parquet")
    config = _config(
        {
            "kind": "parquet",
            "uri": "rows.parquet",
            "decimal": ",",
            "dates": {"seen": "%Y%m%d", "owner": "milliseconds"},
        },
        time="seen",
        features={"numeric": ["income", "age"], "categorical": ["region"], "dates": ["owner"]},
    )
    staged = _table(_stage(config, settings))
    assert staged["seen"] == [datetime(2024, 12, 31), datetime(2025, 1, 1), datetime(2025, 1, 2)]
    assert staged["owner"][:2] == [datetime(2023, 11, 14, 22, 13, 20), datetime(2023, 11, 14, 22, 13, 20, 500_000)]
    assert staged["age"] == [1.5, 2.5, 3.5]


def test_large_rows_keep_their_order_and_bytes(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many row groups, read by several threads, come out in the source's order with equal bytes each time."""
    monkeypatch.setattr(staging, "ROW_GROUP", 10_000)
    n = 400_000
    owner = np.where(np.arange(n) % 3 == 0, "yes", "no")
    table = pa.table(
        {
            "id": np.arange(n),
            "income": np.arange(n) * 0.1,
            "age": np.arange(n) % 70,
            "region": pa.array(["north", " ? "] * (n // 2)),
            "owner": owner,
            "default": np.arange(n) % 2,
        }
    )
    pq.write_table(table, settings.root / "rows.parquet", row_group_size=20_000)
    config = _config({"kind": "parquet", "uri": "rows.parquet", "missing": ["?", "NA", "n/a", "-", "none", "null"]})
    shas = set()
    for _ in range(2):
        rows = _stage(config, settings)
        shas.add(_sha(rows))
    assert len(shas) == 1
    staged = pq.read_table(rows.path)
    assert staged["id"].to_pylist() == [str(number) for number in range(n)]
    assert staged["region"].null_count == n // 2
    assert pq.ParquetFile(rows.path).num_row_groups == n // 10_000


def test_the_fingerprint_knows_rows_not_their_order(settings: Settings) -> None:
    """Rows in another order have the same fingerprint; one changed cell or one more row has another."""
    frame = credit_rows(50)
    prints = []
    for variant in (frame, frame.sample(frac=1, random_state=1), pd.concat([frame, frame[:1]]), frame.assign(age=30)):
        variant.to_csv(settings.root / "rows.csv", index=False)
        prints.append(_stage(_csv(), settings).fingerprint)
    assert prints[0] == prints[1]
    assert len(set(prints)) == 3


def test_the_fingerprint_outlives_a_change_of_kinds(settings: Settings) -> None:
    """Moving columns between numeric, categorical, boolean and ignored is not new data."""
    credit_rows(50).to_csv(settings.root / "rows.csv", index=False)
    source = {"kind": "csv", "uri": "rows.csv"}
    moved = _config(source, features={"numeric": ["income"], "ignored": ["age", "region", "owner"]})
    other = _config(source, features={"categorical": ["age", "income", "owner"], "ignored": ["region"]})
    assert len({_stage(config, settings).fingerprint for config in (_csv(), moved, other)}) == 1


def test_labels_and_keys_are_canonical(settings: Settings) -> None:
    """Whole floats lose their point in target and key, true and false their capitals; a leading zero stays."""
    (settings.root / "rows.csv").write_text(
        "id,income,age,region,owner,default\n12.0,1,2,north,t,True\n007,1,2, south ,F,1.0\nx,1,2,1.0,Y,FALSE\n"
    )
    found = _table(_stage(_csv(), settings))
    assert found["id"] == ["12", "007", "x"]
    assert found["default"] == ["true", "1", "false"]
    assert found["region"] == ["north", "south", "1"]
    assert found["owner"] == [True, False, True]


def test_dates_become_naive_utc(settings: Settings) -> None:
    """Text with an offset, Parquet with a zone and plain dates all become the same instant in UTC."""
    instant = datetime(2024, 3, 1, 10, 30, tzinfo=UTC)
    changes: dict[str, Any] = {"key": None, "time": "applied", "features": {"numeric": ["age"]}}
    (settings.root / "rows.csv").write_text("applied,age,default\n2024-03-01T12:30:00+02:00,1,0\n2024-03-01,1,1\n")
    table = pa.table({"applied": pa.array([instant, None], pa.timestamp("ns", "Asia/Tokyo")), "age": [1, 1]})
    pq.write_table(table.append_column("default", [[0, 1]]), settings.root / "rows.parquet")
    naive = instant.replace(tzinfo=None)
    from_csv = _stage(_config({"kind": "csv", "uri": "rows.csv"}, **changes), settings)
    assert _table(from_csv)["applied"] == [naive, datetime(2024, 3, 1)]
    from_parquet = _stage(_config({"kind": "parquet", "uri": "rows.parquet"}, **changes), settings)
    assert pq.read_schema(from_parquet.path).field("applied").type == pa.timestamp("us")
    assert _table(from_parquet)["applied"] == [naive, None]


@pytest.mark.parametrize(
    ("encoding", "content"),
    [
        ("utf-8", b'\xef\xbb\xbfid;income;age;region;owner;default\r\n1;2;3;"Z\xc3\xbcrich;\r\nWest";t;0\r\n'),
        ("latin-1", b'id;income;age;region;owner;default\n1;2;3;"Z\xfcrich;\r\nWest";t;0\n'),
        ("utf-16", 'id;income;age;region;owner;default\n1;2;3;"Zürich;\r\nWest";t;0\n'.encode("utf-16")),
    ],
)
def test_csv_dialects_are_read(settings: Settings, encoding: str, content: bytes) -> None:
    """Byte-order mark, CRLF, quoted line breaks and delimiters, three encodings, a sniffed semicolon."""
    (settings.root / "rows.csv").write_bytes(content)
    found = _table(_stage(_csv(encoding=encoding), settings))
    assert found["region"] == ["Zürich;\r\nWest"]
    assert found["id"] == ["1"]


def test_csv_files_of_a_glob_may_order_columns_freely(settings: Settings) -> None:
    """A glob, also of compressed files, is one source; rows come in the order of the files' names."""
    frame = credit_rows(60)
    frame[:20].to_csv(settings.root / "part-a[1].csv", index=False)
    frame[20:40][frame.columns[::-1]].to_csv(settings.root / "part-b.csv", index=False, sep=";")
    frame[40:].to_csv(settings.root / "part-c.csv.gz", index=False)
    rows = _stage(_csv(uri="part-*"), settings)
    assert _table(rows)["id"] == list(frame["id"])


def test_a_parquet_folder_is_one_source(settings: Settings) -> None:
    """Files of a folder are joined, integers with floats; hidden and underscored files are not data."""
    frame = credit_rows(40)
    folder = settings.root / "rows" / "2024"
    folder.mkdir(parents=True)
    frame[:20].to_parquet(folder / "a.parquet")
    frame[20:].astype({"age": "float64"}).to_parquet(folder / "b.parquet")
    (folder / "_metadata.parquet").write_bytes(b"not data")
    rows = _stage(_parquet("rows"), settings)
    assert _table(rows)["id"] == list(frame["id"])


def test_columns_that_hold_nothing_hold_nothing_declared(settings: Settings) -> None:
    """A nested column that is not declared is left behind."""
    table = pa.Table.from_pandas(credit_rows(5)).append_column("history", [[[1, 2]] * 5])
    pq.write_table(table, settings.root / "rows.parquet")
    assert _stage(_parquet(), settings).undeclared == ("history",)


def test_bytes_are_text_only_if_every_value_is(settings: Settings) -> None:
    """Text that its writer does not mark is text; bytes in one row make a column of bytes, refused by its name."""
    marked: list[Any] = [b"s\xc3\xbcd", b" n/a ", b"north", None, b"east"]
    frame = credit_rows(5).assign(region=marked)
    frame.to_parquet(settings.root / "rows.parquet")
    source = {"kind": "parquet", "uri": "rows.parquet", "missing": ["n/a"]}
    assert _table(_stage(_config(source), settings))["region"] == ["süd", None, "north", None, "east"]
    for raw in (b"\xff\xd8", b"a\x00b"):
        frame.assign(region=[*marked[:4], raw]).to_parquet(settings.root / "rows.parquet")
        with pytest.raises(SchemaError, match=r"'region': .* the source has BLOB values. Remove the column from"):
            _stage(_config(source), settings)


def test_hostile_names_and_values_are_only_text(settings: Settings) -> None:
    """Quotes, semicolons and line breaks in names and cells reach the staged file unchanged."""
    frame = credit_rows(3).rename(columns={"income": HOSTILE}).assign(region=["'; --", '"', "a\nb"])
    frame.to_csv(settings.root / "rows.csv", index=False)
    features = {"numeric": [HOSTILE, "age"], "categorical": ["region"], "boolean": ["owner"]}
    rows = _stage(_config({"kind": "csv", "uri": "rows.csv"}, features=features), settings)
    assert _table(rows)["region"] == ["'; --", '"', "a\nb"]
    assert _table(rows)[HOSTILE] == list(frame[HOSTILE])


def test_not_a_number_is_no_level_and_no_label(settings: Settings) -> None:
    """Not every writer of Parquet makes it null, and the file's statistics do not show it."""
    nan = float("nan")
    columns = {"id": ["a", "b"], "income": [nan, 1.5], "age": [2.0, 3.0], "region": [1.0, nan]}
    table = pa.table({**columns, "owner": [nan, 1.0], "default": [1.0, nan]})
    pq.write_table(table, settings.root / "rows.parquet")
    rows = _table(_stage(_parquet(), settings))
    assert [rows[name] for name in ("income", "region", "owner", "default")] == [
        [None, 1.5],
        ["1", None],
        [None, True],
        ["1", None],
    ]


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_addresses_of_fsspec_are_read(settings: Settings, kind: str) -> None:
    """A file, a folder and a glob in a remote file system give what the local file gives; copies are removed."""
    frame = credit_rows(30)
    memory = fsspec.filesystem("memory")
    for name, part in (("a", frame[:10]), ("b", frame[10:])):
        with memory.open(f"/bucket/{kind}/{name}.{kind}", "wb") as stream:
            if kind == "csv":
                part.to_csv(stream, index=False)
            else:
                part.to_parquet(stream)
    try:
        for uri, n_rows in ((f"memory://bucket/{kind}/a.{kind}", 10), (f"memory://bucket/{kind}", 30)):
            rows = _stage(_config({"kind": kind, "uri": uri}), settings)
            assert (rows.n_rows, rows.source) == (n_rows, uri)
        rows = _stage(_config({"kind": kind, "uri": f"memory://bucket/{kind}/*.{kind}"}), settings)
        assert _table(rows)["id"] == list(frame["id"])
        assert [path.name for path in rows.path.parent.iterdir()] == ["staged.parquet"]
    finally:
        memory.rm("/bucket", recursive=True)


def test_an_announced_remote_size_is_refused_before_copying(settings: Settings) -> None:
    """The footer of a remote Parquet file is judged before its rows travel."""
    memory = fsspec.filesystem("memory")
    with memory.open("/bucket/big.parquet", "wb") as stream:
        credit_rows(30).to_parquet(stream)
    try:
        with pytest.raises(SourceTooLargeError, match=r"memory://bucket/big.parquet has 30 rows, the limit is 10"):
            _stage(_parquet("memory://bucket/big.parquet"), settings.model_copy(update={"max_rows": 10}))
    finally:
        memory.rm("/bucket", recursive=True)
    assert list((settings.var / "work").iterdir()) == []


def test_credentials_never_show(settings: Settings) -> None:
    """User and password of an address are in no message."""
    with pytest.raises(SourceError) as caught:
        _stage(_parquet("memory://user:secret@bucket/none.parquet?token=secret"), settings)
    assert "secret" not in str(caught.value)


def _database(path: Path, frame: pd.DataFrame) -> str:
    connection = sqlite3.connect(path)
    frame.to_sql("applications", connection, index=False)
    connection.close()
    return f"sqlite:///{path}"


def test_a_query_is_streamed(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows of a query arrive in chunks whose types may differ (all NULL, integers, floats) and form one table."""
    monkeypatch.setattr(buffer, "SQL_CHUNK_ROWS", 7)
    monkeypatch.setattr(buffer, "PART_ROWS", 7)
    frame = credit_rows(50)
    frame["age"] = frame["age"].astype(object)
    frame.loc[:20, "age"] = None
    frame.loc[30:, "age"] = 30.5
    monkeypatch.setenv("CREDIT_DATABASE", _database(settings.root / "rows.db", frame))
    source = {"kind": "sql", "uri_env": "CREDIT_DATABASE", "query": "SELECT * FROM applications ORDER BY rowid"}
    found = _table(_stage(_config(source), settings))
    assert found["id"] == list(frame["id"])
    assert found["income"] == list(frame["income"])
    assert found["age"] == [None if value is None else float(value) for value in frame["age"]]


def test_a_query_stops_at_the_cap(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """A query that yields too many rows ends there, and nothing stays behind."""
    monkeypatch.setattr(buffer, "SQL_CHUNK_ROWS", 10)
    monkeypatch.setenv("CREDIT_DATABASE", _database(settings.root / "rows.db", credit_rows(100)))
    source = {"kind": "sql", "uri_env": "CREDIT_DATABASE", "query": "SELECT * FROM applications"}
    with pytest.raises(SourceTooLargeError, match="the query against CREDIT_DATABASE has 30 rows or more"):
        _stage(_config(source), settings.model_copy(update={"max_rows": 25}))
    assert list((settings.var / "work").iterdir()) == []


@pytest.mark.parametrize(
    ("address", "query", "error", "message"),
    [
        (None, "SELECT 1", ConfigError, "environment variable CREDIT_DATABASE is not set"),
        ("nonsense", "SELECT 1", SourceError, "Could not parse SQLAlchemy URL"),
        ("nodb://u:secret@h/d", "SELECT 1", SourceError, "nodb"),
        ("mysql+pymysql://u:secret@h/d", "SELECT 1", SourceError, "a driver that is not installed: pymysql"),
        ("sqlite:////no/such/folder/x.db", "SELECT 1", SourceError, "unable to open database file"),
        ("sqlite://", "SELEKT 1", SourceError, "syntax error"),
        ("sqlite://", "SELECT 1 AS a, 2 AS a", SourceError, "columns of the same name"),
        ("sqlite://", "SELECT 1 AS a WHERE 1 = 0", SourceError, "has no rows"),
        ("sqlite://", "CREATE TABLE t (a)", SourceError, "readonly database"),
    ],
)
def test_a_query_that_fails_says_why(
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    address: str | None,
    query: str,
    error: type[Exception],
    message: str,
) -> None:
    """Address, driver, syntax and emptiness each have their message, and none shows a password."""
    monkeypatch.delenv("CREDIT_DATABASE", raising=False)
    if address is not None:
        monkeypatch.setenv("CREDIT_DATABASE", address)
    with pytest.raises(error, match=message) as caught:
        _stage(_config({"kind": "sql", "uri_env": "CREDIT_DATABASE", "query": query}), settings)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("query", ["DELETE FROM {}", "WITH old AS (SELECT 1) DELETE FROM {}", "DROP TABLE {}"])
def test_a_query_changes_nothing(settings: Settings, monkeypatch: pytest.MonkeyPatch, query: str) -> None:
    """Whatever it says, also what the driver would commit at once."""
    database = settings.root / "rows.db"
    monkeypatch.setenv("CREDIT_DATABASE", _database(database, credit_rows(20)))
    source = {"kind": "sql", "uri_env": "CREDIT_DATABASE", "query": query.format("applications")}
    with pytest.raises(SourceError, match=r"readonly database\. Check the address and the query"):
        _stage(_config(source), settings)
    with sqlite3.connect(database) as connection:
        assert connection.execute("SELECT count(*) FROM applications").fetchone() == (20,)
    connection.close()


def test_bundled_data_is_read(settings: Settings) -> None:
    """A data set of scikit-learn has its column ``target``, of integer labels."""
    config = _config(
        {"kind": "sklearn", "name": "iris"},
        task="multiclass",
        positive=None,
        key=None,
        target="target",
        features={"numeric": ["petal length (cm)", "petal width (cm)"]},
    )
    rows = _stage(config, settings)
    assert rows.source == "scikit-learn's iris"
    assert sorted(set(_table(rows)["target"])) == ["0", "1", "2"]


def test_simulated_months_are_read_in_order(settings: Settings) -> None:
    """Every month of the simulator lands, oldest first."""
    source = {"kind": "simulated", "months": 3, "rows_per_month": 40}
    parsed: Any = TypeAdapter(Source).validate_python(source)
    expected = pd.concat(simulate(parsed))
    features = {"numeric": [], "ignored": ["application_date"], "categorical": ["has_guarantor"]}
    config = _config(source, target="default_next_month", key="application_id", features=features)
    assert _table(_stage(config, settings))["application_id"] == list(expected["application_id"])


ARFF = b"""@RELATION credit
@ATTRIBUTE id INTEGER
@ATTRIBUTE income REAL
@ATTRIBUTE age REAL
@ATTRIBUTE region {north,'far south'}
@ATTRIBUTE owner {true,false}
@ATTRIBUTE default {0,1}
@DATA
1,10.5,30,north,true,0
2,?,40,'far south',false,1
3,7,?,?,true,?
"""


def _openml_answer(path: str) -> Any:
    names = ("id", "income", "age", "region", "owner", "default")
    kinds = ("numeric", "numeric", "numeric", "nominal", "nominal", "nominal")
    features = [
        {
            "index": str(index),
            "name": name,
            "data_type": kind,
            "is_target": str(name == "default").lower(),
            "is_ignore": "false",
            "is_row_identifier": "false",
            "number_of_missing_values": "1",
        }
        for index, (name, kind) in enumerate(zip(names, kinds, strict=True))
    ]
    description = {
        "id": "99",
        "name": "credit",
        "version": "1",
        "description": "made up",
        "format": "ARFF",
        "status": "active",
        "url": "https://www.openml.org/data/v1/download/99/credit.arff",
        "md5_checksum": hashlib.md5(ARFF, usedforsecurity=False).hexdigest(),
    }
    answers = {
        "/api/v1/json/data/99": {"data_set_description": description},
        "/api/v1/json/data/features/99": {"data_features": {"feature": features}},
        "/api/v1/json/data/qualities/99": {"data_qualities": {"quality": []}},
        "/data/v1/download/99/credit.arff": ARFF,
    }
    return answers.get(path)


class _OpenmlHandler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        answer = _openml_answer(self.path)
        self.send_response(412 if answer is None else 200)
        self.send_header("Content-Encoding", "gzip")
        self.end_headers()
        body = answer if isinstance(answer, bytes) else json.dumps(answer or {"error": "no such data set"}).encode()
        self.wfile.write(gzip.compress(body))

    def log_message(self, *_: object) -> None:
        """Stay silent."""


@pytest.fixture
def openml(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Serve OpenML's answers on this machine; return the addresses asked for."""
    from sklearn.datasets import _openml

    server = ThreadingHTTPServer(("127.0.0.1", 0), _OpenmlHandler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    asked: list[str] = []

    def redirected(request: Request) -> Any:
        asked.append(request.full_url)
        here = request.full_url.replace("https://www.openml.org", f"http://127.0.0.1:{server.server_port}")
        return urlopen(here)  # noqa: S310 - the server above

    monkeypatch.setattr(_openml, "urlopen", redirected)
    yield asked
    server.shutdown()
    thread.join()
    server.server_close()


def test_an_openml_data_set_is_fetched_once(settings: Settings, openml: list[str]) -> None:
    """A data set is fetched by id with its missing values and labels, and kept for the next time."""
    config = _config({"kind": "openml", "data_id": 99})
    rows = _stage(config, settings)
    assert rows.source == "OpenML data set 99"
    found = _table(rows)
    assert found["id"] == ["1", "2", "3"]
    assert found["income"] == [10.5, None, 7.0]
    assert found["region"] == ["north", "far south", None]
    assert found["owner"] == [True, False, True]
    assert found["default"] == ["0", "1", None]
    asked = len(openml)
    assert _stage(config, settings).fingerprint == rows.fingerprint
    assert len(openml) == asked
    assert (settings.var / "openml").is_dir()


def test_an_unknown_openml_id_says_so(settings: Settings, openml: list[str]) -> None:
    """An id that OpenML does not know is the caller's error."""
    with pytest.raises(SourceError, match=r"OpenML data set 98 cannot be fetched: .*data_id 98 not found"):
        _stage(_config({"kind": "openml", "data_id": 98}), settings)
    assert openml


def test_raw_rows_show_all_columns(settings: Settings) -> None:
    """Before the contract a CSV is text in every column, with its missing texts as NULL."""
    (settings.root / "rows.csv").write_text("a,b\n 1 ,NA\n,x\n")
    source: Any = TypeAdapter(Source).validate_python({"kind": "csv", "uri": "rows.csv", "missing": ["NA"]})
    with ingestion_engine(settings, settings.var) as connection:
        rows = raw_rows(connection, source, settings, settings.var)
        assert rows.columns == ["a", "b"]
        assert rows.fetchall() == [("1", None), (None, "x")]


SHARED: dict[str, dict[str, Any]] = {
    "default_credit_card_tw/UCI_Credit_Card.csv": {
        "target": "Y",
        "key": "ID",
        "features": {"numeric": [f"X{number}" for number in range(1, 24)]},
    },
    "default_credit_card_tw/ready.parquet": {
        "key": "ID",
        "features": {"numeric": ["LIMIT_BAL", "AGE"], "categorical": ["SEX", "EDUCATION", "MARRIAGE"]},
    },
    "bank_marketing/ready.parquet": {
        "time": "event_month",
        "features": {"numeric": ["age", "emp.var.rate", "nr.employed"], "categorical": ["job"], "boolean": ["housing"]},
    },
    "bike_sharing/hour.csv": {
        "target": "cnt",
        "task": "regression",
        "time": "dteday",
        "key": "instant",
        "features": {"numeric": ["temp", "hum"], "categorical": ["weathersit"], "boolean": ["holiday", "workingday"]},
    },
    "bike_sharing/ready.parquet": {
        "task": "regression",
        "time": "event_time",
        "features": {"numeric": ["temp"], "dates": ["dteday"]},
    },
    "online_shoppers/ready.parquet": {
        "features": {"numeric": ["BounceRates"], "categorical": ["Month", "Browser"], "boolean": ["Weekend"]}
    },
}
N_ROWS = {"default_credit_card_tw": 30_000, "bank_marketing": 41_188, "bike_sharing": 17_379, "online_shoppers": 12_330}


def _shared_config(source: dict[str, Any], declared: dict[str, Any]) -> ModelConfig:
    base: dict[str, Any] = {"target": "target", "key": None}
    if declared.get("task") == "regression":
        base |= {"positive": None, "gate": {"metric": "rmse", "floor": 1e9}}
    return _config(source, **base | declared)


@pytest.mark.parametrize("file", SHARED)
def test_real_data_is_staged(settings: Settings, file: str) -> None:
    """Real data sets stage under a plain contract."""
    folder, name = file.split("/")
    kind = "csv" if name.endswith("csv") else "parquet"
    uri = str(shared_data(folder) / name)
    missing = {"missing": ["", "unknown"]} if folder == "bank_marketing" else {}
    rows = _stage(_shared_config({"kind": kind, "uri": uri, **missing}, SHARED[file]), settings)
    assert rows.n_rows == N_ROWS[folder]


def test_a_file_inside_an_archive_is_read(settings: Settings) -> None:
    """A chained address reads a semicolon-delimited file out of a ZIP archive."""
    archive = shared_data("bank_marketing") / "bank-additional.zip"
    uri = f"zip://bank-additional/bank-additional-full.csv::{archive}"
    declared = {
        "target": "y",
        "positive": "yes",
        "features": {"numeric": ["age", "nr.employed"], "categorical": ["job"]},
    }
    rows = _stage(_shared_config({"kind": "csv", "uri": uri}, declared), settings)
    assert rows.n_rows == N_ROWS["bank_marketing"]


def test_real_rows_without_a_header_are_refused(settings: Settings) -> None:
    """A raw file that begins with a row is told from one that begins with names."""
    uri = str(shared_data("online_shoppers") / "online_shoppers_intention.csv")
    with pytest.raises(SourceError, match="expected column names, found what looks like a row"):
        _stage(_shared_config({"kind": "csv", "uri": uri}, SHARED["online_shoppers/ready.parquet"]), settings)


@pytest.mark.parametrize("name", ["rows.csv", "rows.csv.gz", "rows.parquet", "*.csv", "rows.db"])
def test_a_source_in_a_read_only_folder_is_read(settings: Settings, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Nothing is written beside it, not even for a moment."""
    folder = settings.root / "delivered"
    folder.mkdir()
    frame = credit_rows(30).assign(owner=True)
    frame.to_csv(folder / "rows.csv", index=False)
    frame.to_csv(folder / "rows.csv.gz", index=False)
    frame.to_parquet(folder / "rows.parquet")
    with sqlite3.connect(folder / "rows.db") as connection:
        frame.to_sql("applications", connection, index=False)
    connection.close()
    monkeypatch.setenv("CREDIT_DATABASE", f"sqlite:///{folder / 'rows.db'}")
    sources = {
        "csv": {"kind": "csv", "uri": f"delivered/{name}"},
        "parquet": {"kind": "parquet", "uri": f"delivered/{name}"},
        "db": {"kind": "sql", "uri_env": "CREDIT_DATABASE", "query": "SELECT * FROM applications"},
    }
    source = sources[name.removesuffix(".gz").rpartition(".")[2]]
    with read_only(folder):
        assert _stage(_config(source), settings).n_rows == 30


def test_a_database_that_cannot_be_read_only_is_told_how(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite writes beside a file in WAL mode, also to read it, unless the address says that the file never changes."""
    folder = settings.root / "delivered"
    folder.mkdir()
    connection = sqlite3.connect(folder / "rows.db")
    connection.execute("PRAGMA journal_mode = WAL")
    credit_rows(30).to_sql("applications", connection, index=False)
    connection.close()
    config = _config({"kind": "sql", "uri_env": "CREDIT_DATABASE", "query": "SELECT * FROM applications"})
    with read_only(folder):
        monkeypatch.setenv("CREDIT_DATABASE", f"sqlite:///{folder / 'rows.db'}")
        with pytest.raises(SourceError, match=r"has the address sqlite:///file:PATH\?immutable=1&uri=true"):
            _stage(config, settings)
        monkeypatch.setenv("CREDIT_DATABASE", f"sqlite:///file:{folder / 'rows.db'}?immutable=1&uri=true")
        assert _stage(config, settings).n_rows == 30
