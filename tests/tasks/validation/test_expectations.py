from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from config.settings import Settings
from core.errors import ConfigError
from tasks.validation.expectations import MAX_BYTES, ROW_COUNT, read_suite
from tests.factories import credit_config, make_project


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Make a project without a suite."""
    return make_project(tmp_path)


def write(settings: Settings, content: str | dict[str, Any]) -> None:
    """Write the model's suite, or what stands in its place."""
    text = content if isinstance(content, str) else json.dumps(content)
    (settings.root / "config" / "expectations" / "credit.json").write_text(text)


def suite(**item: Any) -> dict[str, Any]:
    """Build a suite of one expectation, with changes."""
    return {"expectations": [{"type": "expect_column_to_exist", "kwargs": {"column": "age"}} | item]}


def test_at_least_one_row_is_always_asked_for(settings: Settings) -> None:
    """An empty batch passes every expectation on columns, so the count is added where it is missing."""
    write(settings, suite())
    assert [one.kind for one in read_suite(credit_config(), settings)] == [ROW_COUNT, "expect_column_to_exist"]
    write(settings, suite(type=ROW_COUNT, kwargs={"min_value": 10}))
    assert len(read_suite(credit_config(), settings)) == 1
    write(settings, suite(type=ROW_COUNT, kwargs={"max_value": 10}))
    assert len(read_suite(credit_config(), settings)) == 2


def test_the_level_follows_the_severity_where_none_is_given(settings: Settings) -> None:
    """A suite written by hand needs no meta: a warning warns, anything else refuses."""
    write(settings, {"expectations": [{"type": "t", "severity": "warning"}, {"type": "t"}]})
    assert [one.level for one in read_suite(credit_config(), settings)[1:]] == ["warning", "schema"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"expectations": [', "line 1: not valid JSON"),
        ("\x00\x01", "not valid JSON"),
        ("[" * 100_000, "not valid JSON"),
        ("[]", "expected an object with a list 'expectations'"),
        ('{"expectations": {}}', "expected an object with a list 'expectations'"),
        ({"expectations": ["x"]}, r"expectations\[0\]: expected an object with 'type'"),
        (suite(kwargs=[1]), "'kwargs' and 'meta' must be objects"),
        (suite(meta={"level": "column"}), "meta.level is 'column', expected one of schema, row, warning"),
        (suite(level="row"), r"unknown keys \['level'\]"),
        (suite(kwargs={"column": "salary"}), r"expectations\[0\] .*'salary' is not declared"),
        (suite(kwargs={"column_set": ["age", "salary"]}), "'salary' is not declared"),
        (suite(kwargs={"column_A": "age", "column_B": "salary"}), "'salary' is not declared"),
        (suite(kwargs={"column": "a\x1b[31m"}), r"'a\\+x1b\[31m' is not declared"),
        (suite(kwargs={"column": 7}), "7.* is not declared"),
        (suite(kwargs={"column_list": "age"}), "column_list.* list of column names"),
        (
            suite(type="unexpected_rows_expectation", kwargs={"unexpected_rows_query": "SELECT * FROM t"}),
            "must read from {batch}",
        ),
    ],
)
def test_a_malformed_suite_is_refused_with_its_place(settings: Settings, content: Any, message: str) -> None:
    """Whatever is wrong, the message names the file, the index and the type."""
    write(settings, content)
    with pytest.raises(ConfigError, match=message) as caught:
        read_suite(credit_config(), settings)
    assert "credit.json" in str(caught.value)


def test_a_missing_suite_says_how_to_get_one(settings: Settings) -> None:
    """The path is shown, and the command that writes a suite."""
    with pytest.raises(ConfigError, match=r"no suite .*credit\.json.*perennial init"):
        read_suite(credit_config(), settings)


def test_a_suite_has_a_cap(settings: Settings) -> None:
    """A file of any size is not read into memory."""
    write(settings, " " * (MAX_BYTES + 1))
    with pytest.raises(ConfigError, match="larger than"):
        read_suite(credit_config(), settings)
