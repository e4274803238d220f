from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss

from core.metrics.calibration import calibration, calibration_change
from core.metrics.clusters import Clusters, Grouping
from core.metrics.metrics import Floats
from tests.core.samples import binary_sample, multiclass_sample, regression_sample


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


def _shifted(output: Floats, shift: float) -> Floats:
    chance = np.clip(output[:, 1] + shift, 0, 1)
    return np.column_stack([1 - chance, chance])


def test_change_is_the_difference_of_both_errors() -> None:
    """Both errors are those of the models alone, and the loss is positive where the challenger is trusted less."""
    y, output = binary_sample(5_000, 1)
    shifted = _shifted(output, 0.08)
    for champion, challenger, sign in ((output, shifted, 1), (shifted, output, -1)):
        alone = [calibration(y, model, 0.95) for model in (champion, challenger)]
        found = calibration_change(y, champion, challenger, 0.95)
        assert found is not None
        assert [found.champion, found.challenger] == pytest.approx([part.ece for part in alone if part])
        assert found.loss == pytest.approx(found.challenger - found.champion)
        assert found.low < found.loss < found.high
        assert np.sign([found.low, found.high]).tolist() == [sign, sign]
        assert found.champion_low is not None
        assert (found.champion_low > 0.05) == (champion is shifted)
        assert found.event_rate == (y == 1).mean()


def test_change_of_several_classes_is_that_of_the_most_probable() -> None:
    """Probabilities pushed away from the truth lose calibration with several classes too."""
    y, output = multiclass_sample(3_000, 1)
    sure = output**3 / (output**3).sum(axis=1, keepdims=True)
    found = calibration_change(y, output, sure, 0.95)
    assert found is not None
    assert found.low > 0.05


def test_equal_probabilities_change_nothing() -> None:
    """A model against itself has exactly no loss."""
    y, output = binary_sample(500, 1)
    found = calibration_change(y, output, output.copy(), 0.95)
    assert found is not None
    assert (found.loss, found.low, found.high) == (0, 0, 0)


def _blurred(output: Floats, generator: np.random.Generator) -> Floats:
    odds = output * np.exp(0.4 * generator.normal(size=output.shape))
    return np.asarray(odds / odds.sum(axis=1, keepdims=True))


@pytest.mark.parametrize(("shift", "n_worse"), [(0.0, 8), (0.1, 15)], ids=["calibrated", "alike wrong"])
def test_equally_calibrated_models_seldom_look_worse(shift: float, n_worse: int) -> None:
    """Of 300 pairs that are calibrated alike about 2.5 % have an interval above zero, fewer where both are right."""
    worse, losses, errors = 0, [], []
    for seed in range(300):
        generator = np.random.default_rng(seed)
        y, output = binary_sample(800, seed)
        champion, challenger = (_shifted(_blurred(output, generator), shift) for _ in range(2))
        found = calibration_change(y, champion, challenger, 0.95)
        assert found is not None
        worse += found.low > 0
        losses.append(found.loss)
        errors.append((found.high - found.low) / (2 * 1.96))
    assert worse <= n_worse
    assert np.std(losses) < 1.1 * np.mean(errors)


def test_copies_of_rows_say_as_little_about_calibration_as_one() -> None:
    """Each row ten times, as a customer's, has an interval of about the same width as once."""
    y, output = binary_sample(500, 2)
    other = _blurred(output, np.random.default_rng(0))
    copies = np.repeat(np.arange(500), 10)
    clusters = Clusters((Grouping("customer", "", copies),))
    sides = y[copies], output[copies], other[copies], 0.95
    once, plain = calibration_change(y, output, other, 0.95), calibration_change(*sides)
    clustered = calibration_change(*sides, clusters)
    assert once is not None
    assert plain is not None
    assert clustered is not None
    assert clustered.loss == plain.loss
    assert clustered.high - clustered.low == pytest.approx(np.sqrt(10) * (plain.high - plain.low), rel=0.05)
    assert clustered.high - clustered.low == pytest.approx(once.high - once.low, rel=0.3)


def test_no_change_is_told_of_numbers_few_rows_or_predictions_that_are_not_finite() -> None:
    """Regression, fewer than 30 rows and NaN give None rather than a number without meaning."""
    y, output = binary_sample(100, 1)
    broken = output.copy()
    broken[3] = np.nan
    assert calibration_change(y, output, broken, 0.95) is None
    assert calibration_change(y, broken, output, 0.95) is None
    assert calibration_change(y[:29], output[:29], output[:29], 0.95) is None
    numbers, predicted = regression_sample(100, 1)
    assert calibration_change(numbers, predicted, predicted, 0.95) is None
