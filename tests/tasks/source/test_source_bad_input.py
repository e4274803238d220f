"""What rows that cannot be read, or are not what the model file declares, are answered with."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from config.schema import ModelConfig
from config.settings import Settings
from core.errors import PerennialError, SchemaError, SourceError, SourceTooLargeError, StorageError
from tasks.source.stage import stage_rows
from tests.factories import credit_config, credit_rows

ROOT = Path(__file__).resolve().parents[3]
HEADER = "id,income,age,region,owner,default\n"
ROW = "7,10.5,30,north,true,0\n"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Return settings of a bare project folder."""
    return Settings(root=tmp_path, var=tmp_path / "var", memory_limit_mb=512)


def _csv(**parts: Any) -> ModelConfig:
    return credit_config(source=parts)


def _parquet(uri: str = "rows.parquet") -> ModelConfig:
    content = credit_config().model_dump(mode="json")
    return ModelConfig.model_validate(content | {"source": {"kind": "parquet", "uri": uri}})


def _refused(config: ModelConfig, settings: Settings, error: type[PerennialError], match: str) -> None:
    work = settings.var / "work"
    with pytest.raises(error, match=match) as caught:
        stage_rows(config, settings, work)
    assert type(caught.value) is error
    assert not work.exists() or list(work.iterdir()) == []


@pytest.mark.parametrize(
    ("content", "error", "match"),
    [
        (b"", SourceError, r"rows\.csv is empty"),
        (HEADER.encode(), SourceError, "rows.csv has no rows"),
        (f"{HEADER}{ROW}8,1,2\n{ROW}".encode(), SourceError, r"rows\.csv, line 3: expected 6 values .* found 3"),
        (f"{HEADER}{ROW}8,1,2,a,b,c,d\n".encode(), SourceError, r"rows\.csv, line 3: expected 6 values .* found 7"),
        (f'{HEADER}{ROW}8,1,2,"north,t,0\n'.encode(), SourceError, "line 3: a value starts with a double quote"),
        (f'{HEADER}{ROW}8,1,2,"no"rth,t,0\n'.encode(), SourceError, "line 3: "),
        (f"{HEADER}{ROW}".replace("\n", "\r\n").encode() + ROW.encode() * 2, SourceError, "end in different ways"),
        (f"{HEADER}8,1,2,Z\xfcrich,t,0\n".encode("latin-1"), SourceError, "line 2: not utf-8 .* cp1252 or utf-16"),
        (f"{HEADER}{ROW}".encode("utf-16"), SourceError, "line 1: not utf-8 text"),
        (
            f"{HEADER}{ROW}".encode("utf-16-le"),
            SourceError,
            "found zero bytes; if the file is UTF-16, set source.encoding",
        ),
        ((HEADER + ROW * 20_000).encode() + b"8,1,2,Z\xfcrich,t,0\n", SourceError, "line 20002: not utf-8 text"),
        (b"id,income,income,region,owner,default\n" + ROW.encode(), SchemaError, "same name .*: 'income'"),
        (ROW.encode() * 3, SourceError, "line 1: expected column names, found what looks like a row"),
        (b"PAR1\x15\x04\x15", SourceError, "is a Parquet file: set source.kind to parquet"),
        (b"PK\x03\x04\x14\x00", SourceError, "is a ZIP archive: let its name end in .zip"),
    ],
)
def test_csv_that_cannot_be_read_is_refused(
    settings: Settings, content: bytes, error: type[PerennialError], match: str
) -> None:
    """Each fault of a text file has its own message, with the file and where possible the line."""
    (settings.root / "rows.csv").write_bytes(content)
    _refused(_csv(), settings, error, match)


