"""Expectations that do not fit their column's kind are found without the engine, exactly where the engine fails."""

from __future__ import annotations

from typing import Any

import pytest

from config.schema import ModelConfig
from core.data.columns import column_types
from core.data.expectation_fit import declaration, fit_problem
from tests.factories import credit_config

NUMBERS = {"min_value": 0, "max_value": 5}
DATES = {"min_value": "2020-01-01 00:00:00", "max_value": "2030-01-01 00:00:00"}


@pytest.fixture
def config() -> ModelConfig:
    """Build a model with one column of each kind."""
    kinds = {"numeric": ["n"], "categorical": ["t"], "boolean": ["b"], "dates": ["d"], "ignored": ["i"]}
    return credit_config(features=kinds, evaluation={})


@pytest.mark.parametrize(
    ("kind", "arguments", "problem"),
    [
        ("values_to_be_between", {"column": "i", **NUMBERS}, "expects numbers, but i contains text (features.ignored)"),
        ("values_to_be_between", {"column": "t", "min_value": 0}, "but t contains text (features.categorical)"),
        ("values_to_be_between", {"column": "b", "max_value": 1}, "but b contains true or false (features.boolean)"),
        ("values_to_be_between", {"column": "d", **NUMBERS}, "but d contains dates (features.dates)"),
        ("values_to_be_between", {"column": "n", **DATES}, "expects dates, but n contains numbers (features.numeric)"),
        ("mean_to_be_between", {"column": "i", "min_value": 1}, "expects numbers, but i"),
        ("value_lengths_to_equal", {"column": "n", "value": 2}, "expects text, but n contains numbers"),
        ("values_to_be_in_set", {"column": "n", "value_set": ["1", "red"]}, "expects the value red, but n"),
        ("values_to_be_in_set", {"column": "b", "value_set": ["on", "off"]}, "expects the values on, off, but b"),
        ("values_to_be_in_set", {"column": "d", "value_set": [1]}, "expects the value 1, but d contains dates"),
        ("values_to_be_between", {"column": "default", **NUMBERS}, "but default contains text (target, task: binary)"),
        ("values_to_be_between", {"column": "id", **NUMBERS}, "but id contains text (key)"),
    ],
)
def test_an_expectation_on_another_kind_says_what_it_expects(
    config: ModelConfig, kind: str, arguments: dict[str, Any], problem: str
) -> None:
    """What it expects, what the column contains, and which line of the model file says so."""
    assert problem in str(fit_problem(f"expect_column_{kind}", arguments, config, column_types(config)))


@pytest.mark.parametrize(
    ("kind", "arguments"),
    [
        ("column_values_to_be_between", {"column": "n", **NUMBERS}),
        ("column_values_to_be_between", {"column": "d", **DATES}),
        ("column_max_to_be_between", {"column": "b", **NUMBERS}),
        ("column_values_to_be_in_set", {"column": "i", "value_set": ["red"]}),
        ("column_values_to_be_in_set", {"column": "default", "value_set": [0, 1]}),
        ("column_values_to_be_in_set", {"column": "n", "value_set": ["1", 2.5, None]}),
        ("column_values_to_be_in_set", {"column": "b", "value_set": ["Yes", "no", 1]}),
        ("column_values_to_be_in_set", {"column": "n", "value_set": "a set in a parameter"}),
        ("column_values_to_not_be_null", {"column": "i"}),
        ("column_proportion_of_non_null_values_to_be_between", {"column": "i", "min_value": 0.5}),
        ("column_pair_values_to_be_equal", {"column_A": "i", "column_B": "n"}),
        ("table_row_count_to_be_between", {"min_value": 1}),
        ("table_columns_to_match_set", {"column_set": ["n"], "exact_match": False}),
    ],
)
def test_what_can_be_evaluated_fits(config: ModelConfig, kind: str, arguments: dict[str, Any]) -> None:
    """A suite that works is never refused."""
    assert fit_problem(f"expect_{kind}", arguments, config, column_types(config)) is None


def test_the_whole_set_of_columns_must_be_declared_columns(config: ModelConfig) -> None:
    """A column that was added to the model file would refuse every batch."""
    kind, columns = "expect_table_columns_to_match_set", list(config.columns)
    assert fit_problem(kind, {"column_set": columns}, config, column_types(config)) is None
    lacking = [column for column in columns if column not in {"i", "n"}]
    assert (
        fit_problem(kind, {"column_set": lacking}, config, column_types(config))
        == "lacks i, n, which the model file declares"
    )


def test_a_role_comes_before_a_kind() -> None:
    """The time column may be a feature too; its role decides its type."""
    config = credit_config(
        time="seen", key=None, task="regression", positive=None, gate={"metric": "rmse"}, features={"dates": ["seen"]}
    )
    assert [declaration(name, config) for name in ("seen", "default", "age")] == [
        "time",
        "target, task: regression",
        "features.numeric",
    ]
