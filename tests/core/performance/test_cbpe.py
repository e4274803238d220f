from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from sklearn.isotonic import IsotonicRegression

from core.metrics.bootstrap import MIN_ROWS
from core.metrics.metrics import Floats, metric_values, task_metrics
from core.performance.cbpe import CbpeReference, ScoreCalibration, ScoreMap, estimated, reference_cbpe, window_cbpe
from core.performance.expected_metrics import expected_metric
from tests.core.performance.cbpe_cases import CASES, CbpeCase, binary, multiclass
from tests.core.samples import binary_sample, multiclass_sample

NAMES = task_metrics("binary")

NANNYML = json.loads(Path(__file__).with_name("nannyml_cbpe.json").read_text())
"""Written by ``python -m benchmarks.cbpe_agreement --keep`` with NannyML 0.13.1."""


@cache
def _case(name: str) -> CbpeCase:
    return CASES[name]()


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("metric", ["roc_auc", "average_precision", "accuracy", "f1"])
def test_estimate_agrees_with_nannyml(name: str, metric: str) -> None:
    """The estimate is within NannyML's boundaries, and beside NannyML's own value."""
    case, theirs = _case(name), NANNYML[name][metric]
    found = estimated(case.window, ScoreCalibration.fit(case.y, case.reference), metric, confidence=0.99)
    assert theirs["low"] <= found.value <= theirs["high"]
    # NannyML leaves out the map of a class whose calibration it does not see improve.
    assert found.value == pytest.approx(theirs["value"], abs=5e-4)


@pytest.mark.parametrize("digits", [2, 12])
def test_map_is_scikit_learns_isotonic_regression(digits: int) -> None:
    """Steps, the lines between them and what is beyond the ends equal scikit-learn's, tied scores included."""
    y, output = binary_sample(800, 1, digits=digits)
    theirs = IsotonicRegression(out_of_bounds="clip").fit(output[:, 1], y)
    scores = np.append(np.random.default_rng(2).random(500), [0.0, 1.0, *output[:50, 1]])
    found = ScoreMap.fit(output[:, 1], y == 1)
    np.testing.assert_allclose(found.chances(scores), theirs.predict(scores), atol=1e-12)
    assert sum(found.n_rows) == 800


@pytest.mark.parametrize("score", [0.0, 0.3, 1.0])
def test_one_score_is_one_step(score: float) -> None:
    """Rows of a single score promise their share of events, whatever the score asked for."""
    found = ScoreMap.fit(np.full(4, 0.3), np.array([True, False, False, False]))
    assert found.chances(np.array([score])) == pytest.approx(0.25)


def test_chances_of_classes_sum_to_one() -> None:
    """Every class has a map of its own; together they are chances."""
    y, output = multiclass_sample(500, 1, n_classes=4)
    chances = ScoreCalibration.fit(y, output).apply(output)
    assert chances.shape == (500, 4)
    np.testing.assert_allclose(chances.sum(axis=1), 1)


def test_scores_that_no_class_claims_are_even() -> None:
    """Where every map says zero, all classes are equally likely."""
    none = ScoreMap((0.0, 0.9), (0.5, 1.0), (0.0, 1.0), (10, 10))
    assert ScoreCalibration((none, none, none)).apply(np.full((1, 3), 1 / 3)) == pytest.approx(1 / 3)


