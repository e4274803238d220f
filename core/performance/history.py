"""The performance to expect of a window, from earlier periods: folds in time order and the holdout.

One holdout is one period, and perhaps one season. Each period of the history is a block of rows that came after those
its model was fitted on. Between periods the metric varies by more than its sampling error, and so does a later window.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from scipy.special import expit, logit, ndtri, stdtrit

from core.metrics.bootstrap import Estimate
from core.metrics.metrics import METRICS, Floats, measures

BLOCKS = 24
"""Blocks that all tested rows are divided into, if they are enough."""

MIN_BLOCK_ROWS = 100
MIN_BLOCKS = 6
"""Minimum blocks for an expectation: with fewer, the interval of a further period is wider than any loss."""

YEAR = 365.25


@dataclass(frozen=True)
class Period:
    """A metric on rows of one period, by a model that was fitted on earlier rows.

    Parameters
    ----------
    first, last
        Dates of the earliest and of the latest row, ISO 8601.
    n_rows
        Number of rows.
    value, error
        The metric and its standard error over rows.
    holdout
        Whether the rows are of the champion's holdout; otherwise a model of an earlier moment was tested.
    """

    first: str
    last: str
    n_rows: int
    value: float
    error: float
    holdout: bool = False

    @property
    def middle(self) -> float:
        """Days since year 1 of the middle of the period."""
        return (date.fromisoformat(self.first).toordinal() + date.fromisoformat(self.last).toordinal()) / 2


@dataclass(frozen=True)
class Expected:
    """What a metric is expected to be on rows of a given time.

    Parameters
    ----------
    estimate
        Expected value, and the interval of its true value in a further period of that time.
    source
        Where it comes from: the end of a sentence that states the value.
    note
        A sentence about what the history is too short for; empty if nothing.
    """

    estimate: Estimate
    source: str
    note: str = ""


@dataclass(frozen=True)
class PerformanceHistory:
    """The periods of a champion's history, oldest first.

    Parameters
    ----------
    metric
        Name of the metric.
    periods
        Periods on which the metric is defined.
    """

    metric: str
    periods: tuple[Period, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as values that JSON can hold."""
        return {"metric": self.metric, "periods": [asdict(period) for period in self.periods]}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Self:
        """Build a history from :meth:`to_dict`."""
        return cls(content["metric"], tuple(Period(**period) for period in content["periods"]))

    @property
    def days(self) -> float:
        """Days from the first row to the last."""
        ends = [date.fromisoformat(text).toordinal() for one in self.periods for text in (one.first, one.last)]
        return max(ends) - min(ends) if ends else 0.0


Tested = tuple[npt.NDArray[Any], Floats, npt.NDArray[np.datetime64]]
"""Labels, output and times of rows that a model was tested on, in any order."""


def performance_history(metric: str, tested: Sequence[Tested]) -> PerformanceHistory:
    """Divide tested rows into periods and measure the metric on each.

    Parameters
    ----------
    metric
        Name of a metric that fits the outputs.
    tested
        Rows of each fold, the holdout last; rows without a time are left out.
    """
    n_rows = sum(len(y) for y, _, _ in tested)
    wanted = max(MIN_BLOCK_ROWS, math.ceil(n_rows / BLOCKS))
    periods = [period for rows in tested[:-1] for period in _periods(metric, rows, wanted)]
    periods += [replace(period, holdout=True) for period in _periods(metric, tested[-1], wanted)]
    return PerformanceHistory(metric, tuple(sorted(periods, key=lambda period: period.middle)))


def expected_performance(history: PerformanceHistory, when: date, confidence: float) -> Expected | None:
    """Return what to expect on rows of a given time; None if the history has too few periods.

    The periods are combined by a random-effects model, and the interval is that of the true value in one more period.
    From a year on, the model has a season: a wave of a year, so that the variance between periods is that around it.

    In less than a year the periods before the holdout give the interval, which is extended to the holdout: a window is
    harmed if it is worse than both. A holdout that is worse than the earlier periods explain is either another season
    or a champion that was outdated from the start; then the earlier periods alone are what is expected, and a window
    between the two is neither harmed nor unharmed.

    Parameters
    ----------
    history
        From the champion's bundle.
    when
        Middle of the rows to judge.
    confidence
        Confidence of the interval, above 0 and below 1.

    References
    ----------
    DerSimonian & Laird (1986), Meta-analysis in clinical trials, Controlled Clinical Trials 7, 177-188 (the variance
    between periods). Thompson & Sharp (1999), Explaining heterogeneity in meta-analysis, Statistics in Medicine 18,
    2693-2708 (with a covariate, here the season). Higgins, Thompson & Spiegelhalter (2009), A re-evaluation of
    random-effects meta-analysis, J. R. Statist. Soc. A 172, 137-159 (interval of a further one). Tashman (2000),
    Out-of-sample tests of forecasting accuracy, International Journal of Forecasting 16 (rolling origin).
    """
    if len(history.periods) < MIN_BLOCKS:
        return None
    if history.days < YEAR:
        return _of_all(history, confidence)
    estimate = _further(history.metric, history.periods, confidence, when.toordinal())
    note = f"the seasons were tested for {_months(history)} months: whether they repeat is not known yet"
    return Expected(estimate, _source(history.periods, "for this season "), note if history.days < 2 * YEAR else "")


