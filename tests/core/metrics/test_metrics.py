from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as reference
from sklearn.preprocessing import label_binarize

from config.schema import CLASSIFICATION_METRICS, REGRESSION_METRICS
from core.metrics.metrics import METRICS, Floats, Ranking, Rankings, measures, metric_values, task_metrics
from tests.core.samples import SAMPLES, Sample, binary_sample, multiclass_sample, regression_sample


def _binary_reference(y: Floats, output: Floats) -> dict[str, float]:
    chance, chosen = output[:, 1], output.argmax(axis=1)
    return {
        "roc_auc": reference.roc_auc_score(y, chance),
        "average_precision": reference.average_precision_score(y, chance),
        "log_loss": reference.log_loss(y, output),
        "brier": reference.brier_score_loss(y, chance),
        "accuracy": reference.accuracy_score(y, chosen),
        "f1": reference.f1_score(y, chosen),
    }


def _multiclass_reference(y: Floats, output: Floats) -> dict[str, float]:
    chosen, indicator = output.argmax(axis=1), label_binarize(y, classes=range(output.shape[1]))
    return {
        "roc_auc": reference.roc_auc_score(y, output, multi_class="ovr", average="macro"),
        "average_precision": reference.average_precision_score(indicator, output, average="macro"),
        "log_loss": reference.log_loss(y, output),
        "brier": reference.brier_score_loss(y, output),
        "accuracy": reference.accuracy_score(y, chosen),
        "f1": reference.f1_score(y, chosen, average="macro"),
    }


def _regression_reference(y: Floats, output: Floats) -> dict[str, float]:
    return {
        "rmse": reference.root_mean_squared_error(y, output),
        "mae": reference.mean_absolute_error(y, output),
        "r2": reference.r2_score(y, output),
    }


def test_every_metric_of_the_model_files_is_known() -> None:
    """The names a model file may use are exactly the metrics there are, by task."""
    assert task_metrics("binary") == task_metrics("multiclass") == CLASSIFICATION_METRICS
    assert task_metrics("regression") == REGRESSION_METRICS


@pytest.mark.parametrize(
    "sample", [binary_sample(997, 1), binary_sample(997, 2, digits=1), binary_sample(400, 3, rate=0.01)]
)
def test_binary_values_equal_scikit_learns(sample: Sample) -> None:
    """Binary metrics equal scikit-learn's to 1e-12, ties and a rare class included."""
    expected = _binary_reference(*sample)
    found = metric_values(*sample, task_metrics("binary"))
    np.testing.assert_allclose([found[name] for name in expected], list(expected.values()), rtol=1e-12)


@pytest.mark.parametrize(
    "sample", [multiclass_sample(997, 1), multiclass_sample(400, 2, n_classes=7), multiclass_sample(60, 3)]
)
def test_multiclass_values_equal_scikit_learns(sample: Sample) -> None:
    """Multiclass metrics equal scikit-learn's to 1e-12."""
    expected = _multiclass_reference(*sample)
    found = metric_values(*sample, task_metrics("multiclass"))
    np.testing.assert_allclose([found[name] for name in expected], list(expected.values()), rtol=1e-12)


def test_regression_values_equal_scikit_learns() -> None:
    """Regression metrics equal scikit-learn's to 1e-12, also far from zero."""
    y, output = regression_sample(997, 1)
    for shift in (0.0, 1e4):
        expected = _regression_reference(y + shift, output + shift)
        found = metric_values(y + shift, output + shift, task_metrics("regression"))
        np.testing.assert_allclose([found[name] for name in expected], list(expected.values()), rtol=1e-11)


def test_values_worked_by_hand() -> None:
    """Four rows whose metrics are counted on paper."""
    y = np.array([1, 0, 1, 0])
    output = np.array([[0.1, 0.9], [0.2, 0.8], [0.4, 0.6], [0.9, 0.1]])
    found = metric_values(y, output, task_metrics("binary"))
    assert found["roc_auc"] == pytest.approx(3 / 4)
    assert found["average_precision"] == pytest.approx((1 + 2 / 3) / 2)
    assert found["accuracy"] == pytest.approx(3 / 4)
    assert found["f1"] == pytest.approx(4 / 5)
    assert found["brier"] == pytest.approx((0.01 + 0.64 + 0.16 + 0.01) / 4)


def test_equal_probabilities_choose_the_negative_class() -> None:
    """A probability of exactly one half is not a positive prediction."""
    assert METRICS["accuracy"].value(np.array([0, 1]), np.full((2, 2), 0.5)) == 0.5


