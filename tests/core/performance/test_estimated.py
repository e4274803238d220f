"""What an estimate without labels answers: harmed, not harmed, or nothing, and why."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from core.metrics.metrics import METRICS, Floats, metric_values, task_metrics
from core.performance.cbpe import CbpeReference, reference_cbpe
from core.performance.estimated import EXCLUSION, estimated_performance
from core.performance.loss import Performance
from tests.core.performance.cbpe_cases import binary
from tests.core.samples import binary_sample


def _estimated(output: Floats, reference: CbpeReference, **changes: Any) -> Performance:
    return estimated_performance(output, reference, **{"max_loss": 0.02, "confidence": 0.99, **changes})


def _lowest_scores(n: int) -> Floats:
    output = binary_sample(40_000, 2)[1]
    return output[np.argsort(output[:, 1])[:n]]


@pytest.mark.parametrize("metric", task_metrics("binary"))
def test_quiet_windows_are_rarely_estimated_to_be_harmed(metric: str) -> None:
    """Rows like the holdout's show harm in 1 of 40 windows at 95 % confidence, with no loss tolerated."""
    alarms = 0
    for seed in range(60):
        reference = reference_cbpe(*binary_sample(600, 2 * seed), metric)
        output = binary_sample(300, 2 * seed + 1)[1]
        alarms += bool(_estimated(output, reference, max_loss=0.0, confidence=0.95).harmed)
    assert alarms <= 6


def test_harder_rows_are_found_without_labels() -> None:
    """Rows that move to where the model is less sure are estimated to be worse, by what the labels later say."""
    case = binary(1.0, 9)
    found = _estimated(case.window, reference_cbpe(case.y, case.reference, "accuracy"))
    realised = metric_values(case.window_y, case.window, ("accuracy",))["accuracy"]
    assert found.harmed
    assert found.low is not None
    assert found.high is not None
    assert found.low < realised < found.high
    assert found.reason.startswith("accuracy is estimated at 0.7")
    assert "on 1,500 rows (labels unused), 0.7" in found.reason
    assert "estimated in the same way on the holdout: a loss of" in found.reason


def test_constant_scores_are_harm() -> None:
    """The AUC of equal scores is one half, whatever the labels."""
    reference = reference_cbpe(*binary_sample(2_000, 1), "roc_auc")
    assert _estimated(np.tile([0.7, 0.3], (400, 1)), reference).harmed


def test_many_quiet_rows_exclude_harm_and_say_what_is_assumed() -> None:
    """With enough rows the interval lies within the tolerance; a new meaning of the features is not excluded."""
    reference = reference_cbpe(*binary_sample(20_000, 1), "roc_auc")
    found = _estimated(binary_sample(20_000, 2)[1], reference)
    assert found.harmed is False
    assert "a loss above the tolerated" in found.reason
    assert f"is excluded with {100 * EXCLUSION:.0f} % confidence" in found.reason
    assert found.reason.endswith("unless features and target are related in a new way")


def test_an_interval_wider_than_the_tolerance_is_no_answer() -> None:
    """A small loss on few rows does not show that there is no large one."""
    reference = reference_cbpe(*binary_sample(600, 1), "roc_auc")
    found = _estimated(binary_sample(300, 2)[1], reference, max_loss=0.001)
    assert found.harmed is None
    assert math.isfinite(found.value)
    assert found.reason.startswith("no answer: ROC AUC is estimated at")
    assert "the loss may be up to" in found.reason


def test_windows_with_a_loss_are_rarely_called_not_harmed() -> None:
    """Of windows whose expected loss is just above the tolerance, at most 1 in 20 is called not harmed."""
    generator = np.random.default_rng(0)

    def rows(n: int, spread: float) -> tuple[Any, Floats]:
        chance = 1 / (1 + np.exp(-spread * generator.normal(size=n)))
        return (generator.random(n) < chance).astype(int), np.column_stack([1 - chance, chance])

    before, after = (METRICS["roc_auc"].value(*rows(400_000, spread)) for spread in (1.5, 1.38))
    wrong = 0
    for _ in range(100):
        reference = reference_cbpe(*rows(3_000, 1.5), "roc_auc")
        wrong += _estimated(rows(2_000, 1.38)[1], reference, max_loss=(before - after) / before).harmed is False
    assert wrong <= 11


@pytest.mark.parametrize(
    ("output", "why"),
    [
        (np.repeat([[0.6, 0.4], [0.3, 0.7]], 200, axis=0), "they have only 2 distinct scores"),
        (_lowest_scores(400), "rows of one of the classes are expected among them"),
    ],
)
def test_scores_that_say_too_little_withhold_the_estimate(output: Floats, why: str) -> None:
    """Few scores, or next to no expected events: no number is shown, and the reason is told."""
    found = _estimated(output, reference_cbpe(*binary_sample(2_000, 1), "roc_auc"))
    assert (found.harmed, found.low, found.loss_high) == (None, None, None)
    assert math.isnan(found.value)
    assert math.isnan(found.loss)
    assert found.reason.startswith("no answer: ROC AUC of 400 rows (labels unused) is not estimated, because")
    assert why in found.reason


def test_certain_scores_are_not_taken_for_a_perfect_champion() -> None:
    """A holdout that is told apart without an error promises 1 for whatever comes; nothing is not harmed."""
    y = np.arange(1_000) % 2
    score = np.where(y == 1, 0.99, 0.01) + np.linspace(0, 0.005, 1_000)
    reference = reference_cbpe(y, np.column_stack([1 - score, score]), "roc_auc")
    window = np.random.default_rng(1).permutation(score)[:500]
    found = _estimated(np.column_stack([1 - window, window]), reference)
    assert found.harmed is None
    assert "nearly all chances are 0 or 1" in found.reason


def test_scores_beyond_the_holdouts_are_a_guess() -> None:
    """The calibration is constant beyond the scores it was fitted on."""
    y, output = binary_sample(4_000, 1)
    middle = (output[:, 1] > 0.2) & (output[:, 1] < 0.8)
    found = _estimated(binary_sample(1_000, 2)[1], reference_cbpe(y[middle], output[middle], "accuracy"))
    assert "have a score beyond the holdout's lowest or highest" in found.reason


def test_doubts_from_outside_are_told() -> None:
    """What the features or the labels say against the estimate stands in its reason."""
    reference = reference_cbpe(*binary_sample(2_000, 1), "roc_auc")
    found = _estimated(binary_sample(1_000, 2)[1], reference, doubts=("40 % of them are new",))
    assert found.harmed is None
    assert found.reason.endswith("because 40 % of them are new")


def test_a_new_meaning_is_never_seen_in_scores() -> None:
    """Labels that no longer follow the scores leave the estimate as it was."""
    y, output = binary_sample(20_000, 1)
    assert _estimated(binary_sample(20_000, 2)[1], reference_cbpe(y, output, "roc_auc")).harmed is False


@pytest.mark.parametrize("n", [0, 1, 199])
def test_few_rows_have_no_estimated_verdict(n: int) -> None:
    """An empty or tiny window is not judged by its scores either."""
    found = _estimated(binary_sample(500, 2)[1][:n], reference_cbpe(*binary_sample(500, 1), "roc_auc"))
    assert found.harmed is None
    assert "too few to judge ROC AUC: 200 are needed" in found.reason