def _of_all(history: PerformanceHistory, confidence: float) -> Expected:
    note = (
        f"the champion was tested on {_months(history)} months, which do not hold the season of this "
        "window: its performance is compared with that of all periods"
    )
    metric, periods = history.metric, history.periods
    earlier = [one for one in periods if not one.holdout]
    holdout = [one for one in periods if one.holdout]
    everything = _further(metric, periods, confidence)
    if len(earlier) < MIN_BLOCKS or not holdout:
        return Expected(everything, _source(periods, ""), note)
    before = _further(metric, earlier, confidence)
    there = _further(metric, holdout, confidence).value
    if not _is_worse(metric, there, before):
        return Expected(_reaching(before, everything.value, there), _source(periods, ""), note)
    note += (
        f". The holdout ({there:.4g}) was worse than the periods before it explain ({before.value:.4g}): it may be "
        "another season, or the champion was outdated from the start"
    )
    return Expected(_reaching(before, before.value, there), _source(earlier, "before the holdout "), note)


def _reaching(interval: Estimate, value: float, there: float) -> Estimate:
    """Return a value with the interval of another estimate, extended to the holdout."""
    ends = [end for end in (interval.low, interval.high) if end is not None]
    return Estimate(value, min(*ends, value, there), max(*ends, value, there))


def _is_worse(metric: str, value: float, expected: Estimate) -> bool:
    if expected.low is None or expected.high is None:
        return False
    return value < expected.low if METRICS[metric].greater_is_better else value > expected.high


def _periods(metric: str, tested: Tested, wanted: int) -> Iterator[Period]:
    y, output, times = tested
    order = np.argsort(times, kind="stable")
    order = order[~np.isnat(times[order])]
    n_blocks = max(1, len(order) // wanted)
    for rows in np.array_split(order, n_blocks):
        if len(rows) < MIN_BLOCK_ROWS:
            continue
        value, error = _measured(metric, y[rows], output[rows])
        # A metric without variation between rows has no error, so its weight would be infinite.
        if math.isfinite(value) and error > 1e-12 * max(1.0, abs(value)):
            first, last = (str(times[place].astype("datetime64[D]")) for place in (rows[0], rows[-1]))
            yield Period(first, last, len(rows), value, error)


def _measured(metric: str, y: npt.NDArray[Any], output: Floats) -> tuple[float, float]:
    (measure,) = measures(y, output, (metric,))
    value = float(measure.scores(np.ones((1, len(y))))[metric][0])
    if not math.isfinite(value):
        return value, math.nan
    return value, float(np.sqrt((measure.influences()[metric] ** 2).sum()) / len(y))


def _further(metric: str, periods: Sequence[Period], confidence: float, day: float | None = None) -> Estimate:
    """Return the value to expect of one more period, and the interval of its true value.

    Parameters
    ----------
    metric
        Name of the metric.
    periods
        Periods to combine.
    confidence
        Confidence of the interval.
    day
        Days since year 1 of that period, for a season; None for the mean of all periods.
    """
    values, weights = _weighted(metric, periods)
    days = np.array([] if day is None else [*(one.middle for one in periods), day])
    design = np.column_stack([np.ones(len(values)), *(wave[:-1] for wave in _waves(days))])
    wanted = np.array([1.0, *(wave[-1] for wave in _waves(days))])
    between = _between(values, weights, design)
    weights = 1 / (1 / weights + between)
    covariance = np.linalg.pinv(design.T * weights @ design)
    mean = float(wanted @ covariance @ (design.T @ (weights * values)))
    degrees = max(1, len(values) - design.shape[1])
    level = (1 + confidence) / 2
    quantile = float(stdtrit(degrees, level) if between else ndtri(level))
    half = quantile * math.sqrt(between + float(wanted @ covariance @ wanted))
    ends = sorted(_bounded(metric, end) for end in (mean - half, mean + half))
    return Estimate(_bounded(metric, mean), *ends)


def _waves(days: Floats) -> list[Floats]:
    """Return the sine and cosine of a year; none without days."""
    return [np.sin(2 * np.pi * days / YEAR), np.cos(2 * np.pi * days / YEAR)] if len(days) else []


def _between(values: Floats, weights: Floats, design: Floats) -> float:
    """Return the variance between periods beyond their sampling errors and the season, by the method of moments."""
    weighted = design.T * weights
    projection = np.diag(weights) - weighted.T @ np.linalg.pinv(weighted @ design) @ weighted
    excess, scale = float(values @ projection @ values) - (len(values) - design.shape[1]), float(np.trace(projection))
    return max(0.0, excess / scale) if scale > 1e-12 else 0.0


def _months(history: PerformanceHistory) -> str:
    return f"{history.days / YEAR * 12:.0f}"


def _weighted(metric: str, periods: Sequence[Period]) -> tuple[Floats, Floats]:
    """Return the values on a scale without bounds, and the inverse of their variances there."""
    scale = METRICS[metric].scale
    value, error = np.array([[one.value, one.error] for one in periods]).T
    if scale == "unit":
        value = np.clip(value, 1e-6, 1 - 1e-6)
        return np.asarray(logit(value)), (value * (1 - value) / error) ** 2
    if scale == "positive":
        return np.log(value), (value / error) ** 2
    return -np.log1p(-value), ((1 - value) / error) ** 2


def _bounded(metric: str, value: float) -> float:
    scale = METRICS[metric].scale
    if scale == "unit":
        return float(expit(value))
    return math.exp(value) if scale == "positive" else -math.expm1(-value)


def _source(periods: Sequence[Period], which: str) -> str:
    first, last = min(one.first for one in periods), max(one.last for one in periods)
    return f"expected from {len(periods)} earlier periods {which}({first} to {last})"
