from __future__ import annotations

import json
import resource
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from config.schema import ModelConfig
from config.settings import Settings
from core.errors import ConfigError, SchemaError, StorageError
from core.references import StagedRows, ValidationResult
from tasks.source.stage import ROW_GROUP
from tasks.validation.validate import validate_rows
from tests.factories import credit_config, make_project

FINGERPRINT = "0123456789abcdef" * 2
HOSTILE = (
    "<script>document.title='pwned'</script>",
    '"><img src=x onerror="document.title=\'pwned\'">',
    "</td></table><svg onload=alert(1)>",
    "javascript:alert(1)//$column",
    "{{7*7}}{% raw %}",
    "=cmd()|' /C calc'!A0",
    "100%s %(x)s :y ${jndi:x}",
    "bell\x07esc\x1b[31mrtl\u202e",
    "quote\" 'single' `tick` \\ {batch}",
    "n" * 1000,
)


@dataclass
class Bench:
    """A project, the model file, and what is staged."""

    settings: Settings
    config: ModelConfig
    work: Path

    def suite(self, *expectations: dict[str, Any]) -> None:
        """Write the model's suite."""
        path = self.settings.root / "config" / "expectations" / "credit.json"
        path.write_text(json.dumps({"name": "credit", "expectations": expectations}))

    def stage(self, frame: pd.DataFrame) -> StagedRows:
        """Stage rows as the source step would."""
        path = self.work / "staged.parquet"
        table = pa.Table.from_pandas(frame, preserve_index=False)
        pq.write_table(table, path, compression="zstd", row_group_size=ROW_GROUP)
        return StagedRows(path, len(frame), "rows.csv", FINGERPRINT, ("surplus",))

    def validate(self, frame: pd.DataFrame) -> ValidationResult:
        """Stage and validate."""
        return validate_rows(self.stage(frame), self.config, self.settings, self.work)

    @property
    def left_behind(self) -> list[str]:
        """Every file under the work and report folders, but the staged one."""
        folders = (self.work, self.settings.var / "reports")
        names = [path.name for folder in folders for path in folder.rglob("*") if path.is_file()]
        return sorted(name for name in names if name != "staged.parquet")


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """Make a project with two percent allowed in quarantine."""
    work = tmp_path / "work"
    work.mkdir()
    return Bench(make_project(tmp_path), credit_config(), work)


def applications(n_rows: int = 200) -> pd.DataFrame:
    """Rows that keep every expectation used here."""
    rng = np.random.default_rng(7)
    return pd.DataFrame(
        {
            "id": [f"a{row}" for row in range(n_rows)],
            "default": rng.choice(["0", "1"], n_rows),
            "income": rng.uniform(10, 90, n_rows),
            "age": rng.uniform(18, 80, n_rows),
            "region": rng.choice(["north", "south"], n_rows),
            "owner": rng.choice([True, False], n_rows),
        }
    )


def expect(kind: str, level: str, /, **kwargs: Any) -> dict[str, Any]:
    """Write one expectation as a suite holds it."""
    return {"type": kind, "kwargs": kwargs, "meta": {"level": level, "why": f"why {kind}"}}


def between(column: str, level: str = "row", low: float = 0, high: float = 100) -> dict[str, Any]:
    """Expect a range, 0 to 100 where nothing else is said."""
    return expect("expect_column_values_to_be_between", level, column=column, min_value=low, max_value=high)


UNIQUE = expect("expect_column_values_to_be_unique", "row", column="id")
PRESENT = expect("expect_column_values_to_not_be_null", "row", column="income")


def test_a_clean_batch_goes_on_as_it_is(bench: Bench) -> None:
    """Nothing is copied: the staged file is what remains; every expectation has an outcome, in order."""
    bench.suite(
        between("age"), UNIQUE, expect("expect_column_mean_to_be_between", "warning", column="age", min_value=1)
    )
    result = bench.validate(applications())
    assert result.accepted
    assert result.reasons == ("all 200 rows passed",)
    assert result.rows.path == bench.work / "staged.parquet"
    assert result.quarantine is None
    assert [one.kind for one in result.outcomes] == [
        "expect_table_row_count_to_be_between",
        "expect_column_values_to_be_between",
        "expect_column_values_to_be_unique",
        "expect_column_mean_to_be_between",
    ]
    assert result.outcomes[1].description == "age must be between 0 and 100"
    assert bench.left_behind == ["index.html"]


