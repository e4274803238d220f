from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from config.settings import Settings
from core.data.columns import column_types
from core.data.expectation_fit import fit_problem
from core.errors import ConfigError
from tasks.validation.evaluation import evaluation
from tasks.validation.expectations import MAX_BYTES, MAX_SHOWN, ROW_COUNT, Expected, read_suite
from tasks.validation.wording import raised
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


def test_all_expectations_that_do_not_fit_are_listed_at_once(settings: Settings) -> None:
    """After a column has moved to another kind, one message has every expectation to remove, by index and type."""
    between = {"type": "expect_column_values_to_be_between", "kwargs": {"column": "age", "min_value": 18}}
    mean = {"type": "expect_column_mean_to_be_between", "kwargs": {"column": "age", "min_value": 18}}
    fits = {"type": "expect_column_values_to_not_be_null", "kwargs": {"column": "age"}}
    gone = {"type": "expect_column_to_exist", "kwargs": {"column": "salary"}}
    write(settings, {"expectations": [between, fits, mean, gone]})
    moved = credit_config(features={"numeric": ["income"], "ignored": ["age"]})
    with pytest.raises(ConfigError) as caught:
        read_suite(moved, settings)
    assert str(caught.value).splitlines() == [
        "config/expectations/credit.json does not fit config/models/credit.yaml:",
        "  expectations[0] (expect_column_values_to_be_between): expects numbers, but age contains text "
        "(features.ignored)",
        "  expectations[2] (expect_column_mean_to_be_between): expects numbers, but age contains text "
        "(features.ignored)",
        "  expectations[3] (expect_column_to_exist): column 'salary' is not declared in the model file, also not "
        "under features.ignored",
        "Remove these expectations, or run 'perennial init --suite credit', which infers again what was inferred and "
        "keeps what a person wrote",
    ]


def test_an_inferred_unique_key_must_be_unique_in_the_model_file(settings: Settings) -> None:
    """Where a person writes it, each batch may well have each key once though keys repeat between batches."""
    unique = {"type": "expect_column_values_to_be_unique", "kwargs": {"column": "id"}}
    repeating = credit_config(key_is_unique=False)
    write(settings, {"expectations": [unique]})
    assert len(read_suite(repeating, settings)) == 2
    write(settings, {"expectations": [{**unique, "meta": {"inferred": "unique 01234567"}}]})
    assert len(read_suite(credit_config(), settings)) == 2
    with pytest.raises(ConfigError, match="expects each key once, but key_is_unique is false"):
        read_suite(repeating, settings)


def test_a_long_list_is_cut(settings: Settings) -> None:
    """A thousand columns of another kind do not fill the terminal."""
    mean = {"type": "expect_column_mean_to_be_between", "kwargs": {"column": "region", "min_value": 18}}
    write(settings, {"expectations": [mean] * (MAX_SHOWN + 5)})
    with pytest.raises(ConfigError, match=r"\n  and 5 more\n"):
        read_suite(credit_config(), settings)


ARGUMENTS: list[tuple[str, dict[str, Any]]] = [
    ("values_to_be_between", {"min_value": 0, "max_value": 5}),
    ("values_to_be_between", {"min_value": "1", "max_value": "9"}),
    ("values_to_be_between", {"min_value": "2020-01-01 00:00:00", "max_value": "2030-01-01 00:00:00"}),
    ("max_to_be_between", {"min_value": 0, "max_value": 5}),
    ("min_to_be_between", {"min_value": "2020-01-01", "max_value": "2030-01-01"}),
    ("mean_to_be_between", {"min_value": 0}),
    ("median_to_be_between", {"min_value": 0}),
    ("stdev_to_be_between", {"min_value": 0}),
    ("sum_to_be_between", {"min_value": 0}),
    ("quantile_values_to_be_between", {"quantile_ranges": {"quantiles": [0.5], "value_ranges": [[0, 5]]}}),
    ("value_z_scores_to_be_less_than", {"threshold": 3, "double_sided": True}),
    ("value_lengths_to_be_between", {"min_value": 1}),
    ("values_to_be_in_set", {"value_set": ["north", "1"]}),
    ("values_to_be_in_set", {"value_set": ["1", "2"]}),
    ("values_to_be_in_set", {"value_set": ["0", "yes", "FALSE"]}),
    ("values_to_not_be_in_set", {"value_set": ["2024-01-01"]}),
    ("distinct_values_to_be_in_set", {"value_set": ["north"]}),
    ("values_to_not_be_null", {}),
    ("values_to_be_unique", {}),
    ("proportion_of_non_null_values_to_be_between", {"min_value": 0.1}),
]


@pytest.mark.parametrize(("name", "arguments"), ARGUMENTS)
def test_what_does_not_fit_is_what_the_engine_cannot_evaluate(
    settings: Settings, name: str, arguments: dict[str, Any]
) -> None:
    """The check without the engine and the engine agree, for columns of all four types."""
    kinds = {"numeric": ["n"], "categorical": ["t"], "boolean": ["b"], "dates": ["d"]}
    config = credit_config(features=kinds)
    frame = pd.DataFrame({"n": [1.0, 2.0], "t": ["north", "south"], "b": [True, False]})
    frame["d"] = pd.to_datetime(["2024-01-01", "2024-02-01"])
    rows = settings.root / "rows.parquet"
    frame.to_parquet(rows)
    for column in frame.columns:
        expected = Expected("it", f"expect_column_{name}", {"column": column, **arguments}, "warning")
        with evaluation(rows, [expected], "rows", settings, settings.var / "work") as evaluated:
            (result,) = evaluated.results
        fits = fit_problem(expected.kind, expected.kwargs, config, column_types(config)) is None
        assert fits == (not raised(result)), (column, raised(result))
