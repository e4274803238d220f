"""Probabilities that are too high or too low are told from chance and from what was so on the holdout."""

import numpy as np
import pytest

from core.metrics.evaluation import evaluate
from core.performance.prediction_bias import PredictionBias, prediction_bias, reference_bias
from tests.core.samples import SAMPLES, binary_sample, credit_frame, task_config, task_contract


def _bias(n: int, seed: int, lowered: float = 1.0, reference: float = 0.0) -> PredictionBias:
    y, output = binary_sample(n, seed)
    chance = output[:, 1] * lowered
    found = prediction_bias(y, np.column_stack([1 - chance, chance]), reference, tolerated=0.02, confidence=0.99)
    assert found is not None
    return found


def test_right_probabilities_are_rarely_called_wrong() -> None:
    """Of 400 windows with nothing tolerated, one in a hundred may be; the interval holds zero as often as it says."""
    found = [prediction_bias(*binary_sample(500, seed), 0.0, tolerated=0.0, confidence=0.99) for seed in range(400)]
    assert sum(bool(one and one.harmed) for one in found) <= 10
    assert sum(bool(one and one.low <= 0 <= one.high) for one in found) >= 390


def test_probabilities_that_are_too_low_are_found_though_the_ranking_is_the_same() -> None:
    """Half of what comes true is predicted: the AUC is untouched, the level is not."""
    found = _bias(2_000, 1, lowered=0.5)
    assert found.harmed
    assert found.observed - found.predicted == pytest.approx(0.5 * found.observed, abs=0.03)
    assert "mean probability" in found.reason


def test_what_was_so_on_the_holdout_is_no_news() -> None:
    """A champion that was 15 points too low when it was registered is no worse where it is so again."""
    usual = _bias(2_000, 1, lowered=0.5)
    again = _bias(2_000, 2, lowered=0.5, reference=usual.observed - usual.predicted)
    assert again.harmed is False


def test_few_rows_and_numbers_have_no_answer() -> None:
    """Rare events need rows; predicted numbers have no level of their own."""
    assert _bias(199, 1, lowered=0.1).harmed is None
    assert prediction_bias(np.ones(5), np.ones(5), 0.0, tolerated=0.0, confidence=0.99) is None
    assert prediction_bias(np.array([], dtype=int), np.empty((0, 2)), 0.0, tolerated=0.0, confidence=0.99) is None


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_the_holdouts_bias_is_read_from_its_evaluation(task: str) -> None:
    """The bins of the document say the same as the rows did."""
    config, (y, output) = task_config(task), SAMPLES[task](800, 3)
    evaluation = evaluate(y, output, credit_frame(800, 1), task_contract(config), config).to_dict()
    found = prediction_bias(y, output, 0.0, tolerated=0.0, confidence=0.99)
    if found is None:
        assert reference_bias(evaluation) is None
    else:
        assert reference_bias(evaluation) == pytest.approx(found.observed - found.predicted, abs=1e-12)
