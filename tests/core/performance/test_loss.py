from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from core.metrics.bootstrap import Estimate, estimates
from core.metrics.metrics import Floats, task_metrics
from core.metrics.strata import Strata
from core.performance.loss import Performance, change_text, realised_performance
from tests.core.samples import SAMPLES, binary_sample, regression_sample

ACCURACY = Estimate(0.8, 0.78, 0.82)


def _realised(y: npt.NDArray[Any], output: Floats, metric: str, reference: Estimate, **changes: Any) -> Performance:
    settings: dict[str, Any] = {"max_loss": 0.02, "confidence": 0.95, "seed": 0, **changes}
    return realised_performance(y, output, metric, reference, 0.95, **settings)


def _right(n: int, n_right: int) -> tuple[npt.NDArray[Any], Floats]:
    """Rows of both classes, the first ones called right."""
    y = np.arange(n) % 2
    called = np.where(np.arange(n) < n_right, y, 1 - y)
    return y, np.eye(2)[called] * 0.8 + 0.1


def test_loss_worked_by_hand() -> None:
    """The ends of the loss are the roots of the summed squares of the distances to the ends that matter."""
    found = _realised(*_right(1_000, 700), "accuracy", ACCURACY)
    assert found.low is not None
    assert found.high is not None
    assert found.loss == pytest.approx(0.1)
    assert found.loss_low == pytest.approx(0.1 - math.hypot(0.02, found.high - 0.7))
    assert found.loss_high == pytest.approx(0.1 + math.hypot(0.02, 0.7 - found.low))
    assert found.tolerated == pytest.approx(0.016)
    assert found.harmed


def test_losses_are_worse_where_they_rise() -> None:
    """For a metric that is better small, the same ends change sides."""
    y, output = regression_sample(500, 1)
    found = _realised(y, output, "rmse", Estimate(0.5, 0.45, 0.56))
    assert found.low is not None
    assert found.high is not None
    assert found.loss == pytest.approx(found.value - 0.5)
    assert found.loss_low == pytest.approx(found.loss - math.hypot(0.06, found.value - found.low))
    assert found.loss_high == pytest.approx(found.loss + math.hypot(0.05, found.high - found.value))
    assert found.harmed


def test_reference_interval_is_stretched_to_the_confidence() -> None:
    """A holdout's 95 % interval is made as wide as one of 99 %."""
    found = _realised(*_right(1_000, 700), "accuracy", ACCURACY, confidence=0.99)
    assert found.reference_low == pytest.approx(0.8 - 0.02 * 2.575829 / 1.959964, abs=1e-6)
    assert found.reference_high == pytest.approx(0.8 + 0.02 * 2.575829 / 1.959964, abs=1e-6)


@pytest.mark.parametrize(
    ("n", "n_right", "harmed", "words"),
    [
        (1_000, 850, False, "0.8 on the holdout: no loss"),
        (1_000, 790, False, "a loss of 0.01 ("),
        (1_000, 790, False, "; a loss above the tolerated 0.016 is neither shown nor excluded"),
        (100, 81, False, "a gain of 0.01 ("),
        (100, 81, False, "; a loss above the tolerated 0.016 is neither shown nor excluded"),
        (100, 76, None, "which may be chance; 0.016 is tolerated"),
        (1_000, 700, True, "a loss of 0.1 ("),
        (10, 0, None, "10 labelled rows are too few to judge accuracy: 30 are needed"),
        (1, 0, None, "1 labelled row is too few to judge accuracy"),
    ],
)
def test_harm_is_beyond_chance_and_beyond_tolerance(n: int, n_right: int, harmed: bool | None, words: str) -> None:
    """A small loss is no harm; a larger one that may be chance, and too few rows, leave it open."""
    found = _realised(*_right(n, n_right), "accuracy", ACCURACY)
    assert found.harmed is harmed
    assert words in found.reason


def test_a_gain_is_given_with_the_interval_of_the_gain() -> None:
    """The ends of the loss change places and signs; without an interval there are none."""
    found = replace(
        _realised(*_right(100, 82), "accuracy", ACCURACY), loss=-0.0124, loss_low=-0.0307, loss_high=0.00629
    )
    assert change_text(found, 0.95) == "a gain of 0.0124 (95 % interval -0.00629 to 0.0307)"
    assert change_text(replace(found, loss_low=None), 0.95) == "a gain of 0.0124"
    assert change_text(replace(found, loss=0.01), 0.95) == "a loss of 0.01 (95 % interval -0.0307 to 0.00629)"


def test_no_rows_are_no_answer() -> None:
    """A window without labels does not pass for a good one."""
    found = _realised(np.zeros(0, dtype=int), np.zeros((0, 2)), "roc_auc", ACCURACY)
    assert found.harmed is None
    assert found.reason == "0 labelled rows are too few to judge ROC AUC: 30 are needed"


def test_one_class_leaves_the_auc_undefined() -> None:
    """Rows of one class give no AUC and no verdict."""
    found = _realised(np.zeros(100, dtype=int), binary_sample(100, 1)[1], "roc_auc", ACCURACY)
    assert math.isnan(found.value)
    assert found.harmed is None
    assert "ROC AUC is not defined on 100 labelled rows" in found.reason


