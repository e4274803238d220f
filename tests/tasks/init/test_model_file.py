from __future__ import annotations

import errno
import gzip
import json
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from config.load import schema_path
from config.settings import PACKAGES, Settings
from core.errors import ConfigError, PerennialError, SchemaError, SourceError
from core.references import ValidationResult
from tasks.init.model_file import InitResult, init_model
from tasks.source.stage import stage_rows
from tasks.validation.validate import validate_rows
from tests.factories import make_project, shared_data

N = 600


@pytest.fixture
def project(tmp_path: Path) -> Settings:
    """Make an empty project."""
    return make_project(tmp_path)


def mixed_rows() -> pd.DataFrame:
    """Rows with every kind of column, blanks and markers."""
    rng = np.random.default_rng(1)
    income = rng.normal(3000, 800, N).round(2)
    age = rng.integers(18, 80, N).astype(str).astype(object)
    age[::50] = "?"
    frame = pd.DataFrame(
        {
            "row": np.arange(N) + 17,
            "customer": [f"C-{i:06d}" for i in range(N)],
            "age": age,
            "income": np.where(rng.random(N) < 0.1, "  ", income.astype(str)),
            "region": rng.choice(["north", "south", "unknown"], N),
            "owner": rng.choice(["Yes", "No"], N),
            "opened": pd.date_range("2024-01-01", periods=N, freq="6h").strftime("%Y-%m-%d %H:%M"),
            "born": pd.date_range("1950-01-01", periods=N, freq="9D").strftime("%d/%m/%Y"),
            "constant": "EUR",
            "empty": "",
            "note": [f"called on day {i} about something long enough to be a text" for i in range(N)],
        }
    )
    frame["churned"] = np.where((income < 2500) ^ (rng.random(N) < 0.1), 1.0, 0.0)
    frame["closed_reason"] = np.where(frame["churned"] == 1, rng.choice(["price", "moved"], N), "")
    return frame


def written(frame: pd.DataFrame, settings: Settings, name: str = "rows.csv") -> str:
    """Write rows into the project and return their path."""
    path = settings.root / name
    frame.to_parquet(path) if name.endswith("parquet") else frame.to_csv(path, index=False)
    return str(path)


def kinds(result: InitResult) -> dict[str, str]:
    """Kind of each column."""
    features = result.config.features
    return {name: kind for kind in type(features).model_fields for name in getattr(features, kind)}


def reason(result: InitResult, name: str) -> str:
    """Comment beside a column in the model file."""
    lines = [line for line in result.paths[0].read_text().splitlines() if "# " in line]
    return next(line for line in lines if line.strip().strip("-' ").startswith(name)).split("# ", 1)[1]


def left_behind(settings: Settings) -> list[Path]:
    """Files under config/ and the work folder."""
    found = [*(settings.root / "config").rglob("*"), *(settings.var / "work").rglob("*")]
    return [path for path in found if path.is_file()]


@pytest.mark.parametrize("name", ["Mixed Rows.csv", "mixed_rows.parquet"])
def test_a_model_file_and_a_suite_are_inferred(name: str, project: Settings) -> None:
    """Kinds, markers, leaks and reasons, from text as from typed columns."""
    result = init_model(written(mixed_rows(), project, name), "churned", project)
    assert result.model == "mixed_rows"
    assert kinds(result) == {
        "age": "numeric",
        "income": "numeric",
        "region": "categorical",
        "owner": "boolean",
        "opened": "dates",
        "row": "ignored",
        "customer": "ignored",
        "born": "dates",
        "constant": "ignored",
        "empty": "ignored",
        "note": "ignored",
        "closed_reason": "ignored",
    }
    assert (result.config.task, result.config.positive) == ("binary", "1")
    assert result.config.source.missing == ("", "?")
    assert result.config.source.model_dump()["uri"] == name
    assert "written as %d/%m/%Y" in reason(result, "born")
    assert "leaks the target" in reason(result, "closed_reason")
    assert [path.exists() for path in result.paths] == [True, True, True]
    assert json.loads(result.paths[1].read_text())["name"] == "mixed_rows"


