"""Which columns a model takes, and in which order its classes stand."""

from __future__ import annotations

import doctest
import itertools

import numpy as np
import pytest

import core.feature_contract
from core.feature_contract import FeatureContract, level_text
from tests.core.samples import task_config
from tests.factories import credit_config


def test_the_examples_hold() -> None:
    """The documented examples run."""
    assert doctest.testmod(core.feature_contract).failed == 0


def test_columns_are_in_the_order_of_their_kinds() -> None:
    """Raw: numbers, categories, booleans, dates. Prepared: all numbers first, a date as its four parts."""
    config = credit_config(features={"dates": ["opened"], "ignored": ["note"]})
    contract = FeatureContract.of(config, ["0", "1"])
    assert contract.raw_columns == ("income", "age", "region", "owner", "opened")
    parts = ("opened.month", "opened.day", "opened.weekday", "opened.hour")
    assert contract.prepared_columns == ("income", "age", "owner", *parts, "region")
    assert (contract.key, contract.target) == ("id", "default")


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (["10", "9", "-1"], ("-1", "9", "10")),
        (["1", "1.0", "01"], ("01", "1", "1.0")),
        (["b", "10", "a"], ("10", "a", "b")),
        (["nan", "2", "1"], ("1", "2", "nan")),
        (["inf", "2", "-inf"], ("-inf", "2", "inf")),
        (["NaN", "nan", "5"], ("5", "NaN", "nan")),
    ],
)
def test_the_order_of_classes_does_not_depend_on_the_order_of_rows(labels: list[str], classes: tuple[str, ...]) -> None:
    """Numbers by value, then texts; codes of stored models depend on it."""
    config = task_config("multiclass")
    for order in itertools.permutations(labels):
        assert FeatureContract.of(config, order).classes == classes


def test_a_regression_has_no_classes() -> None:
    """Whatever labels are given."""
    assert FeatureContract.of(task_config("regression"), ["1", "2"]).classes == ()


def test_a_contract_from_before_keys_loads() -> None:
    """A bundle whose contract names no key has none."""
    contract = FeatureContract.of(credit_config(), ["0", "1"])
    content = contract.to_dict()
    assert FeatureContract.from_dict(content) == contract
    del content["key"]
    assert FeatureContract.from_dict(content).key is None


@pytest.mark.parametrize("content", [{}, {"task": "binary"}, {"colour": "red"}])
def test_a_document_that_is_no_contract_is_refused(content: dict[str, str]) -> None:
    """Fields that are missing or unknown are not passed over."""
    with pytest.raises(TypeError):
        FeatureContract.from_dict(content)


def test_levels_have_one_text() -> None:
    """A boolean has the same text from Python and from NumPy; a number keeps its own."""
    assert [level_text(level) for level in (True, np.True_, "TRUE", 1, np.float64(0.5))] == [
        "true",
        "true",
        "TRUE",
        "1",
        "0.5",
    ]
