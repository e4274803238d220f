from __future__ import annotations

from typing import Any

import pytest

from core.errors import ConfigError
from core.train.search_space import Dimension, search_space


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ([2, 8], Dimension("p", "int", 2, 8)),
        ([0.0, 1], Dimension("p", "float", 0.0, 1)),
        ({"low": 0.01, "high": 1.0, "log": True}, Dimension("p", "float", 0.01, 1.0, log=True)),
        ({"low": 10, "high": 50, "step": 10}, Dimension("p", "int", 10, 50, step=10)),
        ({"choices": ["gini", None, [64, 32]]}, Dimension("p", "choice", choices=("gini", None, [64, 32]))),
    ],
)
def test_each_form_is_read(form: Any, expected: Dimension) -> None:
    """Whole bounds make a whole parameter, choices may be anything YAML can say."""
    assert search_space({"p": form}) == (expected,)


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ([1, 2, 3], r"expected \[low, high\], .*choices.*found \[1, 2, 3\]"),
        ("1..3", "expected"),
        ({"low": 1}, "expected"),
        ({"low": 1, "high": 2, "lgo": True}, "expected"),
        ({"choices": []}, "at least one value"),
        ([3, 1], "low must be below high"),
        ([True, 5], "must be numbers"),
        (["a", "b"], "must be numbers"),
        ({"low": 0, "high": 1, "log": True}, "low must be above 0"),
        ({"low": 1, "high": 9, "log": 2}, "log must be true or false"),
        ({"low": 1, "high": 9, "step": 10}, "step must be above 0"),
    ],
)
def test_malformed_space_is_refused(form: Any, message: str) -> None:
    """The message names the parameter, what was expected and what was found."""
    with pytest.raises(ConfigError, match=rf"training\.search\.space\.max_depth: .*{message}"):
        search_space({"max_depth": form})


def test_dimension_knows_its_values() -> None:
    """A configured value is the first candidate only where the space holds it."""
    whole, real, choice = search_space({"a": [1, 5], "b": [0.5, 2.0], "c": {"choices": ["x", None]}})
    assert [whole.holds(value) for value in (1, 5, 6, 2.5, True, None)] == [True, True, False, False, False, False]
    assert [real.holds(value) for value in (1, 0.5, 3.0, "1")] == [True, True, False, False]
    assert [choice.holds(value) for value in ("x", None, "y")] == [True, True, False]
