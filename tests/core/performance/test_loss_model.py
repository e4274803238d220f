"""Losses of a regression without labels: found where they are, and not where they are not."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.metrics.bootstrap import Estimate
from core.metrics.metrics import Floats
from core.performance.loss import Performance
from core.performance.loss_model import (
    LossRows,
    estimated_loss,
    loss_contradiction,
    loss_estimate,
    loss_metric,
    other_metric,
    prediction_doubts,
    shown_loss,
    unknown_loss,
)

METRICS = st.sampled_from(["mae", "rmse"])
SEEDS = st.integers(0, 10**6)
# Each example fits five models or more; how long that takes is about the machine.
few_examples = settings(max_examples=6, deadline=None)


def _world(n: int, noisy: float, seed: int) -> tuple[Floats, Floats]:
    """Features and residuals; the noise is three times as large where the first feature is 1, a share of the rows."""
    generator = np.random.default_rng(seed)
    loud = (generator.random(n) < noisy).astype(float)
    rows = np.column_stack([loud, generator.normal(size=(n, 3))])
    return rows, (1 + 2 * loud) * generator.normal(size=n)


def _weights(reference: Floats, share: float) -> Floats:
    loud = reference[:, 0]
    weights: Floats = np.where(loud == 1, share / loud.mean(), (1 - share) / (1 - loud.mean()))
    return weights


def _found(metric: str, noisy: float, seed: int, n: int = 2_000) -> Performance:
    reference, residual = _world(4_000, 0.3, 2 * seed)
    window, _ = _world(n, noisy, 2 * seed + 1)
    rows = LossRows(reference, window, residual, _weights(reference, noisy))
    return estimated_loss(loss_estimate(rows, metric, 0), max_loss=0.05, confidence=0.99)


@pytest.mark.parametrize(("metric", "truth"), [("rmse", np.sqrt(0.3 + 9 * 0.7)), ("mae", 0.79788 * (0.3 + 3 * 0.7))])
def test_harder_rows_are_found_without_labels(metric: str, truth: float) -> None:
    """Rows that move to where the residuals are larger have a larger loss, within the interval."""
    found = _found(metric, 0.7, 1)
    assert (found.kind, found.metric, found.harmed) == ("estimated", metric, True)
    assert found.low is not None
    assert found.high is not None
    assert found.low < truth < found.high


def test_quiet_windows_are_rarely_harmed_and_mostly_not_harmed() -> None:
    """Rows like the holdout's have the loss of the holdout."""
    found = [_found("rmse", 0.3, seed).harmed for seed in range(10, 25)]
    assert found.count(True) == 0
    assert found.count(False) >= 5


def test_few_rows_are_no_answer() -> None:
    """Below 200 rows nothing is said."""
    assert _found("mae", 0.3, 1, n=199).harmed is None


def test_a_doubt_withholds_the_loss() -> None:
    """No number is shown."""
    reference, residual = _world(1_000, 0.3, 1)
    rows = LossRows(reference, _world(500, 0.3, 2)[0], residual, np.ones(1_000))
    found = estimated_loss(loss_estimate(rows, "mae", 0), max_loss=0.02, confidence=0.99, doubts=("they are new",))
    assert np.isnan(found.value)
    assert found.reason == "no answer: MAE of 500 rows (labels unused) is not estimated, because they are new"


def test_labels_contradict_a_loss_that_did_not_come_from_features() -> None:
    """Residuals twice as large on rows like the holdout's are a new relation, which only labels show."""
    reference, residual = _world(2_000, 0.3, 1)
    window, noise = _world(600, 0.3, 2)
    found = loss_estimate(LossRows(reference, window, residual, np.ones(2_000)), "mae", 0)
    assert loss_contradiction(noise, found, "rows") == ()
    assert loss_contradiction(2 * noise, found, "rows")[0].startswith("on 600 rows MAE is ")
    few = np.where(np.arange(600) < 50, 2 * noise, np.nan)
    assert loss_contradiction(few, found, "rows") == ()


@pytest.mark.parametrize(("metric", "estimated"), [("mae", "mae"), ("rmse", "rmse"), ("r2", "rmse")])
def test_r2_is_estimated_by_rmse(metric: str, estimated: str) -> None:
    """The spread of the target is unknown without labels."""
    assert loss_metric(metric) == estimated


def _drawn(seed: int, n: int = 300) -> LossRows:
    """Rows of a holdout and of a window, with any weights, losses of any spread and missing values."""
    generator = np.random.default_rng(seed)
    reference, residual = _world(n, generator.uniform(0.1, 0.9), seed)
    window, _ = _world(n - 50, generator.uniform(0.1, 0.9), seed + 1)
    reference[generator.random(reference.shape) < 0.1] = np.nan
    weights = generator.uniform(0.2, 5.0, n)
    return LossRows(reference, window, residual * generator.lognormal(0, 1, n), weights)


