"""What was inferred is inferred again; what a person wrote or changed stays."""

from __future__ import annotations

import json
from typing import Any

import pytest

from config.schema import ModelConfig
from core.init.columns import ColumnStatistics, Decision, Kind
from core.init.model_file import Findings, model_content
from core.init.suite import suite_content
from core.init.suite_update import SuiteUpdate, updated_suite
from tests.core.init.test_model_file import findings, statistics

OWN = {
    "type": "expect_column_mean_to_be_between",
    "kwargs": {"column": "income", "min_value": 10},
    "meta": {"level": "warning", "why": "the board asked for it"},
}


def found(kind: Kind = "numeric", **known: Any) -> Findings:
    """Build findings with a column ``income`` of a kind, by default numbers from 0 to 100."""
    income: ColumnStatistics = statistics("income", **{"minimum": 0.0, "maximum": 100.0, **known})
    kinds = {**findings().kinds, "income": Decision(kind, "as declared")}
    return findings(columns={**findings().columns, "income": income}, kinds=kinds)


def inferred(what: Findings) -> dict[str, Any]:
    """Infer a suite and read it as from its file."""
    config = ModelConfig.model_validate(model_content(what)[0])
    content: dict[str, Any] = json.loads(json.dumps(suite_content(what, config)))
    return content


def unmarked(suite: dict[str, Any]) -> dict[str, Any]:
    """Turn a suite into one from before: without marks, ranges at the level of rows."""
    for item in suite["expectations"]:
        rule = item["meta"].pop("inferred").partition(" ")[0]
        if rule == "range":
            item["meta"]["level"], item["severity"] = "row", "critical"
    return suite


def one(suite: dict[str, Any], rule: str, column: str = "income") -> dict[str, Any]:
    """Pick the expectation of one rule on one column."""
    found: list[dict[str, Any]] = [
        item
        for item in suite["expectations"]
        if item["meta"].get("inferred", "").startswith(rule) and item["kwargs"].get("column") == column
    ]
    (item,) = found
    return item


def rules(update: SuiteUpdate) -> list[str]:
    """Rules of the expectations on ``income``, ``own`` for those without a mark."""
    on_income = (item for item in update.content["expectations"] if item["kwargs"].get("column") == "income")
    return [item["meta"].get("inferred", "own").partition(" ")[0] for item in on_income]


def test_the_same_rows_change_nothing() -> None:
    """Neither the content nor the lists of changes, whatever the order of a set."""
    suite = inferred(found())
    suite["expectations"][1]["kwargs"]["column_set"].reverse()
    update = updated_suite(suite, inferred(found()))
    assert update.content == inferred(found())
    assert (update.added, update.removed, update.kept) == ((), (), ())


def test_a_column_of_another_kind_gets_the_expectations_of_that_kind() -> None:
    """The range goes, the levels come; a person's own expectation and other keys of the file stay."""
    suite = {**inferred(found()), "notes": "ours"}
    suite["expectations"].append(OWN)
    update = updated_suite(suite, inferred(found("categorical", levels=(("1", 9), ("2", 9)))))
    assert rules(update) == ["coding", "levels", "present", "own"]
    assert update.content["notes"] == "ours"
    assert update.kept == (OWN,)
    assert [item["type"] for item in update.removed] == ["expect_column_values_to_be_between"]
    assert len(update.added) == 2


def test_what_a_person_made_stricter_stays_in_its_place() -> None:
    """Bounds and level survive other rows, and also the column's move to a kind without a range."""
    suite = inferred(found())
    mine = one(suite, "range")
    mine["kwargs"]["max_value"], mine["meta"]["level"] = 90, "row"
    update = updated_suite(suite, inferred(found(maximum=500.0)))
    assert one(update.content, "range") == mine
    assert update.kept == (mine,)
    moved = updated_suite(suite, inferred(found("ignored")))
    assert mine in moved.content["expectations"]


def test_two_changed_copies_both_stay() -> None:
    """A person may split a range into one that warns and one that sets rows aside."""
    suite = inferred(found())
    first = one(suite, "range")
    first["kwargs"]["max_value"] = 90
    second = json.loads(json.dumps(first))
    second["meta"]["level"] = "row"
    suite["expectations"].append(second)
    assert updated_suite(suite, inferred(found())).kept == (first, second)


def test_the_set_of_all_columns_follows_the_model_file() -> None:
    """A person who added a column to it wrote what only the model file decides."""
    suite = inferred(found())
    suite["expectations"][1]["kwargs"]["column_set"].append("fee")
    update = updated_suite(suite, inferred(found()))
    assert update.content == inferred(found())


def test_what_a_person_wrote_is_not_inferred_beside_it() -> None:
    """The same arguments at another level are a person's decision."""
    twin = {"type": "expect_table_row_count_to_be_between", "kwargs": {"min_value": 1}, "meta": {"level": "warning"}}
    update = updated_suite({"expectations": [twin]}, inferred(found()))
    assert sum(item["type"] == twin["type"] for item in update.content["expectations"]) == 1
    assert update.kept == (twin,)


def test_a_suite_from_before_the_marks_is_recognised_by_its_reasons() -> None:
    """Untouched expectations are inferred again: the ranges become warnings."""
    for low, high in ((0.0, 100.0), (-3.25, 1_234_567.5), (5.0, 5.0), (0.001, 0.002)):
        old = unmarked(inferred(found(minimum=low, maximum=high)))
        update = updated_suite(old, inferred(found()))
        assert update.content["expectations"] == inferred(found())["expectations"]
        assert update.kept == ()


def test_bounds_of_a_reason_with_six_digits_are_recognised() -> None:
    """Large numbers stood as powers of ten in the reasons of older suites."""
    old = unmarked(inferred(found(minimum=4_010.0, maximum=1_234_567.0)))
    (item,) = (item for item in old["expectations"] if item["type"] == "expect_column_values_to_be_between")
    item["meta"]["why"] = "observed 4010 to 1.23457e+06, with 25 % of that range as tolerance; never negative"
    assert updated_suite(old, inferred(found())).kept == ()


@pytest.mark.parametrize(
    ("rule", "change"),
    [
        ("range", {"kwargs": {"column": "income", "min_value": 0.0, "max_value": 90}}),
        ("range", {"meta": {"level": "schema"}}),
        ("present", {"kwargs": {"column": "income", "min_value": 0.5}}),
        ("coding", {"kwargs": {"column": "region", "value_set": ["east", "north", "south"], "mostly": 0.9}}),
        ("levels", {"meta": {"level": "schema"}}),
        ("labels", {"kwargs": {"column": "defaulted", "value_set": ["0", "1", "2"]}}),
    ],
)
def test_a_change_in_a_suite_from_before_the_marks_stays(rule: str, change: dict[str, Any]) -> None:
    """Other bounds, another level, a level that no row has: a person's work is not overwritten."""
    marked = inferred(found())
    column = change.get("kwargs", {}).get("column", "region" if rule == "levels" else "income")
    item = one(marked, rule, column)
    old = unmarked(marked)
    for key, values in change.items():
        item[key] = {**item[key], **values}
    assert updated_suite(old, inferred(found())).kept == (item,)
