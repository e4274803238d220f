"""Inputs of every kind: the same rows have the same answers; what cannot be read leaves nothing behind."""

from __future__ import annotations

import gzip
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from core.errors import ConfigError, ModelNotFoundError, SchemaError, SourceError, UserError
from tests.tasks.score.scoring import Scored, rows_to_score

pytestmark = [
    # skl2onnx 1.20 and MLflow 3.17 use names that NumPy 2 and pandas 3 deprecate: their warnings, not ours.
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::pandas.errors.Pandas4Warning"),
]

FRAME = rows_to_score(90)
ANSWERS = ["probability_0", "probability_1"]


def _csv(folder: Path) -> str:
    FRAME.to_csv(folder / "rows.csv", index=False)
    return "rows.csv"


def _compressed(folder: Path) -> str:
    (folder / "rows.csv.gz").write_bytes(gzip.compress(FRAME.to_csv(index=False, sep=";").encode()))
    return "rows.csv.gz"


def _folder(folder: Path) -> str:
    (folder / "rows").mkdir()
    for number in range(3):
        FRAME.iloc[30 * number : 30 * number + 30].to_parquet(folder / "rows" / f"{number}.parquet", index=False)
    return "rows"


def _glob(folder: Path) -> str:
    for number in range(3):
        FRAME.iloc[30 * number : 30 * number + 30].to_csv(folder / f"rows-{number}.csv", index=False)
    return "rows-*.csv"


def _remote(folder: Path) -> str:
    import fsspec

    FRAME.to_parquet(folder / "rows.parquet", index=False)
    fsspec.filesystem("memory").pipe_file("/scoring/rows.parquet", (folder / "rows.parquet").read_bytes())
    return "memory://scoring/rows.parquet"


def _texts(folder: Path) -> str:
    texts = FRAME.assign(income=FRAME["income"].map(lambda number: f" {number} ", na_action="ignore"))
    texts.astype({"age": "string", "owner": "string"}).to_parquet(folder / "rows.parquet", index=False)
    return "rows.parquet"


def _bytes(folder: Path) -> str:
    table = pa.Table.from_pandas(FRAME, preserve_index=False)
    coded = table.set_column(table.schema.get_field_index("region"), "region", table["region"].cast(pa.binary()))
    pq.write_table(coded, folder / "rows.parquet")
    return "rows.parquet"


def _other_types(folder: Path) -> str:
    frame = FRAME.assign(region=FRAME["region"].astype("category"), age=FRAME["age"].astype("int16"))
    frame.astype({"income": "float32"}).astype({"income": "float64"}).to_parquet(folder / "rows.parquet", index=False)
    return "rows.parquet"


def _table(folder: Path) -> str:
    with sqlite3.connect(folder / "rows.db") as connection:
        FRAME.sample(frac=1, random_state=1).to_sql("applications", connection, index=False)
    connection.close()
    return "sql:APPLICATIONS/applications"


@pytest.mark.parametrize(
    "given",
    [_csv, _compressed, _folder, _glob, _remote, _texts, _bytes, _other_types, _table],
    ids=lambda one: one.__name__,
)
def test_the_same_rows_have_the_same_answers(
    champion: Scored, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: Callable[[Path], str]
) -> None:
    """Whatever holds them and in whatever types: files, folders, globs, addresses, tables."""
    monkeypatch.setenv("APPLICATIONS", f"sqlite:///{tmp_path / 'rows.db'}")
    address = given(tmp_path)
    whole = address if ":" in address else tmp_path / address
    outcome = champion.score(whole, tmp_path / "scores.parquet")
    assert (outcome.n_rows, outcome.n_set_aside) == (90, 0)
    found = pq.read_table(tmp_path / "scores.parquet").to_pandas()
    expected = FRAME.sort_values("id") if given is _table else FRAME
    assert found["id"].tolist() == expected["id"].tolist()
    if given is not _other_types:  # a float32 is another number
        assert found[ANSWERS].to_numpy().tolist() == champion.served(expected)
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def _damaged(folder: Path) -> None:
    FRAME.to_parquet(folder / "rows.parquet")
    content = bytearray((folder / "rows.parquet").read_bytes())
    content[200:900] = b"\xff" * 700
    (folder / "rows.parquet").write_bytes(content)


def _lists(folder: Path) -> None:
    table = pa.Table.from_pandas(FRAME.drop(columns="income"), preserve_index=False)
    pq.write_table(table.append_column("income", pa.array([[1.0]] * 90)), folder / "rows.parquet")


@pytest.mark.parametrize(
    ("make", "rows", "error", "match"),
    [
        (None, "rows.parquet", SourceError, "no file .*rows.parquet. Expected"),
        (
            lambda folder: (folder / "rows.parquet").write_bytes(b"PAR1 and no more"),
            "rows.parquet",
            SourceError,
            "truncated",
        ),
        (_damaged, "rows.parquet", SourceError, "cannot be read"),
        (lambda folder: FRAME.iloc[:0].to_parquet(folder / "rows.parquet"), "rows.parquet", SourceError, "has no rows"),
        (
            lambda folder: FRAME.iloc[:0].to_csv(folder / "rows.csv", index=False),
            "rows.csv",
            SourceError,
            "has no rows",
        ),
        (
            lambda folder: FRAME.rename(columns={"income": "Income"}).to_parquet(folder / "rows.parquet"),
            "rows.parquet",
            SchemaError,
            "lacks columns that the model needs: 'income'",
        ),
        (_lists, "rows.parquet", SchemaError, r"declares a number, the input has DOUBLE\[\] values"),
        (lambda folder: (folder / "rows.csv").write_text("id,income\n1,2,3\n"), "rows.csv", UserError, "lacks columns"),
        (None, "sql:NO_SUCH_VARIABLE/rows", ConfigError, "NO_SUCH_VARIABLE is not set"),
        (None, "sql:lower/rows", ConfigError, "expected sql:VARIABLE/table"),
    ],
)
def test_bad_input_leaves_nothing_behind(
    champion: Scored,
    tmp_path: Path,
    make: Callable[[Path], object] | None,
    rows: str,
    error: type[UserError],
    match: str,
) -> None:
    """A typed error says what is wrong; neither an output nor a working folder is there afterwards."""
    if make is not None:
        make(tmp_path)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(error, match=match):
        champion.score(rows if ":" in rows else tmp_path / rows, tmp_path / "scores.parquet")
    assert sorted(tmp_path.iterdir()) == before


def test_requests_that_cannot_be_met_are_refused_first(champion: Scored, tmp_path: Path) -> None:
    """Before a row is read: other endings, a folder that is not there, a time that is none, an unknown version."""
    FRAME.to_parquet(tmp_path / "rows.parquet")
    rows = tmp_path / "rows.parquet"
    with pytest.raises(ConfigError, match=r"ends in \.parquet or \.csv"):
        champion.score(rows, tmp_path / "scores.xlsx")
    with pytest.raises(ConfigError, match="does not exist; create it"):
        champion.score(rows, tmp_path / "nowhere" / "scores.parquet")
    with pytest.raises(ConfigError, match="--at expects a time"):
        champion.score(rows, tmp_path / "scores.parquet", at="yesterday")
    with pytest.raises(ModelNotFoundError, match="no version 9"):
        champion.score(rows, tmp_path / "scores.parquet", version=9)
    with pytest.raises(ConfigError, match="a folder elsewhere cannot appear at once"):
        champion.score(rows, "memory://scoring/scores")
    assert [path.name for path in tmp_path.iterdir()] == ["rows.parquet"]
