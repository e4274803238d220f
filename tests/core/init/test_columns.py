from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from core.errors import SchemaError
from core.init.columns import ColumnStatistics, column_decision, for_task, missing_texts, reads_as_one, target_decision
from core.text import short


def column(name: str = "x", **known: Any) -> ColumnStatistics:
    """Build statistics of 1,000 rows without gaps."""
    basis = ColumnStatistics(name=name, type_name="VARCHAR", n_rows=1000, n_missing=0, n_distinct=500)
    return replace(basis, **known)


def integers(name: str = "x", *, distinct: int, low: float = 0, high: float = 100, **known: Any) -> ColumnStatistics:
    """Build statistics of whole numbers, all levels equally frequent."""
    levels = tuple((str(level), 1000 // distinct) for level in range(distinct)) if distinct <= 500 else ()
    return column(
        name,
        n_distinct=distinct,
        minimum=low,
        maximum=high,
        **{"levels": levels, "n_numbers": 1000, "n_integers": 1000, **known},
    )


def texts(name: str = "x", *, levels: dict[str, int], **known: Any) -> ColumnStatistics:
    """Build statistics of a text column by its levels."""
    return column(name, n_distinct=len(levels), levels=tuple(levels.items()), **known)


@pytest.mark.parametrize(
    ("found", "kind", "why"),
    [
        (integers("age", distinct=70), "numeric", "whole numbers from 0 to 100"),
        (integers("id", distinct=1000, high=999), "ignored", "row number"),
        (integers("n", distinct=1000, high=9e6, row_correlation=1.0), "ignored", "row number"),
        (integers("amount", distinct=1000, high=9e6, row_correlation=0.01), "numeric", "whole numbers"),
        (integers("customer_id", distinct=400), "ignored", "identifier"),
        (integers("storeId", distinct=40), "categorical", "a code: 40 levels"),
        (integers("sex", distinct=2, low=1, high=2, levels=(("2", 600), ("1", 400))), "categorical", "a code"),
        (integers("flag", distinct=2, high=1, levels=(("0", 900), ("1", 100))), "boolean", "yes in 10 %"),
        (integers("rating", distinct=5), "numeric", "whole numbers"),
        (integers("card", distinct=1000, low=4.0e15, high=4.99e15), "ignored", "1,000 different numbers of 16 digits"),
        (integers("cents", distinct=1000, low=4.0e11, high=4.99e15), "numeric", "whole numbers"),
        (integers("at", distinct=1000, low=1.60e12, high=1.70e12), "numeric", "whole numbers from"),
        (integers("order_no", distinct=1000, low=1000, high=9999), "ignored", "named like an identifier"),
        (integers("n", distinct=1000, low=2_000_000, high=9_999_999), "numeric", "whole numbers"),
        (texts(levels={"Yes": 400, "No": 600}), "boolean", "yes in 40 %"),
        (texts(levels={"yes": 400, "no": 500, "unknown": 100}), "categorical", "3 levels: yes, no, unknown"),
        (texts(levels={"only": 1000}), "ignored", "the same value"),
        (texts(levels={"only": 400}, n_missing=600), "categorical", "missing in 60 %"),
        (column(n_missing=1000, n_distinct=0), "ignored", "no value"),
        (column(n_distinct=1000, mean_length=36), "ignored", "an identifier"),
        (column(n_distinct=990, mean_length=80, n_with_space=990), "ignored", "free text"),
        (integers("customer_id", distinct=300), "categorical", "an identifier that repeats: 300 levels, encoded by"),
        (
            column(n_distinct=300, example="Smith"),
            "categorical",
            "300 levels, encoded by their mean target",
        ),
        (column(n_distinct=400, example="Smith"), "ignored", "too many to learn from; such as 'Smith'"),
        (column(n_distinct=400, example="31/12/2025"), "ignored", "not year first"),
        (column(n_distinct=400, example="$1,200.50"), "ignored", "numbers with signs"),
        (column(type_name="BLOB"), "left out", "has bytes, not single values"),
        (column(type_name="STRUCT(a INTEGER)"), "left out", "not single values"),
        (
            column(n_dates=1000, earliest=datetime(2024, 1, 1), latest=datetime(2025, 2, 3)),
            "dates",
            "2024-01-01 to 2025-02-03",
        ),
    ],
)
def test_each_column_gets_the_kind_a_careful_engineer_would_give_it(
    found: ColumnStatistics, kind: str, why: str
) -> None:
    """The kind follows from type, values and name, and comes with a sentence."""
    decision = column_decision(found)
    assert decision.kind == kind
    assert why in decision.why


@pytest.mark.parametrize(
    ("task", "kind"), [("binary", "categorical"), ("regression", "categorical"), ("multiclass", "ignored")]
)
def test_many_levels_are_learnt_from_where_the_target_has_a_mean(task: str, kind: str) -> None:
    """Of several classes there is none; a column of few levels is the same for every task."""
    many = for_task(column_decision(column(n_distinct=300, example="Smith")), task)
    assert (many.kind, "300 levels" in many.why) == (kind, True)
    assert for_task(column_decision(texts(levels={"a": 500, "b": 300, "c": 200})), task).kind == "categorical"


@pytest.mark.parametrize(("low", "high", "doubted"), [(2e6, 9.9e6, True), (2e5, 9.9e5, False), (2e6, 2e7, False)])
def test_different_numbers_of_one_width_may_be_identifiers(low: float, high: float, doubted: bool) -> None:
    """Seven digits in every row are an order's number or an amount; amounts mostly have several widths."""
    doubt = column_decision(integers("x", distinct=1000, low=low, high=high)).doubt
    assert ("different whole numbers of 7 digits" in doubt) == doubted


def test_infinite_numbers_are_refused_by_name() -> None:
    """A column of numbers that are not finite stops the inference."""
    with pytest.raises(SchemaError, match="'x' must be finite, found infinite values in 3 rows"):
        column_decision(integers(distinct=70, n_numbers=997, n_integers=997, n_infinite=3))


@pytest.mark.parametrize(
    ("levels", "positive"),
    [
        ({"0": 900, "1": 100}, "1"),
        ({"yes": 900, "no": 100}, "yes"),
        ({"true": 500, "false": 500}, "true"),
        ({"good": 700, "bad": 300}, "bad"),
        ({"1": 700, "2": 300}, "2"),
        ({"-1": 300, "1": 700}, "1"),
    ],
)
def test_the_positive_class_is_the_sign_of_yes_or_else_the_rarer(levels: dict[str, int], positive: str) -> None:
    """Two values make a binary task."""
    goal = target_decision(texts("y", levels=levels))
    assert (goal.task, goal.positive) == ("binary", positive)


def test_numbers_are_classes_only_if_whole_few_and_dense() -> None:
    """Anything else is an amount."""
    assert target_decision(integers("grade", distinct=6, low=3, high=8)).task == "multiclass"
    assert target_decision(integers("rings", distinct=28, low=1, high=29)).task == "regression"
    assert target_decision(integers("cents", distinct=6, low=0, high=5000)).task == "regression"
    assert target_decision(replace(integers("share", distinct=6, high=5), n_integers=10)).task == "regression"


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (column(n_missing=1000, n_distinct=0), "has no value"),
        (texts(levels={"a": 1000}), "constant"),
        (column(type_name="BLOB", n_distinct=1), "has values of type BLOB; expected numbers or classes"),
        (texts(levels={"a": 999, "b": 1}), "only one row"),
        (texts(levels={"a": 500, "b": 499, "c": 1}), "'c'"),
        (column(n_distinct=400, example="31 EUR"), "400 different texts .such as '31 EUR'."),
        (column(n_dates=1000, earliest=datetime(2024, 1, 1), latest=datetime(2024, 2, 3)), "found dates"),
        (integers(distinct=100, n_infinite=2), "infinite values in 2 rows"),
    ],
)
def test_a_target_that_cannot_be_learnt_is_refused(target: ColumnStatistics, message: str) -> None:
    """The message says what was found."""
    with pytest.raises(SchemaError, match=message):
        target_decision(target)


def test_words_for_no_value_count_among_numbers_but_stay_levels_among_words() -> None:
    """'unknown' is an answer in a column of words."""
    found = missing_texts({"age": [("?", 5), ("broken", 1)], "job": [("unknown", 9), ("n/a", 2)]}, numbers=["age"])
    assert list(found) == ["?", "broken", "n/a"]
    assert list(missing_texts({"job": [("\\N", 9), ("<NA>", 2), ("-", 7), ("none", 7)]}, numbers=[])) == ["\\N", "<NA>"]


def test_a_column_of_numbers_may_hold_a_few_other_texts() -> None:
    """Not many, and not often: then it is a column of words."""
    assert reads_as_one(1000, [("NA", 5000)])
    assert reads_as_one(1000, [("#DIV/0!", 200), ("k.A.", 200), ("\\N", 200)])
    assert reads_as_one(1000, [("error", 20)])
    assert not reads_as_one(1000, [("error", 200)])
    assert not reads_as_one(1000, [(f"t{i}", 1) for i in range(30)])


def test_texts_from_the_data_are_shown_in_one_short_line() -> None:
    """Neither line breaks nor length get through."""
    assert "\n" not in short("a\nb" * 1000)
    assert len(short("é" * 10_000)) < 50
