"""Rows and answers that a bundle brings along."""

from __future__ import annotations

import numpy as np
import pandas as pd

from core.feature_contract import FeatureContract
from core.train.rehearsal import rehearsal_frame, rehearsal_parts


def test_the_example_comes_first_then_rows_from_everywhere() -> None:
    """At most 1,000 rows besides the example, the first and the last among them, each with its own answer."""
    contract = FeatureContract("regression", "y", (), ("x",), (), (), ())
    frame = pd.DataFrame({"x": np.arange(5000), "other": 0}, index=np.arange(5000)[::-1])
    made = rehearsal_frame(frame, 2.0 * np.arange(5000), contract, np.array([7, 3]))
    rows, expected = rehearsal_parts(made, contract)
    assert list(made.columns) == ["input.x", "output.0"]
    assert rows["x"].iloc[:3].tolist() == [7, 3, 0]
    assert (len(rows), rows["x"].iloc[-1], rows["x"].iloc[2:].is_monotonic_increasing) == (1002, 4999, True)
    np.testing.assert_array_equal(expected, 2.0 * rows["x"])


def test_columns_that_bear_the_name_of_an_answer_stay_columns() -> None:
    """A data set may have a column output.0."""
    contract = FeatureContract("binary", "y", ("0", "1"), ("output.0",), ("input.output.0",), (), ())
    frame = pd.DataFrame({"output.0": [1.0, 2.0], "input.output.0": ["a", None]})
    output = np.array([[0.1, 0.9], [0.7, 0.3]])
    rows, expected = rehearsal_parts(rehearsal_frame(frame, output, contract, np.array([1])), contract)
    assert rows["output.0"].tolist() == [2.0, 1.0, 2.0]
    assert rows["input.output.0"].isna().tolist() == [True, False, True]
    np.testing.assert_array_equal(expected, output[[1, 0, 1]])