def test_a_certain_mistake_costs_a_finite_log_loss() -> None:
    """Probability 0 for what came true is clipped as scikit-learn does."""
    assert METRICS["log_loss"].value(np.array([1]), np.array([[1.0, 0.0]])) == pytest.approx(36.04, abs=0.01)


@pytest.mark.parametrize("label", [0, 1])
def test_one_class_leaves_the_auc_undefined(label: int) -> None:
    """Rows of one class have no AUC, and say so with NaN rather than a warning."""
    _, output = binary_sample(40, 1)
    assert np.isnan(METRICS["roc_auc"].value(np.full(40, label), output))


def test_a_constant_truth_leaves_r2_undefined() -> None:
    """Without variance there is nothing to explain."""
    assert np.isnan(METRICS["r2"].value(np.ones(5), np.arange(5.0)))


def test_an_absent_class_is_left_out_of_the_mean() -> None:
    """A class without rows in the sample adds nothing to macro averages."""
    y, output = binary_sample(200, 1)
    wider = np.column_stack([output, np.zeros(200)])
    assert METRICS["roc_auc"].value(y, wider) == pytest.approx(METRICS["roc_auc"].value(y, output))


@pytest.mark.parametrize("task", SAMPLES)
def test_weights_mean_repeated_rows(task: str) -> None:
    """A weighting by whole numbers gives the metrics of the sample with its rows repeated as often."""
    y, output = SAMPLES[task](80, 4)
    if task == "binary":
        output = np.round(output, 1)
    counts = np.random.default_rng(0).integers(0, 4, 80)
    repeated = metric_values(np.repeat(y, counts), np.repeat(output, counts, axis=0), task_metrics(task))
    for measure in measures(y, output, task_metrics(task)):
        for name, scores in measure.scores(counts[None].astype("float64")).items():
            assert scores[0] == pytest.approx(repeated[name], rel=1e-10), name


@pytest.mark.parametrize("task", SAMPLES)
def test_influence_is_the_derivative_by_a_rows_weight(task: str) -> None:
    """Each row's influence equals the numerical change of the metric under a little more weight on it."""
    y, output = SAMPLES[task](90, 5)
    if task == "binary":
        output = np.round(output, 1)
    n, step = len(y), 1e-6
    heavier, lighter = np.ones((n, n)) + step * np.eye(n), np.ones((n, n)) - step * np.eye(n)
    for measure in measures(y, output, task_metrics(task)):
        above, below = measure.scores(heavier), measure.scores(lighter)
        for name, influence in measure.influences().items():
            slope = n * (above[name] - below[name]) / (2 * step)
            # DeLong divides by the class sizes less one.
            tolerance = 0.03 * np.abs(slope).max() if name == "roc_auc" else 1e-6
            np.testing.assert_allclose(influence, slope, atol=tolerance, err_msg=name)
            assert abs(influence.mean()) < 1e-9, name


def test_auc_variance_is_delongs() -> None:
    """The mean square of the AUC's influence over n is DeLong's variance, computed pair by pair."""
    y, output = binary_sample(150, 6, digits=1)
    positive, negative = output[y == 1, 1], output[y == 0, 1]
    wins = (positive[:, None] > negative) + 0.5 * (positive[:, None] == negative)
    delong = wins.mean(axis=1).var(ddof=1) / len(positive) + wins.mean(axis=0).var(ddof=1) / len(negative)
    influence = Rankings(y, output).influences()["roc_auc"]
    assert (influence**2).sum() / len(y) ** 2 == pytest.approx(delong, rel=1e-12)


def test_many_rows_of_one_score_are_one_step() -> None:
    """A model that says the same of every row ranks like a coin, with precision at the class's share."""
    event = np.array([True, False, False, True, False])
    auc, precision = Ranking(np.full(5, 0.3), event).scores(np.ones((1, 5)))
    assert (auc[0], precision[0]) == (0.5, pytest.approx(0.4))


def test_direction_decides_what_is_a_loss_and_what_reaches_a_floor() -> None:
    """Of an error less is better, of a score more."""
    assert METRICS["rmse"].loss(1.0, 1.5) == METRICS["roc_auc"].loss(1.0, 0.5) == 0.5
    assert METRICS["rmse"].reaches(0.9, 1.0)
    assert not METRICS["roc_auc"].reaches(0.9, 1.0)
