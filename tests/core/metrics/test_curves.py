from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import auc

from core.metrics.calibration import calibration
from core.metrics.curves import CURVE_POINTS, MAX_CURVES, classification_curves, regression_curves
from core.metrics.metrics import METRICS
from tests.core.samples import Sample, binary_sample, multiclass_sample, regression_sample, task_config, task_contract

BINARY = task_contract(task_config("binary"))
MULTICLASS = task_contract(task_config("multiclass"))


@pytest.mark.parametrize("sample", [binary_sample(30_000, 1), binary_sample(500, 2, digits=1)])
def test_few_points_draw_the_whole_roc_curve(sample: Sample) -> None:
    """At most 200 points from (0, 0) to (1, 1) whose area is the AUC to three digits."""
    reliability = calibration(*sample, 0.95)
    assert reliability is not None
    (roc,) = classification_curves(*sample, BINARY, reliability)["roc"]
    assert len(roc["fpr"]) <= CURVE_POINTS
    assert (roc["fpr"][0], roc["tpr"][0], roc["fpr"][-1], roc["tpr"][-1]) == (0, 0, 1, 1)
    assert auc(roc["fpr"], roc["tpr"]) == pytest.approx(METRICS["roc_auc"].value(*sample), abs=1e-3)


def test_few_points_draw_the_whole_precision_recall_curve() -> None:
    """At most 200 points to recall 1, where the precision is the class's share."""
    sample = binary_sample(30_000, 1)
    reliability = calibration(*sample, 0.95)
    assert reliability is not None
    (curve,) = classification_curves(*sample, BINARY, reliability)["pr"]
    assert len(curve["recall"]) <= CURVE_POINTS
    assert (curve["recall"][-1], curve["precision"][-1]) == (1, pytest.approx(curve["share"]))
    average = METRICS["average_precision"].value(*sample)
    assert auc(curve["recall"], curve["precision"]) == pytest.approx(average, abs=5e-3)


def test_scores_are_counted_by_class() -> None:
    """The histograms hold every row once, under its true class."""
    y, output = binary_sample(1_000, 1)
    reliability = calibration(y, output, 0.95)
    assert reliability is not None
    scores = classification_curves(y, output, BINARY, reliability)["scores"]
    assert {label: sum(counts) for label, counts in scores["counts"].items()} == {"0": sum(y == 0), "1": sum(y == 1)}


def test_each_class_that_occurs_has_its_curve() -> None:
    """Three classes, of which one has no rows, give two curves; of many classes ten are drawn."""
    y, output = multiclass_sample(500, 1)
    y = np.where(y == 2, 0, y)
    reliability = calibration(y, output, 0.95)
    assert reliability is not None
    curves = classification_curves(y, output, MULTICLASS, reliability)
    assert sorted(curve["label"] for curve in curves["roc"]) == ["0", "1"]
    many = task_contract(task_config("multiclass"))
    wide = type(many)(**{**many.__dict__, "classes": tuple(map(str, range(15)))})
    sample = multiclass_sample(500, 1, n_classes=15)
    assert len(classification_curves(*sample, wide, reliability)["pr"]) == MAX_CURVES


def test_points_of_a_regression_are_a_seeded_sample() -> None:
    """Two thousand of many rows, the same ones again for the same seed."""
    sample = regression_sample(5_000, 1)
    first, again = (regression_curves(*sample, seed=3) for _ in range(2))
    assert first == again
    assert len(first["points"]["actual"]) == 2_000
    pairs = set(zip(*sample, strict=True))
    assert pairs.issuperset(zip(first["points"]["actual"], first["points"]["predicted"], strict=True))


def test_residuals_are_actual_minus_predicted() -> None:
    """Their histogram holds every row, their quantiles NumPy's; one value for all is no obstacle."""
    y, output = regression_sample(5_000, 1)
    residuals = regression_curves(y, output, seed=0)["residuals"]
    assert sum(residuals["counts"]) == 5_000
    np.testing.assert_allclose(residuals["quantiles"], np.quantile(y - output, residuals["levels"]))
    assert sum(regression_curves(y, y, seed=0)["residuals"]["counts"]) == 5_000