def test_a_class_without_rows_has_no_chance() -> None:
    """A class the holdout does not hold gets chance zero, and the mean is over the other classes."""
    y, output = multiclass_sample(400, 2)
    y = np.where(y == 2, 1, y)
    found = reference_cbpe(y, output, "roc_auc")
    assert found.calibration.apply(output)[:, 2].max() == 0
    assert np.isfinite(found.value)


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("metric", NAMES)
def test_slopes_are_the_change_with_a_steps_chance(metric: str, n_classes: int) -> None:
    """One step of one map is raised a little: the estimate moves by the slope."""
    case = binary(1.0, 1) if n_classes == 2 else multiclass(1.0, 1)
    calibration = ScoreCalibration.fit(case.y, case.reference)
    expected = expected_metric(calibration.apply(case.window), case.window, metric)
    slopes = calibration.slopes(expected, case.window)
    for j, step in ((0, len(slopes[0]) // 2), (len(slopes) - 1, 2)):
        moved = expected_metric(_raised(calibration, j, step, 1e-6).apply(case.window), case.window, metric)
        assert (moved.value - expected.value) / 1e-6 == pytest.approx(slopes[j][step], abs=1e-4)


def _raised(calibration: ScoreCalibration, j: int, step: int, by: float) -> ScoreCalibration:
    maps = list(calibration.maps)
    chance = list(maps[j].chance)
    chance[step] += by
    maps[j] = ScoreMap(maps[j].low, maps[j].high, tuple(chance), maps[j].n_rows)
    return ScoreCalibration(tuple(maps))


@pytest.mark.parametrize("metric", NAMES)
def test_interval_holds_the_window_once_labelled(metric: str) -> None:
    """Where equal scores come true as often as before, 95 % intervals hold the realised metric in 95 % of windows."""
    held = []
    for seed in range(60):
        case = binary(2.0, 100 + seed)
        found = estimated(case.window, ScoreCalibration.fit(case.y, case.reference), metric, confidence=0.95)
        assert found.low is not None
        assert found.high is not None
        held.append(found.low <= metric_values(case.window_y, case.window, (metric,))[metric] <= found.high)
    assert sum(held) >= 53


def test_maps_matter_where_scores_are_new() -> None:
    """The maps' error falls out of the difference for rows like the holdout's, not for rows that score elsewhere."""
    y, output = binary_sample(2_000, 1)
    reference = reference_cbpe(y, output, "accuracy")
    like, high = binary_sample(2_000, 2)[1], output[output[:, 1] > 0.4]
    assert window_cbpe(like, reference).map_error < 0.002
    assert window_cbpe(high, reference).map_error > 0.01


@pytest.mark.parametrize("n_classes", [2, 3])
def test_the_holdout_itself_is_no_change(n_classes: int) -> None:
    """A window of the holdout's own rows has its value, and the maps' error is nothing."""
    y, output = binary_sample(500, 3) if n_classes == 2 else multiclass_sample(500, 3)
    reference = reference_cbpe(y, output, "log_loss")
    found = window_cbpe(output, reference)
    assert (found.value, found.row_error, found.map_error) == (reference.value, reference.row_error, 0)


@pytest.mark.parametrize("sample", [binary_sample(300, 4), multiclass_sample(300, 4)])
def test_document_survives_json(sample: tuple[Floats, Floats]) -> None:
    """What the bundle keeps is read back as it was."""
    reference = reference_cbpe(*sample, "roc_auc")
    assert CbpeReference.from_dict(json.loads(json.dumps(reference.to_dict(), allow_nan=False))) == reference
    assert ScoreCalibration.from_dict(reference.calibration.to_dict()) == reference.calibration


def test_an_undefined_value_survives_json() -> None:
    """A holdout of one class has no AUC; the document says so without NaN."""
    reference = reference_cbpe(np.zeros(50, dtype=int), binary_sample(50, 5)[1], "roc_auc")
    content = json.loads(json.dumps(reference.to_dict(), allow_nan=False))
    assert content["value"] is None
    assert np.isnan(CbpeReference.from_dict(content).value)


@pytest.mark.parametrize("version", [None, 0, 2, "1"])
def test_other_versions_are_refused(version: object) -> None:
    """A document of another version is not guessed at."""
    content = {**reference_cbpe(*binary_sample(50, 6), "roc_auc").to_dict(), "version": version}
    with pytest.raises(ValueError, match="expected a document of estimated performance of version 1, found"):
        CbpeReference.from_dict(content)


@pytest.mark.parametrize("damage", [{"slopes": "many"}, {"calibration": {"maps": [{"low": [0.1]}]}}, {"metric": None}])
def test_damaged_documents_are_refused(damage: dict[str, object]) -> None:
    """A document that lost a part is no reference."""
    content = {**reference_cbpe(*binary_sample(50, 6), "roc_auc").to_dict(), **damage}
    with pytest.raises(ValueError, match="validation error"):
        CbpeReference.from_dict(content)


def test_steps_of_unequal_number_are_refused() -> None:
    """A map whose lists do not fit together cannot be read."""
    with pytest.raises(ValueError, match="expected steps of equal number"):
        ScoreMap((0.1, 0.2), (0.1, 0.2), (0.5,), (1, 1))


def test_few_rows_have_a_value_without_interval() -> None:
    """Below the least number of rows there is no interval, as for every metric."""
    y, output = binary_sample(500, 7)
    calibration = ScoreCalibration.fit(y, output)
    few = estimated(output[: MIN_ROWS - 1], calibration, "accuracy", confidence=0.95)
    assert np.isfinite(few.value)
    assert few.low is None


def test_scores_that_are_no_numbers_have_no_estimate() -> None:
    """NaN would be sorted somewhere and give a number all the same."""
    y, output = binary_sample(500, 8)
    reference = reference_cbpe(y, output, "roc_auc")
    assert np.isnan(window_cbpe(np.where(output > 0.9, np.nan, output), reference).value)
