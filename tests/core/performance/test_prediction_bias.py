"""Probabilities that are too high or too low are told from chance and from what was so on the holdout."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from core.metrics.calibration import CalibrationChange
from core.metrics.evaluation import evaluate
from core.metrics.strata import Strata
from core.performance.prediction_bias import EventLevel, PredictionBias, event_level, prediction_bias, reference_level
from tests.core.samples import SAMPLES, binary_sample, credit_frame, task_config, task_contract

RIGHT = EventLevel(0.3, 0.3, 100_000)
RULE: dict[str, Any] = {"tolerated": 0.02, "max_ratio": 1.25, "confidence": 0.99}


def _bias(n: int, seed: int, lowered: float = 1.0, reference: EventLevel = RIGHT) -> PredictionBias:
    y, output = binary_sample(n, seed)
    chance = output[:, 1] * lowered
    found = prediction_bias(y, np.column_stack([1 - chance, chance]), reference, **RULE)
    assert found is not None
    return found


def test_right_probabilities_are_rarely_called_wrong() -> None:
    """Of 400 windows with nothing tolerated, one in a hundred may be; the interval holds zero as often as it says."""
    rule = {**RULE, "tolerated": 0.0}
    found = [prediction_bias(*binary_sample(500, seed), RIGHT, **rule) for seed in range(400)]
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
    again = _bias(2_000, 2, lowered=0.5, reference=EventLevel(usual.observed, usual.predicted, 2_000))
    assert again.harmed is False


def test_harm_is_excluded_only_by_intervals_within_the_bounds() -> None:
    """Few rows do not show a bias and do not exclude one; many rows do, for the difference and for the ratio."""
    few, many = _bias(300, 1), _bias(60_000, 1)
    assert (few.harmed, many.harmed) == (False, False)
    assert (few.excludes_harm(1.25), many.excludes_harm(1.25)) == (False, True)
    assert not many.excludes_harm(1.001)
    assert not _bias(2_000, 1, lowered=0.5).excludes_harm(10.0)
    assert not replace(many, ratio_high=None).excludes_harm(1.25)
    assert replace(many, ratio=None, ratio_low=None, ratio_high=None).excludes_harm(1.25)


def test_a_small_holdout_does_not_make_quiet_windows_harmed() -> None:
    """Training, holdout (100 rows) and window (2,000) of one distribution: harm at most as often as stated, 0.33 %."""
    generator = np.random.default_rng(0)
    rule = {**RULE, "confidence": 1 - 0.01 / 3}
    found = [_quiet_bias(generator, rule) for _ in range(400)]
    assert sum(bool(one.harmed) for one in found) <= 4
    assert "on the holdout (± " in found[0].reason


def _quiet_bias(generator: np.random.Generator, rule: dict[str, Any]) -> PredictionBias:
    model = LogisticRegression().fit(*_quiet_rows(400, generator))
    parts = [(y, model.predict_proba(x)) for x, y in (_quiet_rows(n, generator) for n in (100, 2_000))]
    found = prediction_bias(*parts[1], _level(*parts[0]), **rule)
    assert found is not None
    return found


def _quiet_rows(n: int, generator: np.random.Generator) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    x = generator.normal(size=(n, 3))
    chance = 1 / (1 + np.exp(0.5 - x @ [1.0, 0.5, 0.3]))
    return x, (generator.random(n) < chance).astype(np.int64)


def test_few_rows_and_numbers_have_no_answer() -> None:
    """Rare events need rows; predicted numbers have no level of their own."""
    assert _bias(199, 1, lowered=0.1).harmed is None
    assert prediction_bias(np.ones(5), np.ones(5), RIGHT, **RULE) is None
    assert prediction_bias(np.array([], dtype=int), np.empty((0, 2)), RIGHT, **RULE) is None


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_the_holdouts_bias_is_read_from_its_evaluation(task: str) -> None:
    """The bins of the document say the same as the rows did."""
    config, (y, output) = task_config(task), SAMPLES[task](800, 3)
    evaluation = evaluate(y, output, credit_frame(800, 1), task_contract(config), config).to_dict()
    found, level = prediction_bias(y, output, RIGHT, **RULE), reference_level(evaluation)
    assert (found is None) == (level is None)
    if found is not None and level is not None:
        assert (level.observed, level.predicted) == pytest.approx((found.observed, found.predicted), abs=1e-12)
        assert level.n_rows == 800


def _rare(n: int, rate: float, generator: np.random.Generator) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Probabilities around 0.59 %, and events of a world with another rate in which all odds grew alike."""
    chance = np.minimum(generator.gamma(1.0, 0.0059, n), 0.9)
    y = (generator.random(n) < chance * rate / 0.0059).astype(np.int64)
    return y, np.column_stack([1 - chance, chance])


