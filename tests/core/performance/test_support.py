"""Rows inside and outside the support of labelled rows."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from core.performance.support import feature_matrices, support
from tests.core.samples import credit_frame, task_config, task_contract

CONTRACT = task_contract(task_config("binary"))
FEATURES = CONTRACT.raw_columns


def _rows(n: int, seed: int) -> pd.DataFrame:
    return credit_frame(n, seed)[list(FEATURES)]


def test_rows_of_the_same_world_are_inside() -> None:
    """No doubt is raised, and nearly all labelled rows count."""
    found = support(_rows(1_500, 1), _rows(800, 2), CONTRACT, FEATURES, 0)
    assert found.doubts == ()
    assert found.weights.mean() == pytest.approx(1)
    assert found.effective_rows > 1_200


def test_values_that_were_never_seen_are_outside_and_named() -> None:
    """A number beyond the range of the labelled rows; the column stands in the sentence."""
    window = _rows(800, 2)
    window["income"] = window["income"] + 10 * window["income"].max()
    found = support(_rows(1_500, 1), window, CONTRACT, FEATURES, 0)
    assert found.columns[0] == "income"
    assert "of them have a value that the labelled rows do not have (income" in found.doubts[0]


def test_a_column_that_does_not_matter_may_be_anywhere() -> None:
    """Only features that the champion uses are asked about."""
    window = _rows(800, 2).assign(income=1e9)
    assert support(_rows(1_500, 1), window, CONTRACT, ["age"], 0).doubts == ()


def test_new_combinations_of_known_values_are_recognised() -> None:
    """Each column alone is as before; together they are new."""
    generator = np.random.default_rng(0)

    def rows(n: int, sign: float) -> pd.DataFrame:
        first = generator.normal(size=n)
        both = {"age": first, "income": sign * first + 0.2 * generator.normal(size=n)}
        return _rows(n, 1).assign(**both)

    found = support(rows(2_000, 1.0), rows(1_000, -1.0), CONTRACT, ["age", "income"], 0)
    assert found.outside < 0.05
    assert "are unlike the labelled rows: they lie where few labelled rows are" in found.doubts[0]


def test_levels_are_codes_of_the_reference() -> None:
    """An unknown level is below all codes, and a missing one has none."""
    reference = _rows(4, 1).assign(region=pd.Series(["a", "a", "b", None]))
    here, there = feature_matrices(
        reference, reference.assign(region=pd.Series(["b", "c", None, "a"])), CONTRACT, ["region"]
    )
    np.testing.assert_array_equal(here[:, 0], [0, 0, 1, np.nan])
    np.testing.assert_array_equal(there[:, 0], [1, -1, np.nan, 0])