@pytest.mark.parametrize("encoding", ["utf-8", "cp1252", "latin-1", "shift_jis"])
@pytest.mark.parametrize("seed", range(3))
def test_bytes_that_are_no_text_are_called_so(settings: Settings, encoding: str, seed: int) -> None:
    """Another encoding is no advice for random bytes: they are no table."""
    (settings.root / "rows.csv").write_bytes(np.random.default_rng(seed).bytes(5_000))
    said = r"rows\.csv is not a table in text: \d+ of its first 5,000 bytes are control characters"
    _refused(_csv(encoding=encoding), settings, SourceError, said)


@pytest.mark.parametrize("bad", ["\x00", "\x01", "\x08", "\x1b", "\x7f"])
@pytest.mark.parametrize("column", ["id", "region", "default"])
@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_control_character_in_a_text_is_refused(settings: Settings, bad: str, column: str, kind: str) -> None:
    """Keys, categories and labels are texts; the message names the column, the row and the cell with an escape."""
    rows = credit_rows(20).astype({"default": "str"})
    rows.loc[4, column] = f"Z{bad}rich"
    if kind == "csv":
        rows.to_csv(settings.root / "rows.csv", index=False)
    else:
        rows.to_parquet(settings.root / "rows.parquet")
    source = _csv() if kind == "csv" else _parquet()
    shown = re.escape(repr(f"Z{bad}rich"))
    found = rf"column '{column}': expected text, found 1 other value \({shown}\), first in row 5"
    _refused(source, settings, SchemaError, found)


def test_texts_with_white_space_and_ignored_texts_are_stored(settings: Settings) -> None:
    """Tabs and line ends are text; a column that no model uses may contain anything."""
    rows = credit_rows(20).assign(note="a\x00b")
    rows.loc[4, "region"] = "a\tb\nc\x0bd"
    rows.to_csv(settings.root / "rows.csv", index=False)
    config = credit_config(features={"ignored": ["note"]})
    assert stage_rows(config, settings, settings.var / "work" / "run").n_rows == 20


def test_a_parquet_source_that_is_something_else_is_named(settings: Settings) -> None:
    """The first bytes say what it is; a damaged Parquet file stays one."""
    path = settings.root / "rows.parquet"
    path.write_bytes(b"<!DOCTYPE html><html></html>")
    _refused(_parquet(), settings, SourceError, r"rows\.parquet is a web page")
    path.write_bytes(b"PAR1\x15\x04\x15")
    _refused(_parquet(), settings, SourceError, "is truncated or not a Parquet file")


def test_a_declared_encoding_that_is_wrong_is_refused(settings: Settings) -> None:
    """Text that is not in the declared encoding is told with the line."""
    (settings.root / "rows.csv").write_bytes((HEADER + ROW).encode("utf-8"))
    _refused(_csv(encoding="utf-16"), settings, SourceError, "not utf-16 text")


@pytest.mark.parametrize("names", [("a.csv", "b.csv"), ()])
def test_an_archive_of_several_files_is_refused(settings: Settings, names: tuple[str, ...]) -> None:
    """Only the first would be read."""
    with zipfile.ZipFile(settings.root / "rows.csv.zip", "w") as archive:
        for name in names:
            archive.writestr(name, credit_rows(4).to_csv(index=False))
    _refused(_csv(uri="rows.csv.zip"), settings, SourceError, f"rows.csv.zip holds {len(names)} files; expected one")


