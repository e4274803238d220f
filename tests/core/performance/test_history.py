from __future__ import annotations

import json
from dataclasses import replace
from datetime import date, timedelta
from itertools import pairwise

import numpy as np
import pytest

from core.metrics.metrics import Floats
from core.performance.history import (
    MIN_BLOCKS,
    PerformanceHistory,
    Period,
    Tested,
    expected_performance,
    performance_history,
)
from core.performance.loss import realised_performance

START = date(2022, 1, 1)


def spread(day: float, amplitude: float = 0.0) -> float:
    """Error of a regression on a day: larger in summer."""
    return float(10 * np.exp(amplitude * np.sin(2 * np.pi * (day - 91) / 365.25)))


def rows_of_days(
    first: int, last: int, generator: np.random.Generator, amplitude: float = 0.0, per_day: int = 10
) -> Tested:
    """Rows of a regression: the labels are the errors of predictions that are all 0."""
    days = np.repeat(np.arange(first, last), per_day)
    y = generator.normal(size=len(days)) * np.array([spread(float(day), amplitude) for day in days])
    times = np.datetime64(START, "us") + days * np.timedelta64(1, "D")
    return y, np.zeros(len(days)), times


def history_of(days: int, generator: np.random.Generator, amplitude: float = 0.0) -> PerformanceHistory:
    """Three folds in time order, the last one the holdout."""
    cuts = np.linspace(0, days, 4).astype(int)
    return performance_history("rmse", [rows_of_days(a, b, generator, amplitude) for a, b in pairwise(cuts)])


def harm(
    history: PerformanceHistory, day: int, generator: np.random.Generator, size: float, factor: float = 1.0
) -> bool | None:
    """Judge 300 rows around a day, with errors of a given size."""
    y: Floats = generator.normal(size=300) * size * factor
    expected = expected_performance(history, START + timedelta(days=day), 0.99)
    assert expected is not None
    return realised_performance(
        y, np.zeros(300), "rmse", expected.estimate, 0.99, max_loss=0.02, confidence=0.99, seed=0
    ).harmed


def test_periods_are_blocks_of_rows_in_time_order() -> None:
    """Each row of a fold is in one period, periods are of about equal size, and the holdout's are marked."""
    history = history_of(480, np.random.default_rng(1))
    assert [period.n_rows for period in history.periods] == [200] * 24
    assert [period.holdout for period in history.periods] == [False] * 16 + [True] * 8
    assert history.periods[0].first == "2022-01-01"
    assert all(one.last <= two.first for one, two in pairwise(history.periods))
    assert history.days == 479
    y, output, times = rows_of_days(0, 15, np.random.default_rng(1))
    (period,) = performance_history("rmse", [(y, output, times)]).periods
    assert period.value == pytest.approx(np.sqrt((y**2).mean()))
    assert period.error == pytest.approx(10 / np.sqrt(2 * 150), rel=0.2)


def test_rows_without_a_time_and_undefined_periods_are_left_out() -> None:
    """A period of one class has no ROC AUC, and a row without a time belongs to no period."""
    y, output, times = rows_of_days(0, 40, np.random.default_rng(1))
    times[:300] = np.datetime64("NaT")
    (period,) = performance_history("rmse", [(y, output, times)]).periods
    assert period.n_rows == 100
    one_class = (np.zeros(200, dtype=np.int64), np.full((200, 2), 0.5), np.repeat(times[-1:], 200))
    assert performance_history("roc_auc", [one_class]).periods == ()


def test_a_short_history_expects_nothing() -> None:
    """With fewer than six periods the holdout remains the reference."""
    periods = (Period("2022-01-01", "2022-01-20", 200, 10.0, 0.5),) * (MIN_BLOCKS - 1)
    assert expected_performance(PerformanceHistory("rmse", periods), START, 0.99) is None