def test_the_first_line_leads_editors_to_a_schema_in_the_project(project: Settings) -> None:
    """The path in it, from the model file's folder, is a copy of the schema that the package publishes."""
    result = init_model(written(mixed_rows(), project), "churned", project)
    first = result.paths[0].read_text().splitlines()[0]
    found = result.paths[0].parent / first.removeprefix("# yaml-language-server: $schema=")
    assert found.resolve() == result.paths[2].resolve()
    assert found.read_bytes() == schema_path(PACKAGES).read_bytes()


def test_time_and_key_take_their_parts(project: Settings) -> None:
    """Neither is a feature; the key's uniqueness is found out; the baseline is that of the newest rows."""
    frame = mixed_rows().assign(amount=np.arange(N) ** 1.5)
    data = written(frame, project)
    result = init_model(data, "amount", project, time="opened", key="customer")
    config = result.config
    assert (config.time, config.key, config.key_is_unique, config.task) == ("opened", "customer", True, "regression")
    assert {"opened", "customer", "amount"}.isdisjoint(kinds(result))
    mean = frame["amount"][:480].mean()
    assert config.gate.floor == pytest.approx(np.sqrt(((frame["amount"][480:] - mean) ** 2).mean()), rel=0.01)
    repeating = init_model(data, "amount", project, key="region", force=True)
    assert not repeating.config.key_is_unique
    assert any("repeats" in note for note in repeating.notes)


def test_long_identifiers_stay_apart(project: Settings) -> None:
    """Numbers of 18 digits are equal as floating point numbers, and still different keys."""
    frame = mixed_rows().assign(iban=[10**17 + i for i in range(N)])
    result = init_model(written(frame, project, "rows.parquet"), "churned", project, key="iban")
    assert result.config.key_is_unique


def test_hostile_column_names_read_back(project: Settings) -> None:
    """Quotes, markup, line breaks and emojis are names like others; what no model file can name is left out."""
    names = [
        '"quoted"',
        "it's",
        "a: b # c",
        "*star",
        "<script>alert(1)</script>",
        "line\nbreak",
        "😀",
        "yes",
        "x" * 10_000,
    ]
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({name: rng.normal(size=N).round(3) for name in names}).assign(y=rng.normal(size=N))
    result = init_model(written(frame, project), "y", project)
    assert list(kinds(result)) == names[:-1]


def test_an_existing_model_is_only_replaced_by_force(project: Settings) -> None:
    """And then by the same files."""
    data = written(mixed_rows(), project)
    first = init_model(data, "churned", project, name="churn")
    before = [path.read_text() for path in first.paths]
    with pytest.raises(ConfigError, match=r"'churn' exists .* another --name, or --force"):
        init_model(data, "churned", project, name="churn")
    again = init_model(data, "churned", project, name="churn", force=True)
    assert [path.read_text() for path in again.paths] == before
    assert sorted(left_behind(project)) == sorted(first.paths)


def test_a_file_outside_of_the_project_is_named_absolutely(project: Settings, tmp_path: Path) -> None:
    """Paths on the command line are relative to the working directory, in the model file to the project."""
    mixed_rows().to_csv(tmp_path / "rows.csv", index=False)
    result = init_model(str(tmp_path / "rows.csv"), "churned", project)
    assert result.config.source.model_dump()["uri"] == str(tmp_path / "rows.csv")


def test_text_that_is_not_utf_8_is_recognised(project: Settings) -> None:
    """The encoding goes into the model file, and a word of the text shows whether it is right."""
    path = project.root / "rows.csv"
    path.write_bytes(mixed_rows().replace("north", "Süd").to_csv(index=False, sep=";").encode("cp1252"))
    result = init_model(str(path), "churned", project)
    assert result.config.source.model_dump()["encoding"] == "cp1252"
    assert "look: the text is not UTF-8 and was read as cp1252, for example 'Süd'" in result.notes
    assert any(
        "Süd" in item["kwargs"].get("value_set", []) for item in json.loads(result.paths[1].read_text())["expectations"]
    )