def test_a_damaged_archive_is_refused(settings: Settings) -> None:
    """A compressed file that ends early or is no such archive is the caller's error."""
    for content in (b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\x4b", b"plain"):
        (settings.root / "rows.csv.gz").write_bytes(content)
        _refused(_csv(uri="rows.csv.gz"), settings, SourceError, r"rows\.csv\.gz cannot be read")


@pytest.mark.parametrize("uri", ["none.csv", "none-*.csv", "folder", "memory://none/x.csv", "memory://none/*.csv"])
def test_a_missing_file_is_named(settings: Settings, uri: str) -> None:
    """No file, no match and no file in a folder say what was looked for."""
    (settings.root / "folder").mkdir()
    _refused(_csv(uri=uri), settings, SourceError, f"no file .*{uri.removeprefix('none')[:4].replace('*', '.')}")


@pytest.mark.parametrize(
    ("uri", "match"),
    [("nowhere://bucket/x.csv", "Protocol not known: nowhere"), ("gs://bucket/x.csv", "not installed")],
)
def test_an_address_without_a_driver_is_refused(settings: Settings, uri: str, match: str) -> None:
    """A scheme nobody knows and one whose package is missing say so."""
    _refused(_csv(uri=uri), settings, SourceError, match)


def test_files_of_one_source_need_the_same_columns(settings: Settings) -> None:
    """The first file that differs is named, with what it lacks and adds."""
    (settings.root / "a.csv").write_text(HEADER + ROW)
    (settings.root / "b.csv").write_text(HEADER.replace("age", "years") + ROW)
    _refused(_csv(uri="*.csv"), settings, SchemaError, r"b\.csv has other columns .* lacks \['age'\] and adds \['years")


def test_rows_above_the_cap_are_refused_while_streaming(settings: Settings) -> None:
    """Nothing but reading tells how long a CSV is; reading stops at the cap."""
    credit_rows(30).to_csv(settings.root / "rows.csv", index=False)
    capped = settings.model_copy(update={"max_rows": 29})
    _refused(_csv(), capped, SourceTooLargeError, r"rows\.csv has 30 rows or more, the limit is 29")


def test_a_footer_above_the_cap_is_refused_unread(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """The announced rows of all files of a Parquet source are added up before any is read."""
    for name in "ab":
        credit_rows(20).to_parquet(settings.root / f"{name}.parquet")
    capped = settings.model_copy(update={"max_rows": 39})
    monkeypatch.setattr("tasks.source.read._parquet_rows", lambda *_: pytest.fail("the rows were read"))
    _refused(_parquet("*.parquet"), capped, SourceTooLargeError, "has 40 rows, the limit is 39")


@pytest.mark.parametrize(
    ("damage", "match"),
    [
        (lambda content: content[:200], "truncated or not a Parquet file"),
        (lambda content: content[:-200], "truncated or not a Parquet file"),
        (lambda _: b"id,income\n1,2\n", "truncated or not a Parquet file"),
        (lambda _: b"", "truncated or not a Parquet file"),
        (lambda content: content[:4] + bytes(400) + content[404:], "cannot be read"),
    ],
)
def test_damaged_parquet_is_refused(settings: Settings, damage: Callable[[bytes], bytes], match: str) -> None:
    """A file cut at either end, of another format, or with a hole is the caller's error."""
    path = settings.root / "rows.parquet"
    credit_rows(200).to_parquet(path)
    path.write_bytes(damage(path.read_bytes()))
    _refused(_parquet(), settings, SourceError, match)


def test_repeated_parquet_columns_are_refused(settings: Settings) -> None:
    """Columns that differ in case only would be one for every engine behind."""
    frame = credit_rows(5)
    pq.write_table(pa.Table.from_pandas(frame.assign(AGE=1)), settings.root / "rows.parquet")
    _refused(_parquet(), settings, SchemaError, "same name .*: 'age', 'AGE'")


@pytest.mark.parametrize(
    ("column", "values", "match"),
    [
        ("income", [[1.0]] * 4, r"column 'income': the model file declares a number, the source has DOUBLE\[\] values"),
        ("owner", [[True]] * 4, r"column 'owner': the model file declares true or false, the source has BOOLEAN\[\]"),
        ("region", [[1, 2]] * 4, r"column 'region': the model file declares text, the source has BIGINT\[\] values"),
        (
            "region",
            [{"a": 1}] * 4,
            r"column 'region': the model file declares text, the source has STRUCT\(.*\) values",
        ),
        (
            "income",
            pd.date_range("2024-01-01", periods=4),
            "column 'income': the model file declares a number, the source has TIMESTAMP",
        ),
        (
            "owner",
            pd.date_range("2024-01-01", periods=4),
            "column 'owner': the model file declares true or false, the source has TIMESTAMP",
        ),
    ],
)
def test_types_that_cannot_hold_what_is_declared_are_refused(
    settings: Settings, column: str, values: Any, match: str
) -> None:
    """A typed column of another kind is refused before a row is read."""
    frame = credit_rows(4)
    frame[column] = pd.Series(list(values))
    frame.to_parquet(settings.root / "rows.parquet")
    _refused(_parquet(), settings, SchemaError, match)


def test_a_missing_column_is_told_with_the_closest(settings: Settings) -> None:
    """A misspelt target is told with the name that was probably meant."""
    credit_rows(5).rename(columns={"default": "Default"}).to_csv(settings.root / "rows.csv", index=False)
    _refused(_csv(), settings, SchemaError, r"rows\.csv: .*'default' \(closest: 'Default'\); found: 'id', 'income'")


def test_values_of_another_kind_are_listed(settings: Settings) -> None:
    """Count, examples, first row and advice are given for every column at fault, from one reading."""
    frame = credit_rows(30).astype(object)
    frame.loc[[4, 9, 11, 12], "income"] = ["n/k", "12 EUR", "n/k", "1,5"]
    frame.loc[20, "age"] = "inf"
    frame.loc[7, "owner"] = "perhaps"
    frame.to_csv(settings.root / "rows.csv", index=False)
    with pytest.raises(SchemaError) as caught:
        stage_rows(_csv(), settings, settings.var / "work")
    message = str(caught.value)
    assert (
        "column 'income': expected a number, found 4 other values ('n/k', '12 EUR', '1,5'), first in row 5; " in message
    )
    assert "add the text to source.missing if it means no value" in message
    assert "column 'age': expected a number, found 1 other value ('inf'), first in row 21; a model cannot" in message
    assert "cannot be trained on infinite values" in message
    assert "column 'owner': expected true or false, found 1 other value ('perhaps'), first in row 8" in message


def test_infinite_numbers_are_refused(settings: Settings) -> None:
    """Infinities of a Parquet file are counted; not-a-number is merely missing."""
    frame = credit_rows(30)
    frame.loc[[3, 5], "income"] = [np.inf, -np.inf]
    frame.loc[4, "income"] = np.nan
    frame.to_parquet(settings.root / "rows.parquet")
    _refused(_parquet(), settings, SchemaError, r"found 2 other values \('inf', '-inf'\), first in row 4")


def test_dates_of_another_form_are_refused(settings: Settings) -> None:
    """A date whose day and month could be swapped is not guessed at."""
    credit_rows(5).assign(applied="03/04/2024").to_csv(settings.root / "rows.csv", index=False)
    config = credit_config(time="applied")
    _refused(
        config, settings, SchemaError, "'applied': expected a date, found 5 other values .* write dates as 2024-12-31"
    )


@pytest.mark.parametrize(
    ("column", "match"),
    [
        ("income", "no value in any row of column 'income'.* move it to features.ignored"),
        ("owner", "no value in any row of column 'owner'"),
        ("default", "target 'default' has no value in any row, and a model's first rows need labels"),
        ("id", r"column 'id' \(the key\) has no value"),
    ],
)
@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_column_without_any_value_is_refused(settings: Settings, kind: str, column: str, match: str) -> None:
    """A feature, the key or the target that holds nothing is refused in either format."""
    frame = credit_rows(5)
    frame[column] = None
    frame.to_csv(settings.root / "rows.csv", index=False)
    frame.to_parquet(settings.root / "rows.parquet")
    _refused(_csv() if kind == "csv" else _parquet(), settings, SchemaError, match)


@pytest.mark.parametrize(("task", "kind"), [("binary", "VARCHAR"), ("regression", "DOUBLE")])
@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_later_rows_may_all_lack_their_label(settings: Settings, form: str, task: str, kind: str) -> None:
    """The target keeps the contract's type, whatever an empty column looks like in the source."""
    frame = credit_rows(5).assign(default=None)
    frame.to_csv(settings.root / "rows.csv", index=False)
    frame.to_parquet(settings.root / "rows.parquet")
    config = (_csv() if form == "csv" else _parquet()).model_copy(update={"task": task})
    staged = stage_rows(config, settings, settings.var / "work", needs_labels=False)
    table = pq.read_table(staged.path)
    assert table.schema.field("default").type == {"VARCHAR": pa.string(), "DOUBLE": pa.float64()}[kind]
    assert table["default"].null_count == staged.n_rows == 5


def test_an_earlier_result_survives_a_refused_source(settings: Settings) -> None:
    """A failure replaces nothing: the last staged file stays as it was."""
    credit_rows(20).to_csv(settings.root / "rows.csv", index=False)
    staged = stage_rows(_csv(), settings, settings.var / "work").path
    before = staged.read_bytes()
    (settings.root / "rows.csv").write_text(HEADER + ROW + "8,1\n")
    with pytest.raises(SourceError):
        stage_rows(_csv(), settings, settings.var / "work")
    assert [path.name for path in staged.parent.iterdir()] == [staged.name]
    assert staged.read_bytes() == before


LIMITED = """
import resource, sys
from pathlib import Path
from config.settings import Settings
from core.errors import StorageError
from tasks.source.stage import stage_rows
from tests.factories import credit_config
root = Path(sys.argv[1])
settings = Settings(root=root, var=root / "var")
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    stage_rows(credit_config(source={"uri": sys.argv[2], "encoding": sys.argv[3]}), settings, root / "var" / "work")
except StorageError as error:
    print(error)
print(sorted(path.name for path in (root / "var" / "work").iterdir()))
"""


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_a_full_disk_leaves_nothing_behind(tmp_path: Path, encoding: str) -> None:
    """When no more can be written, be it the staged file or a copy, the error says so and no part of it remains."""
    credit_rows(30_000).to_csv(tmp_path / "rows.csv", index=False)
    answer = subprocess.run(
        [sys.executable, "-c", LIMITED, str(tmp_path), "rows.csv", encoding],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    path = tmp_path / "var" / "work"
    assert re.match(rf"{re.escape(str(path))}/\S+: .*File too large", answer.stdout)
    assert "run the same command again" in answer.stdout
    assert answer.stdout.splitlines()[-1] == "[]"


def _mutated(content: bytes, random: Random) -> bytes:
    mutant = bytearray(content)
    for _ in range(random.choice([1, 1, 2, 5, 20])):
        # The ends hold what matters most: the line of names, and a Parquet file's footer.
        where = random.choice([random.randrange(len(mutant)), random.randrange(len(mutant)) // 50])
        place = random.choice([where, len(mutant) - 1 - where])
        match random.randrange(4):
            case 0:
                mutant[place] = random.randrange(256)
            case 1:
                mutant[place] ^= 1 << random.randrange(8)
            case 2:
                mutant[place:place] = random.randbytes(random.randrange(1, 20))
            case 3 if len(mutant) > 100:
                del mutant[place : place + random.randrange(1, 40)]
    return bytes(mutant)


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_mutated_files_never_surprise(settings: Settings, kind: str) -> None:
    """Each of 100 damaged files is either staged or refused with a reason, and leaves nothing behind."""
    random = Random(kind)  # noqa: S311 - not a secret
    path = settings.root / f"rows.{kind}"
    frame = credit_rows(60)
    frame.to_csv(path, index=False) if kind == "csv" else frame.to_parquet(path, row_group_size=20)
    content = path.read_bytes()
    config = _csv() if kind == "csv" else _parquet()
    refused = 0
    for _ in range(100):
        path.write_bytes(_mutated(content, random))
        try:
            stage_rows(config, settings, settings.var / "work").path.unlink()
        except (SourceError, StorageError):
            refused += 1
        assert list((settings.var / "work").iterdir()) == []
    assert refused > 50
