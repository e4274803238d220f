"""When two answers count as the same."""

from __future__ import annotations

import numpy as np
import pytest

from core.feature_contract import FeatureContract
from core.metrics.agreement import TOLERANCE, agreement, allowed_difference

BINARY = FeatureContract("binary", "y", ("0", "1"), ("x",), (), (), ())
REGRESSION = FeatureContract("regression", "y", (), ("x",), (), (), ())


def test_probabilities_agree_within_the_tolerance() -> None:
    """A row differs as soon as one of its probabilities does."""
    expected = np.array([[0.2, 0.8], [0.5, 0.5], [1.0, 0.0]])
    assert agreement(expected + 0.9 * TOLERANCE, expected, BINARY).holds
    apart = agreement(expected + np.array([[0, 0], [0, 2e-3], [0, 0]]), expected, BINARY)
    assert (apart.holds, apart.n_rows, apart.n_apart) == (False, 3, 1)
    assert apart.sentence == "by up to 2.0e-03 (allowed 1.0e-05) in 1 of 3 rows"


def test_values_agree_relative_to_their_spread() -> None:
    """What counts is the spread of the answers, and that a graph computes in float32."""
    expected = np.array([0.0, 1000.0, 2000.0])
    assert allowed_difference(expected, REGRESSION) == pytest.approx(1e-5 * 816.5 + 8 * 2**-23 * 2000, rel=1e-3)
    assert agreement(expected + 0.009, expected, REGRESSION).holds
    assert agreement(expected + 0.02, expected, REGRESSION).n_apart == 3
    constant = np.full(3, 1e6)
    assert agreement((constant * (1 + 1e-7)).astype("float32"), constant, REGRESSION).holds


@pytest.mark.parametrize("strange", [np.nan, np.inf])
def test_an_answer_that_is_no_number_differs(strange: float) -> None:
    """NaN is never within a tolerance, and no difference is stated for it."""
    found = agreement(np.array([1.0, strange]), np.array([1.0, 2.0]), REGRESSION)
    assert (found.n_apart, found.max_abs_diff) == (1, None)
    assert "infinite values or NaN" in found.sentence