def test_an_undefined_reference_is_no_answer() -> None:
    """Without a value on the holdout there is nothing to compare with."""
    found = _realised(*binary_sample(100, 1), "roc_auc", Estimate(math.nan, None, None))
    assert found.harmed is None
    assert "not defined on the holdout" in found.reason


def test_scores_that_are_no_numbers_are_no_answer() -> None:
    """NaN among the scores does not pass for a low score."""
    y, output = binary_sample(100, 1)
    assert _realised(y, np.where(output > 0.9, np.nan, output), "roc_auc", ACCURACY).harmed is None


@pytest.mark.parametrize(("metric", "answer"), [("accuracy", 0.0), ("roc_auc", 0.0), ("f1", 0.0)])
def test_a_window_without_a_hit_is_harmed(metric: str, answer: float) -> None:
    """All rows score alike, at the very bottom: that is no lack of evidence."""
    found = _realised(*_right(200, 0), metric, ACCURACY)
    assert found.value == answer
    assert found.harmed


def test_constant_scores_are_harm() -> None:
    """A champion that says the same of every row ranks nothing."""
    y = np.arange(400) % 2
    output = np.full((400, 2), 0.5)
    assert _realised(y, output, "roc_auc", ACCURACY).harmed


def test_no_event_to_find_is_no_harm() -> None:
    """A window without events has F1 zero for want of them."""
    found = _realised(np.zeros(200, dtype=int), binary_sample(200, 3, rate=0.5)[1], "f1", ACCURACY)
    assert (found.value, found.harmed) == (0, None)
    assert "whether it is chance is unknown" in found.reason


def test_a_reference_without_interval_leaves_a_loss_open() -> None:
    """A perfect holdout has no interval; a loss against it may be chance, a gain is none."""
    perfect = Estimate(1.0, None, None)
    assert _realised(*_right(200, 150), "accuracy", perfect).harmed is None
    assert _realised(*_right(200, 200), "accuracy", perfect).harmed is False


def test_same_seed_same_interval() -> None:
    """The verdict of a window is the same tomorrow."""
    rows = binary_sample(300, 2)
    assert _realised(*rows, "f1", ACCURACY) == _realised(*rows, "f1", ACCURACY)
    assert _realised(*rows, "f1", ACCURACY) != _realised(*rows, "f1", ACCURACY, seed=1)


@pytest.mark.parametrize(("task", "metric"), [(task, name) for task in SAMPLES for name in task_metrics(task)])
def test_quiet_windows_are_rarely_harmed(task: str, metric: str) -> None:
    """Rows like the holdout's show harm in 1 of 40 windows at 95 % confidence, with no loss tolerated."""
    make, alarms = SAMPLES[task], 0
    for seed in range(40):
        reference = estimates(*make(600, 2 * seed), (metric,), resamples=400, confidence=0.95, seed=0)[metric]
        alarms += bool(_realised(*make(300, 2 * seed + 1), metric, reference, max_loss=0.0).harmed)
    assert alarms <= 5


def _rare(n: int, rate: float, separation: float, seed: int) -> tuple[npt.NDArray[Any], Floats]:
    generator = np.random.default_rng(seed)
    y = (generator.random(n) < rate).astype(np.int64)
    chance = 1 / (1 + np.exp(4 - generator.normal(size=n) - separation * y))
    return y, np.column_stack([1 - chance, chance])


@pytest.mark.parametrize(("rate", "separation", "harmed"), [(0.01, 1.3, False), (0.02, 0.4, True), (0.08, 0.4, True)])
def test_average_precision_is_compared_at_one_rate_of_events(rate: float, separation: float, harmed: bool) -> None:
    """Half as many events in the same order are no loss; a worse order is one, also with more events."""
    y, output = _rare(30_000, 0.02, 1.3, 1)
    reference = estimates(y, output, ("average_precision",), resamples=500, confidence=0.95, seed=0)
    window = _rare(60_000, rate, separation, 2)
    found = _realised(*window, "average_precision", reference["average_precision"], rate=float(y.mean()))
    assert (found.harmed is True) is harmed
    assert "at the holdout's rate of events" in found.reason
    plain = _realised(*window, "average_precision", reference["average_precision"])
    assert found.value == plain.value
    assert (plain.loss > 0.2 * plain.reference) is (rate < 0.08)


def test_loss_on_strata_is_that_of_the_rows_they_stand_for() -> None:
    """All events and a tenth of the other rows find the loss of ROC AUC that all rows show."""
    y, output = _rare(60_000, 0.02, 0.9, 3)
    kept = (y == 1) | (np.arange(len(y)) % 10 == 0)
    strata = Strata(y[kept], np.bincount(y).astype("float64"))
    reference = Estimate(0.82, 0.81, 0.83)
    whole = _realised(y, output, "roc_auc", reference)
    found = _realised(y[kept], output[kept], "roc_auc", reference, strata=strata)
    assert (found.harmed, whole.harmed) == (True, True)
    assert found.value == pytest.approx(whole.value, abs=0.01)
    assert "labelled rows that represent 60,000" in found.reason