def test_failing_rows_are_set_aside_with_every_reason(bench: Bench) -> None:
    """The quarantine holds exactly the failing rows, whole and in order; the others go on."""
    frame = applications()
    frame.loc[3, "income"] = -5.0
    frame.loc[7, "income"] = np.nan
    frame.loc[9, ["income", "age"]] = [-1.0, 200.0]
    bench.suite(between("income"), PRESENT, between("age"))
    result = bench.validate(frame)
    assert (result.accepted, result.n_rows, result.n_quarantined) == (True, 200, 3)
    assert result.quarantine is not None
    aside = pd.read_parquet(result.quarantine)
    pd.testing.assert_frame_equal(aside[frame.columns], frame.loc[[3, 7, 9]].reset_index(drop=True))
    income = "income must be between 0 and 100"
    age = "age must be between 0 and 100"
    assert aside["reason"].tolist() == [income, "income must have a value", f"{income}; {age}"]
    assert result.rows.n_rows == 197
    assert result.rows.fingerprint == FINGERPRINT
    pd.testing.assert_frame_equal(pd.read_parquet(result.rows.path), frame.drop([3, 7, 9]).reset_index(drop=True))
    assert pq.read_schema(result.rows.path).equals(pq.read_schema(bench.work / "staged.parquet"))


def test_two_expectations_of_one_kind_and_column_keep_their_own_results(bench: Bench) -> None:
    """The same set as a schema rule with slack and as a warning without: results are not confused."""
    frame = applications()
    frame.loc[0, "region"] = "west"
    known = {"column": "region", "value_set": ["north", "south"]}
    kind = "expect_column_values_to_be_in_set"
    bench.suite(expect(kind, "schema", **known, mostly=0.9), expect(kind, "warning", **known))
    result = bench.validate(frame)
    assert [one.passed for one in result.outcomes] == [True, True, False]
    assert result.accepted
    assert result.outcomes[2].observed == "1 of 200 rows fail, e.g. west"
    assert result.outcomes[2].description == "region must be one of 'north', 'south'"


def test_of_copies_the_last_sound_row_stays(bench: Bench) -> None:
    """Three rows with one key: the newest fails another expectation, so the one before it goes on."""
    frame = applications()
    frame.loc[[20, 40, 60], "id"] = "same"
    frame.loc[60, "income"] = -1.0
    frame.loc[[100, 101], "id"] = None
    bench.suite(UNIQUE, between("income"))
    result = bench.validate(frame)
    assert result.n_quarantined == 2
    kept = pd.read_parquet(result.rows.path)
    assert kept.loc[kept["id"] == "same", "income"].tolist() == [frame.loc[40, "income"]]
    assert result.quarantine is not None
    assert pd.read_parquet(result.quarantine)["income"].tolist() == frame.loc[[20, 60], "income"].tolist()


def test_rows_can_be_found_by_pairs_queries_and_conditions(bench: Bench) -> None:
    """Every kind of expectation that speaks of rows says which ones failed."""
    frame = applications()
    frame["income"] = frame["age"] + 1
    frame.loc[1, "income"] = 1.0
    frame.loc[2, "region"] = "x" * 70
    frame.loc[[4, 5], "region"] = "east"
    frame.loc[[4, 5], "age"] = 30.0
    never = {"type": "comparison", "column": {"name": "age"}, "operator": "<", "parameter": 0}
    bench.suite(
        expect("expect_column_pair_values_a_to_be_greater_than_b", "row", column_A="income", column_B="age"),
        expect(
            "unexpected_rows_expectation", "row", unexpected_rows_query="SELECT * FROM {batch} WHERE len(region) > 60"
        ),
        expect("expect_compound_columns_to_be_unique", "row", column_list=["region", "age"]),
        {**between("age", high=31), "kwargs": {"column": "age", "max_value": 31, "row_condition": never}},
    )
    result = bench.validate(frame)
    assert result.quarantine is not None
    assert pd.read_parquet(result.quarantine)["id"].tolist() == ["a1", "a2", "a4"]