@given(SEEDS, METRICS)
@few_examples
def test_an_estimate_is_a_loss_with_an_interval_around_it(seed: int, metric: str) -> None:
    """It is positive and finite, lies in its interval, and is the same with the same seed."""
    rows = _drawn(seed)
    found = loss_estimate(rows, metric, seed)
    assert all(math.isfinite(one) and one > 0 for one in (found.value, found.error, found.reference, found.loss_error))
    assert (found.predicted >= 0).all()
    shown = estimated_loss(found, max_loss=0.02, confidence=0.9)
    assert shown.low is not None
    assert shown.high is not None
    assert shown.low < shown.value < shown.high
    again = loss_estimate(rows, metric, seed)
    assert (again.value, again.error, again.predicted.tolist()) == (found.value, found.error, found.predicted.tolist())


@given(SEEDS, METRICS, st.integers(-20, 20))
@few_examples
def test_units_and_signs_of_the_target_do_not_matter(seed: int, metric: str, power: int) -> None:
    """Residuals in other units give the estimate in these units, with the same answer; signs are not used."""
    rows, factor = _drawn(seed), -(2.0**power)
    found = loss_estimate(rows, metric, 0)
    scaled = loss_estimate(LossRows(rows.reference, rows.window, factor * rows.residual, rows.weights), metric, 0)
    assert [scaled.value, scaled.error, scaled.reference, scaled.loss_error] == pytest.approx(
        [-factor * one for one in (found.value, found.error, found.reference, found.loss_error)], rel=1e-9
    )
    answers = [estimated_loss(one, max_loss=0.02, confidence=0.9).harmed for one in (found, scaled)]
    assert answers[0] == answers[1]


@given(SEEDS, METRICS)
@few_examples
def test_the_order_of_a_windows_rows_does_not_matter(seed: int, metric: str) -> None:
    """Each row keeps its predicted loss."""
    rows = _drawn(seed)
    order = np.random.default_rng(seed).permutation(len(rows.window))
    found = loss_estimate(rows, metric, 0)
    moved = loss_estimate(LossRows(rows.reference, rows.window[order], rows.residual, rows.weights), metric, 0)
    assert moved.predicted.tolist() == found.predicted[order].tolist()
    assert [moved.value, moved.error] == pytest.approx([found.value, found.error], rel=1e-9)


@given(st.floats(1e-6, 1e6), METRICS)
@few_examples
def test_equal_losses_are_expected_anywhere(size: float, metric: str) -> None:
    """Where each row has the same loss, each window has it too, and there is no difference to judge."""
    rows = _drawn(1)
    found = loss_estimate(LossRows(rows.reference, rows.window, np.full(300, size), rows.weights), metric, 0)
    assert [found.value, found.reference] == pytest.approx([size, size], rel=1e-9)
    assert estimated_loss(found, max_loss=0.02, confidence=0.9).harmed is not True


def test_a_further_metric_is_shown_and_not_judged() -> None:
    """MAE beside RMSE: a value with its interval, whatever it says, and a sentence on what is judged."""
    reference, residual = _world(1_000, 0.3, 1)
    rows = LossRows(reference, _world(500, 0.9, 2)[0], residual, np.ones(1_000))
    found = shown_loss(loss_estimate(rows, other_metric("rmse"), 0), "rmse", max_loss=0.02, confidence=0.99)
    assert (found.metric, found.judged, found.harmed) == ("mae", False, None)
    assert found.loss > found.tolerated
    assert found.reason.startswith("MAE is estimated at ")
    assert found.reason.endswith("it is not judged, RMSE is")
    assert other_metric("mae") == "rmse"


@pytest.mark.parametrize(
    ("n_rows", "n_holdout", "says"),
    [
        (500, None, "RMSE of 500 rows (labels unused) is not estimated, because the champion was registered before"),
        (500, 150, "because the champion's bundle has 150 labelled holdout rows, and 200 are needed"),
        (100, 500, "100 rows (labels unused) are too few to judge RMSE: 200 are needed"),
        (500, 500, "RMSE is not defined on 500 rows"),
    ],
)
def test_a_loss_that_is_not_estimated_has_a_reason(n_rows: int, n_holdout: int | None, says: str) -> None:
    """There is no number, and harm is unknown."""
    found = unknown_loss("rmse", Estimate(2.0, 1.9, 2.1), n_rows, n_holdout, max_loss=0.02, confidence=0.99)
    assert (found.harmed, math.isnan(found.value), found.reference) == (None, True, 2.0)
    assert says in found.reason


def test_predictions_that_the_holdout_does_not_have_are_a_doubt() -> None:
    """More than 5 % beyond its lowest or highest; the loss there would be an extrapolation."""
    reference = np.linspace(-1.0, 1.0, 300)
    assert prediction_doubts(np.repeat([0.5, 1.1], [95, 5]), reference) == ()
    (doubt,) = prediction_doubts(np.repeat([0.5, 1.1, -1.1], [90, 5, 5]), reference)
    assert doubt == "10 % of them have a prediction beyond the holdout's lowest or highest"
