import pytest

from core.data.columns import column_types, columns_problem, empty_columns_problem, target_problem
from tests.factories import credit_config


def test_types_stand_in_the_contracts_order() -> None:
    """Key, time, target, features and ignored columns each have the type of their role."""
    config = credit_config(
        time="applied", features={"numeric": ["age"], "dates": ["applied", "hired"], "ignored": ["note"]}
    )
    assert list(column_types(config).items()) == [
        ("id", "VARCHAR"),
        ("applied", "TIMESTAMP"),
        ("default", "VARCHAR"),
        ("age", "DOUBLE"),
        ("region", "VARCHAR"),
        ("owner", "BOOLEAN"),
        ("hired", "TIMESTAMP"),
        ("note", "VARCHAR"),
    ]


def test_a_regression_target_is_a_number() -> None:
    """The target of a regression is stored as DOUBLE."""
    config = credit_config(task="regression", positive=None, gate={"metric": "rmse", "floor": 1})
    assert column_types(config)["default"] == "DOUBLE"


def test_a_missing_column_is_named_with_the_closest_found() -> None:
    """A declared column that is not there is reported with the nearest name, whatever its case."""
    problem = columns_problem(["id", "Income", "age", "region", "owner", "defualt"], credit_config())
    assert problem is not None
    assert "'default' (closest: 'defualt')" in problem
    assert "'income' (closest: 'Income')" in problem
    assert "found: 'id', 'Income'" in problem
    assert columns_problem(credit_config().columns, credit_config()) is None


def test_a_column_in_another_unicode_form_is_explained() -> None:
    """A name that looks like the declared one is told apart in words."""
    config = credit_config(features={"numeric": ["income", "\u00e2ge"]})
    problem = columns_problem(["id", "income", "a\u0302ge", "region", "owner", "default"], config)
    assert problem is not None
    assert "which looks the same but is in another Unicode form: NFD instead of NFC" in problem


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ({"0": 5, "1": 5}, None),
        ({}, "no value in any row"),
        ({"0": 5}, "constant: every labelled row has '0'"),
        ({"0": 5, "1": 1}, "only one row of '1'"),
        ({"0": 5, "1": 0}, "constant"),
    ],
)
def test_a_target_that_cannot_be_learnt_is_explained(counts: dict[str, int], expected: str | None) -> None:
    """No label, one label, and a label of one row are problems; anything else is not."""
    problem = target_problem(counts, credit_config())
    assert problem is None if expected is None else expected in str(problem)


def test_a_regression_may_hold_each_value_once() -> None:
    """A value that occurs once is a problem for classes only."""
    config = credit_config(task="regression", positive=None, gate={"metric": "rmse", "floor": 1})
    assert target_problem({"1.5": 1, "2.5": 1}, config) is None
    assert "constant" in str(target_problem({"1.5": 7}, config))


@pytest.mark.parametrize(
    ("empty", "expected"),
    [("default", "target 'default'"), ("id", "the key"), ("income", "move it to features.ignored"), ("note", None)],
)
def test_a_column_that_holds_nothing_is_a_problem_where_it_is_needed(empty: str, expected: str | None) -> None:
    """Target, key and features need a value somewhere; an ignored column needs none."""
    config = credit_config(features={"ignored": ["note"]})
    n_values = {column: 0 if column == empty else 3 for column in config.columns}
    problem = empty_columns_problem(n_values, config)
    assert problem is None if expected is None else expected in str(problem)