def test_above_the_allowed_share_the_batch_is_refused(bench: Bench) -> None:
    """Five of 200 rows are more than two percent; the failing rows are kept for whoever looks into it."""
    frame = applications()
    frame.loc[:4, "income"] = -1.0
    bench.suite(between("income"), between("age"))
    result = bench.validate(frame)
    assert not result.accepted
    assert result.reasons[0].startswith(
        "refused: 5 of 200 rows (2.5%) fail, validation.max_quarantine allows 2%. Worst: in"
    )
    assert result.rows.path == bench.work / "staged.parquet"
    assert result.quarantine is not None
    assert len(pd.read_parquet(result.quarantine)) == 5
    assert bench.left_behind == ["index.html", "quarantine.parquet"]


def test_a_batch_of_bad_rows_only_is_refused(bench: Bench) -> None:
    """Nothing would remain, whatever share is allowed."""
    bench.config = credit_config(validation={"max_quarantine": 1.0})
    bench.suite(between("income"))
    result = bench.validate(applications().assign(income=-1.0))
    assert not result.accepted
    assert result.n_quarantined == 200


def test_a_schema_failure_refuses_the_batch(bench: Bench) -> None:
    """No row is set aside then, since no row is to blame."""
    frame = applications()
    frame.loc[3, "income"] = -5.0
    share = "expect_column_proportion_of_non_null_values_to_be_between"
    bench.suite(expect(share, "schema", column="region", min_value=0.9), between("income"))
    result = bench.validate(frame.assign(region=pd.Series([None] * 200, dtype="str")))
    assert not result.accepted
    assert result.reasons[0].startswith("refused: the share of values present in region must be at least 0.9 (found: 0")
    assert (result.n_quarantined, result.quarantine) == (0, None)


def test_what_cannot_be_evaluated_refuses_the_batch(bench: Bench) -> None:
    """Numbers compared with text are an error of the engine, told as a reason and not as a traceback."""
    bench.suite(expect("expect_column_values_to_be_in_set", "warning", column="region", value_set=[1, 2]))
    result = bench.validate(applications())
    assert not result.accepted
    assert "could not be evaluated: " in result.reasons[0]
    assert "Could not convert string" in result.reasons[0]


@pytest.mark.parametrize(
    ("item", "message"),
    [
        (expect("expect_column_values_to_be_wonderful", "schema", column="age"), r"expectations\[0\] .*wonderful"),
        (expect("expect_column_values_to_be_between", "row", column="age", minimum=3), "minimum"),
        (expect("expect_column_mean_to_be_between", "row", column="age", min_value=3), "judges the batch as a whole"),
        (
            expect("expect_column_values_to_match_regex", "row", column="id", regex="a"),
            "cannot be evaluated on DuckDB.*regexp_matches",
        ),
        (
            expect("unexpected_rows_expectation", "row", unexpected_rows_query="SELECT * FROM {batch} WERE age < 0"),
            "its query is not valid SQL .*syntax error",
        ),
        (
            expect("unexpected_rows_expectation", "schema", unexpected_rows_query="SELECT * FROM {batch} WHERE age <"),
            "its query is not valid SQL .*syntax error",
        ),
        (
            expect("unexpected_rows_expectation", "row", unexpected_rows_query="SELECT 1 FROM {batch}"),
            r"return all its columns \(\*\)",
        ),
    ],
)
def test_a_suite_that_cannot_work_is_refused_with_its_place(bench: Bench, item: dict[str, Any], message: str) -> None:
    """Great Expectations would drop an unknown type silently; here the index and the type are named."""
    bench.suite(item)
    with pytest.raises(ConfigError, match=message) as caught:
        bench.validate(applications())
    assert "expectations[0]" in str(caught.value)
    assert bench.left_behind == []


