from typing import Any

import numpy as np
import pandas as pd
import pytest

from core.contract import PrepareColumns
from core.errors import TrainingError
from core.feature_contract import MISSING, FeatureContract
from core.model_inputs import encode_target, prepare
from tests.factories import credit_config

CONTRACT = FeatureContract.of(
    credit_config(features={"numeric": ["income"], "dates": ["opened"]}),
    ["0", "1"],
)


def _rows() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "income": [1.5, np.nan],
            "region": ["north", None],
            "owner": pd.array([True, None], dtype="boolean"),
            "opened": pd.to_datetime(["2024-02-03 05:00", "NaT"]),
            "unrelated": [1, 2],
        }
    )


def test_rows_of_one_level_share_one_text() -> None:
    """Millions of rows hold references to a few texts, also where the level is missing."""
    rows = pd.concat([_rows()] * 50, ignore_index=True)
    name = CONTRACT.categorical[0]
    prepared = prepare(rows, CONTRACT)[name]
    assert len({id(text) for text in prepared}) == prepared.nunique()
    wanted = rows[name].astype(object).where(rows[name].notna(), MISSING)
    pd.testing.assert_series_equal(prepared, wanted)


def test_prepared_columns_are_float32_numbers_then_text() -> None:
    """Booleans and calendar parts are numbers, an absent category is a level of its own, the rest is left behind."""
    prepared = prepare(_rows(), CONTRACT)
    assert list(prepared) == list(CONTRACT.prepared_columns)
    assert prepared.loc[0].to_dict() == {
        "income": 1.5,
        "owner": 1.0,
        "opened.month": 2.0,
        "opened.day": 3.0,
        "opened.weekday": 5.0,
        "opened.hour": 5.0,
        "region": "north",
    }
    assert prepared.loc[1, "region"] == MISSING
    assert prepared.loc[1, list(CONTRACT.prepared_numeric)].isna().all()
    assert {str(prepared[name].dtype) for name in CONTRACT.prepared_numeric} == {"float32"}


def test_the_contract_survives_json() -> None:
    """What is stored with a model gives back the same contract, and the pipeline step works from it."""
    content = CONTRACT.to_dict()
    assert FeatureContract.from_dict({key: list(v) if isinstance(v, tuple) else v for key, v in content.items()}) == (
        CONTRACT
    )
    pd.testing.assert_frame_equal(PrepareColumns(content).fit_transform(_rows()), prepare(_rows(), CONTRACT))


@pytest.mark.parametrize(
    ("changes", "labels", "classes"),
    [
        ({}, ["1", "0"], ("0", "1")),
        ({"positive": "0"}, ["1", "0"], ("1", "0")),
        ({"task": "multiclass", "positive": None}, ["10", "9", "b", "a"], ("9", "10", "a", "b")),
    ],
)
def test_classes_have_one_order(changes: dict[str, Any], labels: list[str], classes: tuple[str, ...]) -> None:
    """Binary: the positive class last; otherwise numbers by value, then text."""
    assert FeatureContract.of(credit_config(**changes), labels).classes == classes


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (["1"], "is constant"),
        (["0", "1", "2"], "exactly two classes, found 3 .* set 'task: multiclass'"),
        (["yes", "no"], "'positive' is '1', but target 'default' has only 'no', 'yes'"),
    ],
)
def test_labels_that_do_not_fit_the_task_are_refused(labels: list[str], message: str) -> None:
    """One class, too many classes and an absent positive class each say what to do."""
    with pytest.raises(TrainingError, match=message):
        FeatureContract.of(credit_config(), labels)


def test_targets_become_codes_in_class_order() -> None:
    """An unknown label is an error, not a silent code."""
    assert encode_target(pd.Series(["1", "0", "1"]), CONTRACT).tolist() == [1, 0, 1]
    with pytest.raises(TrainingError, match=r"expected labels of the model's classes, found \['2'\]"):
        encode_target(pd.Series(["1", "2"]), CONTRACT)
