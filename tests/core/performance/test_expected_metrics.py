from __future__ import annotations

import numpy as np
import pytest

from core.metrics.metrics import Floats, Measure, measures, metric_values, task_metrics
from core.performance.expected_metrics import expected_metric

NAMES = task_metrics("binary")


def _chances(n: int, n_classes: int, seed: int, digits: int = 12) -> Floats:
    odds = np.exp(np.random.default_rng(seed).normal(size=(n, n_classes)))
    chances: Floats = np.round(odds / odds.sum(axis=1, keepdims=True), digits)
    return chances


def _copies(output: Floats, metric: str) -> Measure:
    """Every row once per class, as that class."""
    n, n_classes = output.shape
    (measure,) = measures(np.repeat(np.arange(n_classes), n), np.tile(output, (n_classes, 1)), (metric,))
    return measure


@pytest.mark.parametrize("n_classes", [2, 4])
@pytest.mark.parametrize("metric", NAMES)
def test_value_is_the_metric_of_weighted_copies(metric: str, n_classes: int) -> None:
    """A row counts once per class, weighted with its chance; tied scores included."""
    output, chances = _chances(300, n_classes, 1, digits=2), _chances(300, n_classes, 2)
    expected = _copies(output, metric).scores(chances.T.reshape(1, -1))[metric][0]
    assert expected_metric(chances, output, metric).value == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("n_classes", [2, 4])
@pytest.mark.parametrize("metric", NAMES)
def test_influence_is_the_change_with_a_little_more_weight(metric: str, n_classes: int) -> None:
    """One label of one row weighs a little more: the metric moves by the influence."""
    n, step = 200, 1e-6
    output, chances = _chances(n, n_classes, 3, digits=2), _chances(n, n_classes, 4)
    found, copies = expected_metric(chances, output, metric), _copies(output, metric)
    for row, label in ((0, 0), (7, 1), (19, n_classes - 1)):
        weights = chances.T.copy()
        weights[label, row] += step
        moved = (copies.scores(weights.reshape(1, -1))[metric][0] - found.value) / step * n
        assert moved == pytest.approx(found.influence[row, label], abs=1e-5)
    assert (chances * found.influence).sum() == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("metric", NAMES)
def test_error_is_the_spread_over_rows_and_labels(metric: str, n_classes: int) -> None:
    """Rows drawn anew, their labels drawn from their chances: the metric spreads by the standard error."""
    generator = np.random.default_rng(5)
    chances = _chances(600, n_classes, 6)
    drawn = []
    for _ in range(300):
        rows = chances[generator.integers(0, 600, 600)]
        y = (generator.random((600, 1)) > rows.cumsum(axis=1)[:, :-1]).sum(axis=1)
        drawn.append(metric_values(y, rows, (metric,))[metric])
    found = expected_metric(chances, chances, metric)
    assert np.std(drawn) == pytest.approx(found.error, rel=0.15)
    assert found.row_error < found.error


@pytest.mark.parametrize("metric", NAMES)
def test_row_error_is_the_spread_of_the_expected_metric(metric: str) -> None:
    """Rows drawn anew, their labels still chances: the expected metric spreads by the error of rows."""
    generator = np.random.default_rng(7)
    chances = _chances(600, 2, 8)
    drawn = []
    for _ in range(300):
        rows = chances[generator.integers(0, 600, 600)]
        drawn.append(expected_metric(rows, rows, metric).value)
    assert np.std(drawn) == pytest.approx(expected_metric(chances, chances, metric).row_error, rel=0.15)


@pytest.mark.parametrize("metric", NAMES)
def test_certain_chances_are_labels(metric: str) -> None:
    """Where every chance is 0 or 1 the expected metric is the metric."""
    output = _chances(100, 3, 9)
    y = np.random.default_rng(10).integers(0, 3, 100)
    assert expected_metric(np.eye(3)[y], output, metric).value == pytest.approx(
        metric_values(y, output, (metric,))[metric]
    )


@pytest.mark.parametrize(
    ("chances", "output", "metric"),
    [
        (np.tile([1.0, 0.0], (40, 1)), np.tile([0.4, 0.6], (40, 1)), "roc_auc"),
        (np.tile([1.0, 0.0], (40, 1)), np.tile([0.6, 0.4], (40, 1)), "f1"),
        (np.tile([0.5, 0.5], (40, 1)), np.full((40, 2), np.nan), "roc_auc"),
        (np.empty((0, 2)), np.empty((0, 2)), "accuracy"),
    ],
)
def test_undefined_is_nan(chances: Floats, output: Floats, metric: str) -> None:
    """No event, nothing called, scores that are no numbers, no row: no value and no influence."""
    found = expected_metric(chances, output, metric)
    assert np.isnan(found.value)
    assert not found.influence.any()


def test_metrics_of_numbers_are_refused() -> None:
    """There is no chance of a number."""
    with pytest.raises(ValueError, match="expected a metric of classification, found 'rmse'"):
        expected_metric(np.ones((1, 2)) / 2, np.ones((1, 2)) / 2, "rmse")
