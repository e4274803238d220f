"""Metrics of weighted rows of strata: all rows of a rare class, some of the others."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from scipy.special import expit
from sklearn.metrics import average_precision_score, log_loss, roc_auc_score

from core.metrics.bootstrap import estimates
from core.metrics.metrics import Floats, measures, task_metrics
from core.metrics.strata import Strata, standardised, stratified_estimate
from tests.core.samples import SAMPLES


def _rare(n: int, rate: float, generator: np.random.Generator) -> tuple[npt.NDArray[np.int64], Floats]:
    y = (generator.random(n) < rate).astype(np.int64)
    chance = expit(2 * generator.normal(size=n) + 2.5 * y - 4)
    return y, np.column_stack([1 - chance, chance])


def _thinned(y: npt.NDArray[np.int64], share: float, generator: np.random.Generator) -> tuple[npt.NDArray[Any], Strata]:
    kept = np.flatnonzero((y == 1) | (generator.random(len(y)) < share))
    return kept, Strata(y[kept], np.bincount(y, minlength=2).astype("float64"))


def test_every_row_once_is_the_plain_sample() -> None:
    """Without weights the influences, and the interval up to Student's quantile, are those of the rows."""
    y, output = _rare(20_000, 0.05, np.random.default_rng(1))
    whole = Strata(np.zeros(len(y), dtype=np.int64), np.array([float(len(y))]))
    for metric in ("roc_auc", "average_precision", "log_loss", "brier", "accuracy", "f1"):
        (measure,) = measures(y, output, (metric,))
        np.testing.assert_allclose(
            measure.influences(whole.weights)[metric], measure.influences()[metric], rtol=1e-9, atol=1e-12
        )
        plain = estimates(y, output, (metric,), resamples=500, confidence=0.95, seed=0)[metric]
        found = stratified_estimate(y, output, metric, whole, 0.95)
        assert found.value == pytest.approx(plain.value)
        assert (found.low, found.high) == pytest.approx((plain.low, plain.high), rel=0.02)


def test_weighted_values_are_scikit_learns() -> None:
    """Rows that represent others count as often as scikit-learn's sample weights say."""
    generator = np.random.default_rng(2)
    y, output = _rare(5_000, 0.05, generator)
    kept, strata = _thinned(y, 0.2, generator)
    y, output = y[kept], output[kept]
    expected = {
        "roc_auc": roc_auc_score(y, output[:, 1], sample_weight=strata.weights),
        "average_precision": average_precision_score(y, output[:, 1], sample_weight=strata.weights),
        "log_loss": log_loss(y, output, sample_weight=strata.weights),
    }
    found = {metric: stratified_estimate(y, output, metric, strata, 0.95).value for metric in expected}
    assert found == pytest.approx(expected, rel=1e-9)
    assert strata.n_rows == 5_000


@pytest.mark.parametrize("task", ["binary", "multiclass"])
def test_influences_are_derivatives_by_weights(task: str) -> None:
    """The weighted influence of a row is the change of the metric by its weight, DeLong's correction aside."""
    generator = np.random.default_rng(3)
    y, output = SAMPLES[task](150, 5)
    weights = generator.uniform(0.5, 3, len(y))
    step = 1e-5 * np.eye(len(y))
    for metric in task_metrics(task):
        (measure,) = measures(y, output, (metric,))
        up, down = (measure.scores(weights + sign * step)[metric] for sign in (1, -1))
        expected = (up - down) / 2e-5 * weights.sum()
        tolerance = 0.05 if metric == "roc_auc" else 1e-4
        np.testing.assert_allclose(
            measure.influences(weights)[metric], expected, rtol=tolerance, atol=tolerance * np.abs(expected).max()
        )


@pytest.mark.parametrize(
    ("metric", "share"), [("roc_auc", 0.1), ("average_precision", 0.6), ("log_loss", 0.1), ("brier", 0.1), ("f1", 0.2)]
)
def test_intervals_of_thinned_windows_cover_the_truth(metric: str, share: float) -> None:
    """Of 400 windows with a share of their negatives, 90 % intervals cover the world's value in 84 to 95 %."""
    generator = np.random.default_rng(4)
    (measure,) = measures(*(world := _rare(1_000_000, 0.03, generator)), (metric,))
    truth = float(measure.scores(np.ones((1, len(world[0]))))[metric][0])
    covered = 0
    for _ in range(400):
        y, output = _rare(10_000, 0.03, generator)
        kept, strata = _thinned(y, share, generator)
        found = stratified_estimate(y[kept], output[kept], metric, strata, 0.9)
        covered += found.low is not None and found.high is not None and found.low <= truth <= found.high
    assert 0.84 <= covered / 400 <= 0.95


def test_variance_grows_with_the_rows_that_are_left_out() -> None:
    """A uniform sample has the variance of its rows, whatever it represents; all rows have that of the window."""
    values = np.random.default_rng(5).normal(size=1_000)
    values -= values.mean()
    codes = np.zeros(1_000, dtype=np.int64)
    variances = [Strata(codes, np.array([size])).mean_variance(values).sum() for size in (1_000.0, 2_000.0, 1e12)]
    assert variances == pytest.approx([values.var() / 1_000] * 3, rel=2e-3)


def test_some_rows_of_a_sample_stand_for_as_many_as_before() -> None:
    """Rows whose labels are not used yet are taken out of both sides."""
    strata = Strata(np.array([0, 0, 0, 0, 1, 1]), np.array([40.0, 2.0]))
    kept = strata.kept(np.array([True, False, True, True, True, False]))
    assert kept.weights.tolist() == [10, 10, 10, 1]
    assert kept.n_rows == 31


def test_average_precision_at_a_rate_does_not_depend_on_the_rate() -> None:
    """With half as many events in the same ranking, average precision falls by a third; at one rate it stays."""
    generator = np.random.default_rng(6)
    usual, fewer = _rare(200_000, 0.02, generator), _rare(200_000, 0.01, generator)
    plain = [average_precision_score(y, output[:, 1]) for y, output in (usual, fewer)]
    same = [
        stratified_estimate(*rows, "average_precision", standardised(rows[0], 0.02), 0.99) for rows in (usual, fewer)
    ]
    assert plain[1] < 0.75 * plain[0]
    assert same[0].value == pytest.approx(plain[0], rel=0.02)
    assert same[1].low is not None
    assert same[1].high is not None
    assert same[1].low < plain[0] < same[1].high
