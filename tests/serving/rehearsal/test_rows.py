"""Rows of a request are taken at their word or refused."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import SchemaError
from core.feature_contract import FeatureContract
from core.model_inputs import prepare
from core.notations import DateNotation, NumberNotation, to_json
from serving.rehearsal.rows import parse_rows

CONTRACT = FeatureContract("binary", "y", ("0", "1"), ("age", "income"), ("region",), ("owner",), ("opened",))
COLUMNS = ["opened", "region", "age", "owner", "income", "note"]
ROW: list[Any] = ["2024-05-01T10:00:00", "north", 41, True, 2.5, {"left": "behind"}]


def request(*rows: list[Any], columns: object = COLUMNS) -> str:
    """Write rows as a request brings them."""
    return json.dumps({"columns": columns, "data": list(rows)})


def test_rows_are_typed_by_the_contract() -> None:
    """Whatever their order, columns become what the pipeline was trained on, and further ones are left behind."""
    rows = parse_rows(request(ROW, [None] * 6), CONTRACT)
    assert tuple(rows.columns) == CONTRACT.raw_columns
    assert [str(kind) for kind in rows.dtypes] == ["float64", "float64", "object", "object", "datetime64[us]"]
    assert rows.iloc[0].tolist() == [41.0, 2.5, "north", True, pd.Timestamp("2024-05-01T10:00:00")]
    assert rows.iloc[1].isna().all()
    assert prepare(rows, CONTRACT)["opened.hour"].tolist()[0] == 10


def test_texts_in_a_notation_are_the_values_that_they_state() -> None:
    """A row of the file is a row of a request; what states no value is refused by name."""
    notations = {
        "income": to_json(NumberNotation(",", "", "%")),
        "opened": to_json(DateNotation(("%d.%m.%Y",))),
    }
    contract = replace(CONTRACT, notations=notations, missing=("NA",))
    rows = parse_rows(request(["1.5.2024", "north", 41, True, "2,5 %", ""], [" NA", "n", 1, None, " ", ""]), contract)
    assert rows["income"].tolist()[0] == 2.5
    assert rows["opened"].tolist()[0] == pd.Timestamp("2024-05-01")
    assert rows[["income", "opened"]].iloc[1].isna().all()
    for place, strange in ((4, "2.5"), (0, "5/1/2024"), (0, [1])):
        with pytest.raises(SchemaError, match=f"column '{COLUMNS[place]}': expected a (number|date) such as"):
            parse_rows(request([*ROW[:place], strange, *ROW[place + 1 :]]), contract)


def test_no_rows_are_rows() -> None:
    """A request of nothing is an empty frame."""
    assert parse_rows(request(), CONTRACT).shape == (0, 5)


@pytest.mark.parametrize(
    ("place", "value", "says"),
    [
        (2, "41", "'age': expected a number or null, found '41'"),
        (2, True, "'age': expected a number"),
        (2, [1], "'age': expected a number"),
        (2, float("inf"), "'age': expected a number"),
        (2, 10**400, "'age': expected a number"),
        (1, 3, "'region': expected a string or null, found 3"),
        (3, "true", "'owner': expected true or false"),
        (3, 1, "'owner': expected true or false"),
        (0, 20240501, "'opened': expected a date such as"),
        (0, "yesterday", "'opened': expected a date such as"),
        (0, "2024-05-01T10:00:00 Europe/Berlin", "'opened': expected a date such as"),
        (0, "9" * 30, "'opened': expected a date such as"),
    ],
)
def test_a_value_of_another_kind_is_refused(place: int, value: object, says: str) -> None:
    """Nothing is guessed: a number in quotes is no number."""
    with pytest.raises(SchemaError, match=says):
        parse_rows(request([*ROW[:place], value, *ROW[place + 1 :]]), CONTRACT)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "expected JSON"),
        (b"\xff", "expected JSON"),
        ("[" * 100_000, "expected JSON"),
        ("[]", "expected JSON"),
        ('{"columns": []}', "expected JSON"),
        (request(columns=COLUMNS[:3]), "lack columns that the model needs: income, owner"),
        (request(columns=[*COLUMNS, "age"]), "distinct names"),
        (request(columns=[1, 2]), "distinct names"),
        (request(ROW[:3]), "rows of 6 values"),
        (json.dumps({"columns": COLUMNS, "data": [{"age": 1}]}), "rows of 6 values"),
        (json.dumps({"columns": COLUMNS, "data": "ab"}), "rows of 6 values"),
    ],
)
def test_what_is_no_table_is_refused(content: str | bytes, says: str) -> None:
    """Each with what was expected."""
    with pytest.raises(SchemaError, match=says):
        parse_rows(content, CONTRACT)


SCALARS = st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=12)
VALUES = SCALARS | st.lists(SCALARS, max_size=2)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.lists(VALUES, min_size=6, max_size=6), max_size=4))
def test_any_json_is_rows_or_a_refusal(rows: list[list[Any]]) -> None:
    """No value brings another error, and what is accepted can be prepared."""
    try:
        parsed = parse_rows(request(*rows), CONTRACT)
    except SchemaError:
        return
    assert len(prepare(parsed, CONTRACT)) == len(rows)
    assert not np.isinf(parsed[["age", "income"]].to_numpy()).any()
