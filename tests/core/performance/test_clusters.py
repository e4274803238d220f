"""The performance of clustered rows has intervals that say how little they know."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from core.metrics.bootstrap import Estimate, estimates
from core.metrics.clusters import Clusters, DesignEffect, Grouping
from core.metrics.metrics import Floats
from core.performance.clusters import clustered_estimate, performance_effect
from core.performance.loss import realised_performance
from core.performance.prediction_bias import EventLevel, prediction_bias

N_DAYS, SIZE = 20, 100
DAYS = np.repeat(np.arange(N_DAYS), SIZE)
CLUSTERS = Clusters((Grouping("at", "day", DAYS),), by_differences=True)
EFFECT = DesignEffect("days of at", 0.1, 4.0, 20, 15.0)

RIGHT = EventLevel(0.3, 0.3, 100_000)
"""A holdout without bias."""


def quiet(seed: int, spread: float) -> tuple[npt.NDArray[np.int64], Floats]:
    """Draw outcomes whose log-odds move from day to day, and the probabilities of a model that does not know it."""
    rng = np.random.default_rng(seed)
    score = -1 + 1.2 * rng.normal(size=len(DAYS))
    moved = score + spread * rng.normal(size=N_DAYS)[DAYS]
    y = (rng.random(len(DAYS)) < 1 / (1 + np.exp(-moved))).astype("int64")
    # The mean over days is calibrated: probabilities are shrunk as a spread of the logit shrinks them.
    chance = 1 / (1 + np.exp(-score / np.sqrt(1 + spread**2 / 1.7**2)))
    return y, np.column_stack([1 - chance, chance])


def test_probabilities_of_quiet_days_are_rarely_called_wrong() -> None:
    """H0: no bias. Days that differ give a false alarm in 3 of 100 windows at most, not in one of ten."""
    told = []
    for seed in range(200):
        y, output = quiet(seed, 0.6)
        found = [
            prediction_bias(y, output, RIGHT, tolerated=0.02, max_ratio=1.25, confidence=0.99, clusters=one)
            for one in (None, CLUSTERS)
        ]
        told.append([one is not None and one.harmed is True for one in found])
    plain, clustered = np.mean(told, axis=0)
    assert plain > 0.1
    assert clustered <= 0.03


def test_quiet_days_are_no_loss() -> None:
    """H0: no loss of log loss against 2,000 rows of a holdout of such days; harm is seldom found."""
    told = []
    for seed in range(60):
        before, output = quiet(10_000 + seed, 0.6)
        reference = estimates(before, output, ("log_loss",), resamples=200, confidence=0.95, seed=0)["log_loss"]
        y, output = quiet(seed, 0.6)
        found = [
            realised_performance(
                y, output, "log_loss", reference, 0.95, max_loss=0.01, confidence=0.95, seed=0, clusters=one
            )
            for one in (None, CLUSTERS)
        ]
        told.append([one.harmed is True for one in found])
    plain, clustered = np.mean(told, axis=0)
    assert plain > 0.06
    assert clustered <= 0.05


def test_a_loss_that_begins_within_the_window_is_found() -> None:
    """From the eleventh of twenty days on, the scores are of other rows: that is harm, not variation of days."""
    y, output = quiet(1, 0.0)
    broken = output.copy()
    broken[DAYS >= 10] = np.random.default_rng(0).permutation(broken[DAYS >= 10])
    reference = estimates(y, output, ("roc_auc",), resamples=200, confidence=0.95, seed=0)["roc_auc"]
    found = realised_performance(
        y, broken, "roc_auc", reference, 0.95, max_loss=0.02, confidence=0.995, seed=0, clusters=CLUSTERS
    )
    assert found.harmed is True


def test_the_effect_stands_with_the_performance() -> None:
    """Rows that are copies have the effect of their number; without clusters there is none."""
    y, output = quiet(2, 0.0)
    few = np.repeat(np.arange(0, len(y), 20), 10)
    copies = Clusters((Grouping("customer", "", few),))
    reference = Estimate(0.7, 0.68, 0.72)
    plain, found = (
        realised_performance(
            y[few], output[few], "roc_auc", reference, 0.95, max_loss=0.02, confidence=0.95, seed=0, clusters=one
        )
        for one in (None, copies)
    )
    assert plain.clusters is None
    assert found.clusters is not None
    assert found.clusters.effect == pytest.approx(10, rel=0.05)
    assert (found.high or 0) - (found.low or 0) > 2.5 * ((plain.high or 0) - (plain.low or 0))
    assert (found.reference_high or 0) - (found.reference_low or 0) > 2.5 * 0.04


def test_intervals_stay_within_the_bounds_of_the_metric() -> None:
    """Four times the variance of an accuracy of 99 % does not reach beyond 1; no interval stays none."""
    widened = clustered_estimate(Estimate(0.99, 0.97, 0.997), EFFECT, "accuracy", 0.95)
    assert widened.low is not None
    assert widened.high is not None
    assert 0.85 < widened.low < 0.95
    assert 0.997 < widened.high < 1
    assert clustered_estimate(Estimate(0.99, None, None), EFFECT, "accuracy", 0.95) == Estimate(0.99, None, None)
    other = clustered_estimate(Estimate(0.99, 0.97, 0.997), EFFECT, "accuracy", None)
    assert widened.low < (other.low or 0) < 0.97


def test_scores_that_are_not_finite_have_no_effect() -> None:
    """There is no influence on a metric that is not defined."""
    y, output = quiet(3, 0.5)
    assert performance_effect(y, np.full_like(output, np.nan), "roc_auc", CLUSTERS) is None
    assert performance_effect(y, output, "roc_auc", None) is None
    assert performance_effect(np.zeros_like(y), output, "roc_auc", CLUSTERS) is None