@pytest.mark.parametrize(
    ("change", "options", "error", "message"),
    [
        ({}, {"target": "chruned"}, ConfigError, "did you mean 'churned'"),
        ({}, {"target": "constant"}, SchemaError, "constant"),
        ({}, {"target": "empty"}, SchemaError, "no value"),
        ({}, {"target": "customer"}, SchemaError, "600 different texts"),
        ({"churned": ["a"] + ["b"] * (N - 1)}, {}, SchemaError, "only one row"),
        ({}, {"time": "when"}, ConfigError, "--time 'when': no such column"),
        (
            {"born": [f"0{1 + place % 9}/04/1950" for place in range(N)]},
            {"time": "born"},
            ConfigError,
            "--time 'born' has dates with day or month first",
        ),
        ({}, {"key": "churned"}, ConfigError, "must name different columns"),
        ({}, {"name": "Not A Name"}, ConfigError, "--name"),
        ({"age": [np.inf] + [1.5] * (N - 1)}, {}, SchemaError, "'age' must be finite, found infinite values in 1 row"),
    ],
)
def test_wrong_input_is_named_and_nothing_is_written(
    change: dict[str, Any],
    options: dict[str, Any],
    error: type[PerennialError],
    message: str,
    project: Settings,
) -> None:
    """Each message says what was expected, what was found and what to do."""
    data = written(mixed_rows().assign(**change), project)
    with pytest.raises(error, match=message) as raised:
        init_model(data, **{"target": "churned", **options}, settings=project)
    assert raised.value.exit_code == 2
    assert left_behind(project) == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a,b\n", "found only a header"),
        ("a,b\n1,2\n3\n", "line 3"),
        ("a,a\n1,2\n", "same name"),
        ("", "empty"),
    ],
)
def test_unreadable_files_are_refused(content: str, message: str, project: Settings) -> None:
    """No rows, ragged rows, repeated names, nothing at all."""
    (project.root / "rows.csv").write_text(content)
    with pytest.raises((SourceError, SchemaError), match=message):
        init_model(str(project.root / "rows.csv"), "b", project)
    assert left_behind(project) == []


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("rows.RDS", gzip.compress(b"X\n\x00\x00\x00\x03\x00", mtime=0), "is R's own format .*write.csv"),
        ("rows.csv", b"PK\x03\x04\x14\x00\x06\x00[Content_Types].xml", "is an Excel workbook: save the table as CSV"),
        ("rows.arff", b"@relation r\n@attribute a numeric\n@data\n1\n", "is an ARFF file"),
        ("rows.csv", gzip.compress(b"a,b\n1,2\n", mtime=0), "is compressed by gzip: let its name end in .gz"),
        ("rows.csv.gz", b"a,b\n1,2\n", "cannot be read: Not a gzipped file"),
        ("rows.csv.gz", gzip.compress(b'[{"a": 1}]', mtime=0), "is JSON"),
        ("rows.parquet", b"<!doctype html><html>", "is a web page"),
        ("rows.sas7bdat", b"\0" * 12 + b"\xc2\xea\x81\x60", "is a SAS data set"),
    ],
)
def test_a_file_of_another_format_is_named(name: str, content: bytes, message: str, project: Settings) -> None:
    """By its first bytes, whatever its name says, with what to do."""
    (project.root / name).write_bytes(content)
    with pytest.raises(SourceError, match=f"{name} {message}"):
        init_model(str(project.root / name), "b", project)