def _level(y: np.ndarray[Any, Any], output: np.ndarray[Any, Any]) -> EventLevel:
    return event_level(output[:, 1], y == 1, Strata(np.zeros(len(y), dtype=np.int64), np.array([float(len(y))])))


def test_rare_events_that_become_half_as_frequent_again_are_harm() -> None:
    """From 0.59 to 0.89 % the difference is 0.3 points, far below the tolerance; the ratio is 1.5."""
    generator = np.random.default_rng(4)
    holdout = _level(*_rare(60_000, 0.0059, generator))
    found = prediction_bias(*_rare(100_000, 0.0089, generator), holdout, **RULE)
    assert found is not None
    assert found.ratio is not None
    assert found.ratio_low is not None
    assert abs(found.observed - found.predicted) < 0.004
    assert found.ratio_low > 1
    assert found.harmed
    assert "times that of the holdout" in found.reason


def test_the_tolerated_difference_is_in_proportion_to_the_deviation_of_the_event() -> None:
    """At 1 % a fifth of the bound is tolerated, as in the gate, so the difference alone shows a rare event."""
    chance = np.full(50_000, 0.01)
    output = np.column_stack([1 - chance, chance])
    rule = {**RULE, "max_ratio": 100.0}
    found = [
        prediction_bias(
            (np.arange(50_000) % 1_000 < events).astype(np.int64), output, EventLevel(0.01, 0.01, n), **rule
        )
        for events, n in ((13, 50_000), (16, 50_000))
    ]
    assert [one and one.harmed for one in found] == [False, True]
    assert found[0] is not None
    assert found[0].tolerated == pytest.approx(0.02 * CalibrationChange(0, 0, 0, 0, 0, event_rate=0.01).scale, rel=0.01)
    assert "and 0.398% more is tolerated" in found[0].reason
    none = prediction_bias(np.zeros(500, dtype=np.int64), output[:500], EventLevel(0.0, 0.01, 1_000), **RULE)
    assert none is not None
    assert none.tolerated > 0


def test_rare_events_of_the_same_rate_are_rarely_called_harm() -> None:
    """Of 400 pairs of a holdout with 60 events and a larger window, at most 2 % are; the interval covers 1."""
    generator = np.random.default_rng(6)
    found = []
    for _ in range(400):
        holdout = _level(*_rare(10_000, 0.0059, generator))
        found.append(prediction_bias(*_rare(20_000, 0.0059, generator), holdout, **RULE))
    assert sum(bool(one and one.harmed) for one in found) <= 8
    ends = [(one.ratio_low, one.ratio_high) for one in found if one]
    assert np.mean([low <= 1 <= high for low, high in ends if low is not None and high is not None]) >= 0.98


def test_stratified_rows_give_the_level_of_all_rows() -> None:
    """All events and a tenth of the other rows, weighted, have the frequency and nearly the probability of all."""
    generator = np.random.default_rng(7)
    y, output = _rare(100_000, 0.0059, generator)
    kept = (y == 1) | (generator.random(len(y)) < 0.1)
    strata = Strata(y[kept], np.bincount(y).astype("float64"))
    whole, part = _level(y, output), event_level(output[kept, 1], y[kept] == 1, strata)
    assert part.observed == pytest.approx(whole.observed, abs=1e-12)
    assert part.predicted == pytest.approx(whole.predicted, rel=4 * part.drawing**0.5)
    assert part.n_rows == whole.n_rows
    assert 0 < part.drawing < 0.001
    assert whole.drawing == 0