def test_a_refusal_is_logged_with_the_word_once(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """The line begins with it, and the reason that follows needs it no more."""
    bench.suite(expect("expect_table_row_count_to_be_between", "schema", min_value=1000))
    with caplog.at_level("INFO", "perennial.validate"):
        bench.validate(applications())
    assert "refused 200 rows: the number of rows must be at least 1000" in caplog.text


def test_a_query_reads_the_batch_and_nothing_else(bench: Bench) -> None:
    """A query of a suite that names a file on the machine finds no way to it."""
    secret = bench.work / "secret.csv"
    secret.write_text("a\n1\n")
    query = f"SELECT * FROM {{batch}} WHERE 1 IN (SELECT a FROM read_csv('{secret}'))"  # noqa: S608 - the attack
    bench.suite(expect("unexpected_rows_expectation", "schema", unexpected_rows_query=query))
    result = bench.validate(applications())
    assert not result.accepted
    assert "could not be evaluated: (_duckdb.PermissionException)" in result.reasons[0]


def test_names_that_differ_in_case_only_are_refused(bench: Bench) -> None:
    """DuckDB would judge one column in the other's place."""
    bench.config = credit_config(features={"ignored": ["Age"]})
    bench.suite(between("age"))
    with pytest.raises(SchemaError, match="'age' and 'Age' differ only in upper and lower case"):
        bench.validate(applications().assign(Age="x"))


def test_a_repeat_writes_the_same_bytes(bench: Bench) -> None:
    """Page, quarantine and remaining rows; a quarantine that is no longer true goes."""
    frame = applications()
    frame.loc[3, "income"] = -5.0
    bench.suite(between("income"))
    first = bench.validate(frame)
    assert first.quarantine is not None
    paths = (first.docs, first.quarantine, first.rows.path)
    before = [path.read_bytes() for path in paths]
    assert bench.validate(frame) == first
    assert [path.read_bytes() for path in paths] == before
    bench.suite(between("age"))
    assert bench.validate(frame).quarantine is None
    assert bench.left_behind == ["index.html"]


@contextmanager
def largest_file(n_bytes: int) -> Iterator[None]:
    """Let the system refuse files above a size, as a full disk would."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_leaves_nothing_behind(bench: Bench) -> None:
    """The error is typed, no file keeps a final name, and the same call works once there is room."""
    frame = applications(3000)
    frame.loc[:2000, "income"] = -np.arange(2001.0) - 1
    bench.config = credit_config(validation={"max_quarantine": 0.9})
    bench.suite(between("income"))
    rows = bench.stage(frame)
    with largest_file(4096), pytest.raises(StorageError, match=r"File too large.*run the same command again"):
        validate_rows(rows, bench.config, bench.settings, bench.work)
    assert bench.left_behind == []
    assert validate_rows(rows, bench.config, bench.settings, bench.work).rows.n_rows == 999


def testrow_groups_of_large_files_keep_order(bench: Bench) -> None:
    """Failing rows at the seams of row groups are found, and the rest stands in the source's order."""
    n_rows = 2 * ROW_GROUP + 5
    frame = applications(10).iloc[np.zeros(n_rows, dtype=int)].reset_index(drop=True)
    frame["id"] = np.arange(n_rows).astype(str)
    bad = [0, ROW_GROUP - 1, ROW_GROUP, 2 * ROW_GROUP, n_rows - 1]
    frame.loc[bad, "income"] = -1.0
    bench.suite(between("income"), UNIQUE)
    result = bench.validate(frame)
    assert result.quarantine is not None
    assert pd.read_parquet(result.quarantine)["id"].tolist() == [str(row) for row in bad]
    kept = pd.read_parquet(result.rows.path, columns=["id"])["id"].astype(int)
    assert kept.is_monotonic_increasing
    assert len(kept) == n_rows - len(bad)
    assert pq.read_metadata(result.rows.path).row_group(0).num_rows == ROW_GROUP


def test_a_declared_column_named_reason_keeps_its_name(bench: Bench) -> None:
    """The reasons then stand in a column beside it; so does the row number."""
    bench.config = credit_config(features={"ignored": ["reason", "__row__"]})
    frame = applications().assign(reason="theirs", __row__="theirs too")
    frame.loc[3, "income"] = -5.0
    bench.suite(between("income"))
    result = bench.validate(frame)
    assert result.quarantine is not None
    aside = pd.read_parquet(result.quarantine)
    assert (aside["reason"].item(), aside["__row__"].item()) == ("theirs", "theirs too")
    assert aside["reason_"].item().startswith("income must be")


class Elements(HTMLParser):
    """Names of the elements and attributes of a page, and its title."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[tuple[str, str]] = set()
        self.title = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element."""
        self.tags.add(tag)
        self.attributes |= {(name, value or "") for name, value in attrs}

    def handle_data(self, data: str) -> None:
        """Note the title."""
        if self.lasttag == "title" and not self.title:
            self.title = data


@pytest.fixture
def hostile_page(bench: Bench) -> Path:
    """Page of a batch whose columns, values, levels, source and suite are all attacks."""
    bench.config = credit_config(features={"ignored": list(HOSTILE)})
    frame = applications(40)
    for column in HOSTILE:
        frame[column] = [HOSTILE[row % len(HOSTILE)] + "v" * (row == 39) * 10_000 for row in range(40)]
    expectations = [expect("expect_table_columns_to_match_set", "schema", column_set=list(bench.config.columns))]
    for column in HOSTILE:
        known = expect("expect_column_values_to_be_in_set", "row", column=column, value_set=["ok", *HOSTILE[:2]])
        known["meta"]["why"] = column
        expectations += [known, expect("expect_column_values_to_not_be_null", "warning", column=column)]
    expectations.append(expect("expect_compound_columns_to_be_unique", "warning", column_list=list(HOSTILE)))
    bench.suite(*expectations)
    rows = bench.stage(frame)
    rows = StagedRows(rows.path, rows.n_rows, HOSTILE[1], FINGERPRINT, HOSTILE)
    result = validate_rows(rows, bench.config, bench.settings, bench.work)
    assert not result.accepted
    assert result.n_quarantined == 32
    assert all("could not be evaluated" not in one.observed for one in result.outcomes)
    return result.docs


def assert_harmless(text: str) -> None:
    """Assert that a page has no element, attribute or address but ours."""
    page = Elements(text)
    frame = {"html", "head", "meta", "title", "style", "body", "footer"}
    blocks = {"h1", "h2", "p", "ul", "li", "dl", "dt", "dd", "div", "table", "tbody", "tr", "th", "td"}
    assert page.tags <= frame | blocks | {"span", "code", "a", "em"}
    assert {name for name, _ in page.attributes} <= {
        "lang",
        "charset",
        "name",
        "content",
        "http-equiv",
        "class",
        "href",
    }
    assert {value for name, value in page.attributes if name == "href"} == {"quarantine.parquet"}
    assert page.title == "Validation: credit"


def test_no_word_of_data_reaches_the_page_unescaped(hostile_page: Path) -> None:
    """Attacks in names and values stay text: only our own elements and attributes are there, and no address at all."""
    text = hostile_page.read_text(encoding="utf-8")
    assert_harmless(text)
    for attack in HOSTILE[:3]:
        assert attack not in text
    assert "&lt;script&gt;" in text
    assert "{{7*7}}" in text
    assert not any(mark in text for mark in ("\x07", "\x1b", "\u202e"))
    assert "http://" not in text
    assert "https://" not in text
    assert "v" * 1000 not in text


@pytest.mark.skipif(shutil.which("chromium") is None, reason="chromium is not installed")
def test_a_browser_runs_nothing_of_the_data(hostile_page: Path) -> None:
    """Loaded in a real browser the page has no injected element, and no handler has renamed it."""
    arguments = (
        "--headless --no-sandbox --disable-gpu --disable-background-networking --dump-dom --virtual-time-budget=2000"
    )
    command = ["chromium", *arguments.split(), hostile_page.as_uri()]
    dumped = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    assert_harmless(dumped)
    assert "rows validated" in dumped