def test_the_suite_passes_its_own_rows_and_stops_broken_ones(project: Settings, tmp_path: Path) -> None:
    """Staged and validated as a training does; hostile names, impossible numbers and a changed coding included."""
    frame = mixed_rows().assign(**{"<b>'\"; drop\nat": np.arange(N) % 7})
    result = init_model(written(frame, project), "churned", project, time="opened", key="customer")
    verdict = validated(result, project, tmp_path / "same")
    assert (verdict.accepted, verdict.n_quarantined) == (True, 0)
    assert len(verdict.outcomes) == len(json.loads(result.paths[1].read_text())["expectations"])
    assert all(outcome.passed for outcome in verdict.outcomes)
    written(frame.assign(churned=["3.0"] * 3 + list(frame["churned"][3:].astype(str))), project)
    assert validated(result, project, tmp_path / "labels").n_quarantined == 3
    written(frame.assign(region=frame["region"].str.upper()), project)
    assert not validated(result, project, tmp_path / "recoded").accepted


def test_a_raised_fee_is_reported_and_blocks_no_month(project: Settings, tmp_path: Path) -> None:
    """Out of the inferred range is a warning; only a person who sets the level to ``row`` sets such rows aside."""
    rng = np.random.default_rng(2)
    frame = mixed_rows()[["income", "churned"]].assign(fee=rng.choice([0.1, 0.2, 0.3], N))
    result = init_model(written(frame, project), "churned", project)
    month = frame.assign(fee=np.where(rng.random(N) < 0.95, 1.0, 0.3))
    written(month, project)
    verdict = validated(result, project, tmp_path / "month")
    assert (verdict.accepted, verdict.n_quarantined) == (True, 0)
    assert any(reason.startswith("warning: fee must be between") for reason in verdict.reasons)
    suite = json.loads(result.paths[1].read_text())
    for item in suite["expectations"]:
        if item["type"] == "expect_column_values_to_be_between":
            item["meta"]["level"] = "row"
    result.paths[1].write_text(json.dumps(suite))
    assert not validated(result, project, tmp_path / "strict").accepted


def validated(result: InitResult, settings: Settings, work: Path) -> ValidationResult:
    """Stage and validate what the model file's source holds now."""
    return validate_rows(stage_rows(result.config, settings, work), result.config, settings, work)


def test_a_missing_file_is_named_with_its_neighbours(project: Settings) -> None:
    """A typing error costs one look."""
    written(mixed_rows(), project, "customers.csv")
    with pytest.raises(SourceError, match=r"no file .*custmers.csv; did you mean customers.csv"):
        init_model(str(project.root / "custmers.csv"), "churned", project)


def test_only_identifiers_and_constants_are_no_features(project: Settings) -> None:
    """The message lists why each column was left out."""
    data = written(mixed_rows()[["row", "constant", "churned"]], project)
    with pytest.raises(SchemaError, match=r"no column is left .*'row': a row number.*'constant': the same value"):
        init_model(data, "churned", project)


def test_bike_rentals(project: Settings) -> None:
    """The parts of the target and the row number are left out, the newest rows judge."""
    result = init_model(str(shared_data("bike_sharing") / "hour.csv"), "cnt", project, time="dteday", name="bike")
    assert result.config.task == "regression"
    assert result.config.features.ignored == ("instant", "casual", "registered")
    assert "add up to the target" in reason(result, "casual")
    assert result.config.features.boolean == ("yr", "holiday", "workingday")
    assert result.config.gate.floor == pytest.approx(233, abs=1)


def test_credit_cards(project: Settings) -> None:
    """Identifiers in a file without names that mean anything."""
    data = str(shared_data("default_credit_card_tw") / "UCI_Credit_Card.csv")
    result = init_model(data, "Y", project, name="cards")
    assert result.config.features.ignored == ("ID",)
    assert (result.config.positive, len(result.config.features.numeric)) == ("1", 22)
    assert any("use --key" in note for note in result.notes)


