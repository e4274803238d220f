"""Losses of a regression without labels: found where they are, and not where they are not."""

from __future__ import annotations

import numpy as np
import pytest

from core.metrics.metrics import Floats
from core.performance.loss import Performance
from core.performance.loss_model import (
    LossRows,
    estimated_loss,
    loss_contradiction,
    loss_estimate,
    loss_metric,
)


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
