from datetime import datetime
from typing import Any

import pytest

from config.schema import ModelConfig
from core.init.columns import Decision, TargetDecision
from core.init.model_file import Findings, model_content
from core.init.suite import suite_content
from tests.core.init.test_model_file import findings, statistics


def expectations(found: Findings) -> list[dict[str, Any]]:
    """Infer a suite and return its expectations."""
    config = ModelConfig.model_validate(model_content(found)[0])
    return list(suite_content(found, config)["expectations"])


def of(found: Findings, column: str, kind: str) -> list[dict[str, Any]]:
    """Pick the expectations of one type on one column."""
    return [item for item in expectations(found) if item["type"] == kind and item["kwargs"].get("column") == column]


def with_numbers(low: float, high: float, **known: Any) -> Findings:
    """Build findings whose column ``income`` spans the given range."""
    income = statistics("income", minimum=low, maximum=high, **known)
    return findings(columns={**findings().columns, "income": income})


def test_every_expectation_says_how_strict_it_is_and_why() -> None:
    """The level decides what a failure does; the reason is there for the reviewer."""
    for item in expectations(findings()):
        assert item["meta"]["level"] in {"schema", "row", "warning"}
        assert item["meta"]["why"]
        assert item["severity"] == ("warning" if item["meta"]["level"] == "warning" else "critical")


@pytest.mark.parametrize(
    ("low", "high", "bounds"),
    [
        (0, 100, (0, 125)),
        (10, 100, (0, 122.5)),
        (-10, 10, (-15, 15)),
        (-100, -20, (-120, 0)),
        (5, 5, (3.7, 6.3)),
        (1_600_000_000, 1_600_000_010, (1_599_999_997.5, 1_600_000_012.5)),
    ],
)
def test_ranges_have_slack_and_keep_their_sign(low: float, high: float, bounds: tuple[float, float]) -> None:
    """A quarter of the span on either side; what was never negative stays so."""
    (item,) = of(with_numbers(low, high), "income", "expect_column_values_to_be_between")
    assert (item["kwargs"]["min_value"], item["kwargs"]["max_value"]) == pytest.approx(bounds, abs=0.5)
    assert item["kwargs"]["min_value"] <= low
    assert item["kwargs"]["max_value"] >= high
    assert item["meta"]["level"] == "warning"


def test_the_range_of_a_number_that_follows_time_says_so() -> None:
    """Next year's index is outside of last year's range, and right: a stricter level would be wrong there."""
    found = with_numbers(0, 10, time_correlation=0.95)
    (item,) = of(found, "income", "expect_column_values_to_be_between")
    assert "its range will shift" in item["meta"]["why"]


def test_the_range_of_a_target_of_numbers_only_warns() -> None:
    """A true spike of a price is the row that the model must learn."""
    price = statistics("price", minimum=1, maximum=90, n_numbers=3000)
    found = findings(
        columns={**findings().columns, "price": price},
        target="price",
        goal=TargetDecision("regression", "numbers"),
        baseline=10.0,
        kinds={"income": Decision("numeric", "numbers")},
    )
    (item,) = of(found, "price", "expect_column_values_to_be_between")
    assert item["meta"]["level"] == "warning"


def test_a_new_level_warns_and_a_new_coding_refuses() -> None:
    """Single unknown levels are normal, mostly unknown ones are another file."""
    items = of(findings(), "region", "expect_column_values_to_be_in_set")
    assert {item["meta"]["level"]: item["kwargs"].get("mostly") for item in items} == {"schema": 0.9, "warning": None}


def test_an_unknown_label_is_set_aside() -> None:
    """The target's classes are part of the contract."""
    (item,) = of(findings(), "defaulted", "expect_column_values_to_be_in_set")
    assert (item["meta"]["level"], item["kwargs"]["value_set"]) == ("row", ["0", "1"])


def test_a_unique_key_must_stay_unique_and_filled() -> None:
    """A repeating key must only be filled."""
    unique = findings(key="id", kinds={k: v for k, v in findings().kinds.items() if k != "id"})
    assert of(unique, "id", "expect_column_values_to_be_unique")
    repeating = findings(key="id", kinds=unique.kinds, key_is_unique=False)
    assert not of(repeating, "id", "expect_column_values_to_be_unique")
    assert of(repeating, "id", "expect_column_values_to_not_be_null")


@pytest.mark.parametrize(("n_missing", "least"), [(0, 0.9), (600, 0.65), (2900, None)])
def test_a_column_may_lose_some_values_but_not_most(n_missing: int, least: float | None) -> None:
    """The more are missing anyway, the more slack; a nearly empty column is not watched."""
    found = with_numbers(0, 1, n_missing=n_missing)
    items = of(found, "income", "expect_column_proportion_of_non_null_values_to_be_between")
    assert [item["kwargs"]["min_value"] for item in items] == ([] if least is None else [pytest.approx(least)])


def test_dates_stay_in_a_sane_range() -> None:
    """Up to years ahead, but neither 1970 nor 9999."""
    opened = statistics("opened", earliest=datetime(2024, 1, 1), latest=datetime(2025, 1, 1))
    found = findings(
        columns={**findings().columns, "opened": opened},
        kinds={**findings().kinds, "opened": Decision("dates", "dates")},
    )
    (item,) = of(found, "opened", "expect_column_values_to_be_between")
    assert (item["kwargs"]["min_value"][:4], item["kwargs"]["max_value"][:4]) == ("2022", "2035")


def test_an_open_end_is_a_date_with_four_digits_of_the_year() -> None:
    """The bounds of a column that reaches to 9999 are dates that the suite's reader takes."""
    until = statistics("until", earliest=datetime(2024, 1, 1), latest=datetime(9999, 12, 31))
    found = findings(
        columns={**findings().columns, "until": until},
        kinds={**findings().kinds, "until": Decision("dates", "dates")},
    )
    (item,) = of(found, "until", "expect_column_values_to_be_between")
    assert item["kwargs"]["min_value"] == "0001-01-01 00:00:00"
    assert item["kwargs"]["max_value"] == "9999-12-31 00:00:00"