def test_bank_marketing(project: Settings) -> None:
    """Semicolons are sniffed, 'unknown' stays a level, 999 a number."""
    with zipfile.ZipFile(shared_data("bank_marketing") / "bank-additional.zip") as archive:
        archive.extract("bank-additional/bank-additional-full.csv", project.root)
    result = init_model(str(project.root / "bank-additional" / "bank-additional-full.csv"), "y", project)
    assert (result.config.positive, result.config.source.missing) == ("yes", ("",))
    assert len(result.config.features.categorical) == 10
    assert "pdays" in result.config.features.numeric


def test_online_shoppers(project: Settings) -> None:
    """A file without column names is refused; its Parquet with names is not."""
    folder = shared_data("online_shoppers")
    with pytest.raises(SourceError, match="add a line of column names"):
        init_model(str(folder / "online_shoppers_intention.csv"), "Revenue", project)
    result = init_model(str(folder / "ready.parquet"), "target", project)
    assert result.config.features.boolean == ("Weekend",)
    assert kinds(result)["TrafficType"] == "numeric"


def test_nested_columns_and_bytes_are_left_out(project: Settings, tmp_path: Path) -> None:
    """Lists, structs and bytes are named with the reason, and the rows are stored and validated without them."""
    nested: dict[str, Any] = {"pair": [[1, 2]] * N, "record": [{"a": 1}] * N, "text": [b"red"] * N}
    frame = mixed_rows().assign(**nested, raw=[bytes([255, i % 256]) for i in range(N)])
    result = init_model(written(frame, project, "rows.parquet"), "churned", project, key="customer")
    assert {"pair", "record", "raw"}.isdisjoint(kinds(result))
    assert kinds(result)["text"] == "ignored"
    head = result.paths[0].read_text()
    for name, what in {"pair": "values of type bigint[]", "raw": "bytes"}.items():
        assert f"left out '{name}': has {what}, not single values" in result.notes
        assert f"# Left out, not stored: '{name}' has {what}, not single values." in head
    verdict = validated(result, project, tmp_path / "work")
    assert (verdict.accepted, verdict.n_quarantined) == (True, 0)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"target": "raw"}, SchemaError, "target 'raw' has values of type BLOB"),
        ({"target": "churned", "key": "raw"}, ConfigError, "--key 'raw': expected texts or numbers, found type BLOB"),
        ({"target": "churned", "time": "raw"}, ConfigError, "--time 'raw': expected dates"),
    ],
)
def test_bytes_have_no_role(options: dict[str, Any], error: type[Exception], message: str, project: Settings) -> None:
    """Neither target nor key nor time."""
    data = written(mixed_rows().assign(raw=[bytes([255, i % 256]) for i in range(N)]), project, "rows.parquet")
    with pytest.raises(error, match=message):
        init_model(data, settings=project, **options)


@pytest.mark.parametrize("unit", ["s", "ns"])
def test_dates_that_the_ingestion_refuses_are_refused(unit: str, project: Settings) -> None:
    """Year 10000 of a database's open end, and the largest time of pandas, which is infinity for the engine."""
    far = 253_402_300_800 if unit == "s" else pd.Timestamp.max.value
    ends = pa.array([far, *range(1, N)], pa.timestamp(unit))
    table = pa.table({"y": [place % 2 for place in range(N)], "x": list(range(N)), "end": ends})
    pq.write_table(table, project.root / "rows.parquet")
    with pytest.raises(SchemaError, match="'end' must have dates of the years 1 to 9999, found others in 1 row;"):
        init_model(str(project.root / "rows.parquet"), "y", project)


def test_files_in_place_are_a_success(project: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that lets nothing be removed fails no command after its files have their final names."""

    def broken(path: Path, **_: bool) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))

    data = written(mixed_rows(), project)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", broken)
        result = init_model(data, "churned", project, name="churn")
    assert all(path.is_file() for path in result.paths)
    assert not list((project.root / "config").rglob("*.tmp"))
