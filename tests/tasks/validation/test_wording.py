from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from tasks.validation.expectations import Expected
from tasks.validation.wording import observed, sentence


@pytest.mark.parametrize(
    ("kind", "arguments", "said"),
    [
        ("column_values_to_be_between", {"min_value": 0.5, "max_value": 2.0}, "x must be between 0.5 and 2"),
        ("column_values_to_be_between", {"min_value": 0}, "x must be at least 0"),
        ("column_values_to_be_between", {"max_value": 3, "strict_max": True}, "x must be less than 3"),
        (
            "column_values_to_be_between",
            {"min_value": 0, "max_value": 3, "strict_min": True},
            "x must be more than 0 and at most 3",
        ),
        ("column_values_to_not_be_null", {"mostly": 0.95}, "x must have a value, in at least 95% of rows"),
        ("column_values_to_be_in_set", {"value_set": ["a b", 3, "c"]}, "x must be one of 'a b', 3, 'c'"),
        ("column_value_lengths_to_be_between", {"max_value": 3}, "x must be at most 3 characters long"),
        ("column_mean_to_be_between", {"min_value": 1, "max_value": 2}, "the mean of x must be between 1 and 2"),
        ("table_columns_to_match_set", {"column_set": ["a"], "exact_match": False}, "the columns must include 'a'"),
    ],
)
def test_the_usual_kinds_have_plain_sentences(kind: str, arguments: dict[str, Any], said: str) -> None:
    """No rendering by the library is needed for them."""
    expected = Expected("suite", f"expect_{kind}", {"column": "x"} | arguments, "row")
    assert sentence(expected, None) == said


def test_a_long_set_is_cut_and_counted() -> None:
    """A set of a thousand levels is one sentence."""
    levels = [f"level {number}" for number in range(1000)]
    said = sentence(
        Expected("suite", "expect_column_values_to_be_in_set", {"column": "x", "value_set": levels}, "row"), None
    )
    assert said.endswith("'level 11' and 988 more")


def test_a_level_that_looks_like_a_member_is_told_apart() -> None:
    """A level in another Unicode form is shown beside the one that was meant, which looks the same."""
    found = {"unexpected_count": 3, "element_count": 200, "partial_unexpected_list": ["Bern", "Zu\u0308rich"]}
    result = SimpleNamespace(result=found, exception_info={})
    said = observed(result, True, 200, ["Genf", 3, "Z\u00fcrich"])
    assert said.startswith(
        "3 of 200 rows fail, e.g. Bern; Zu\u0308rich, which looks like 'Z\u00fcrich' but is in another"
    )
    assert said.endswith("Unicode form: NFD instead of NFC")
    assert "looks like" not in observed(result, True, 200, ["Genf"])