def test_it_survives_json() -> None:
    """The document of the bundle is read as it was written."""
    history = history_of(300, np.random.default_rng(2))
    assert PerformanceHistory.from_dict(json.loads(json.dumps(history.to_dict()))) == history


@pytest.mark.parametrize("years", [1, 3])
def test_false_alarms_in_quiet_worlds_are_at_most_one_percent(years: int) -> None:
    """Null hypothesis: the window is one more period of its season. Seasons change the error by a factor of two."""
    alarms = []
    for seed in range(150):
        generator = np.random.default_rng((years, seed))
        amplitude = 0.35 if years > 1 else 0.0
        history = history_of(365 * years, generator, amplitude)
        day = 365 * years + int(generator.integers(1, 300))
        alarms.append(harm(history, day, generator, spread(day, amplitude)) is True)
    assert np.mean(alarms) <= 0.014


def test_harm_is_found_in_the_season_that_is_best() -> None:
    """A winter error of the size that a summer has is a loss, although the average of all seasons is as high."""
    found, by_holdout = [], []
    for seed in range(40):
        generator = np.random.default_rng(seed)
        history = history_of(3 * 365, generator, 0.35)
        day = 3 * 365 + 5
        found.append(harm(history, day, generator, spread(day, 0.35), factor=1.7) is True)
        pooled = replace(history, periods=tuple(one for one in history.periods if one.middle % 365.25 > 0)[-8:])
        by_holdout.append(harm(pooled, day, generator, spread(day, 0.35), factor=1.7) is True)
    assert np.mean(found) > 0.95
    assert np.mean(found) >= np.mean(by_holdout)


def test_a_season_of_one_year_is_said_to_be_that() -> None:
    """Whether a season repeats is unknown after one year, and known after two."""
    history = history_of(400, np.random.default_rng(3))
    expected = expected_performance(history, START + timedelta(days=500), 0.99)
    assert expected is not None
    assert "for this season" in expected.source
    assert expected.note == "the seasons were tested for 13 months: whether they repeat is not known yet"
    longer = expected_performance(history_of(1_100, np.random.default_rng(3)), START + timedelta(days=1_200), 0.99)
    assert longer is not None
    assert longer.note == ""


def test_a_holdout_of_one_bad_winter_hides_no_loss() -> None:
    """Between the earlier periods and the bad holdout harm is undecided; beyond both it is harm."""
    generator = np.random.default_rng(5)
    quiet = [rows_of_days(first, first + 90, generator) for first in (0, 90)]
    y, output, times = rows_of_days(180, 270, generator)
    history = performance_history("rmse", [*quiet, (2.5 * y, output, times)])
    expected = expected_performance(history, START + timedelta(days=300), 0.99)
    assert expected is not None
    assert expected.estimate.value == pytest.approx(10, rel=0.05)
    assert "The holdout (" in expected.note
    assert "do not hold the season of this window" in expected.note
    found = [harm(history, 300, generator, 10.0, factor) for factor in (0.9, 1.9, 3.5)]
    assert found == [False, None, True]


@pytest.mark.parametrize(("metric", "value"), [("roc_auc", 0.97), ("rmse", 3.0), ("r2", 0.9)])
def test_intervals_stay_within_the_range_of_the_metric(metric: str, value: float) -> None:
    """Combined on a scale without bounds, whatever the metric."""
    bound = 1.0 if metric != "rmse" else np.inf
    periods = tuple(
        Period("2022-01-01", "2022-01-20", 200, value * (1 + 0.01 * sign), 0.004) for sign in (-1, 1, -2, 2, 0, 1, -3)
    )
    expected = expected_performance(PerformanceHistory(metric, periods), START, 0.99)
    assert expected is not None
    low, high = expected.estimate.low, expected.estimate.high
    assert low is not None
    assert high is not None
    assert 0 < low < expected.estimate.value < high < bound
    assert expected.estimate.value == pytest.approx(value, rel=0.02)
