from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.metrics import brier_score_loss

from core.calibration import calibration, wilson_interval
from tests.core.samples import binary_sample, multiclass_sample, regression_sample


@pytest.mark.parametrize(("hits", "n"), [(0, 10), (3, 17), (17, 17), (500, 1000)])
def test_wilson_interval_equals_scipys(hits: int, n: int) -> None:
    """The interval of a share is SciPy's, also at 0 and 1."""
    expected = binomtest(hits, n).proportion_ci(0.9, method="wilson")
    assert wilson_interval(hits / n, n, 0.9) == pytest.approx(tuple(expected))


def test_errors_worked_by_hand() -> None:
    """Two scores, two bins: the error is the mean of the two distances, weighted by rows."""
    chance = np.repeat([0.2, 0.7], [60, 40])
    y = np.zeros(100, int)
    y[:18], y[60:80] = 1, 1
    found = calibration(y, np.column_stack([1 - chance, chance]), 0.95)
    assert found is not None
    assert [(part.n_rows, part.observed) for part in found.bins] == [(60, 0.3), (40, 0.5)]
    assert found.ece == pytest.approx(0.6 * 0.1 + 0.4 * 0.2)
    assert found.brier == pytest.approx(brier_score_loss(y, chance))


def test_bins_hold_equal_numbers_and_all_rows() -> None:
    """Distinct probabilities fall in ten bins of equal size that follow each other."""
    y, output = binary_sample(5_000, 1)
    found = calibration(y, output, 0.95)
    assert found is not None
    assert [part.n_rows for part in found.bins] == [500] * 10
    assert all(left.high < right.low for left, right in zip(found.bins, found.bins[1:], strict=False))
    assert all(part.observed_low <= part.observed <= part.observed_high for part in found.bins)


def test_calibrated_probabilities_have_a_small_error() -> None:
    """Outcomes drawn from the probabilities themselves give an error near zero, shifted ones the shift."""
    y, output = binary_sample(50_000, 2)
    shifted = np.clip(output + np.array([-0.05, 0.05]), 0, 1)
    assert (found := calibration(y, output, 0.95)) is not None
    assert found.ece < 0.01
    assert (moved := calibration(y, shifted, 0.95)) is not None
    assert moved.ece == pytest.approx(0.05, abs=0.01)


def test_several_classes_are_judged_by_the_most_probable() -> None:
    """The event is that the most probable class is right."""
    y, output = multiclass_sample(2_000, 1)
    found = calibration(y, output, 0.95)
    assert found is not None
    share = sum(part.observed * part.n_rows for part in found.bins) / 2_000
    assert share == pytest.approx((output.argmax(axis=1) == y).mean())
    assert found.bins[0].low == output.max(axis=1).min()


@pytest.mark.parametrize("n", [1, 29, 31])
def test_few_rows_share_one_bin(n: int) -> None:
    """Fewer rows than two bins need make one bin."""
    found = calibration(*binary_sample(n, 1), 0.95)
    assert found is not None
    assert [part.n_rows for part in found.bins] == [n]


def test_numbers_have_no_calibration() -> None:
    """Regression has no probabilities to calibrate."""
    assert calibration(*regression_sample(10, 1), 0.95) is None
