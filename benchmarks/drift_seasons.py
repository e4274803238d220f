"""Worlds in time order: seasons, counters, keys that turn over, and a constant column that varies.

A regression of 40 rows a day. Its champion knows the truth, so that its errors are noise, whose size may have a season.
The temperature has a season too; a counter of days, the month and the customers move by construction. Windows of 1,000
rows lie at random in the year after the history. Perennial judges them as a version from before is judged (holdout, all
columns) and as a version of now (periods, moving columns known).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from config.schema import Drift
from core.drift.columns import Pair, column_drifts, unused_drifts
from core.drift.counts import frame_counts
from core.drift.decision import performance_confidence
from core.drift.moving import Moving, moving_columns
from core.drift.profile import ColumnProfile, feature_profiles, unused_profile
from core.feature_contract import FeatureContract
from core.metrics.bootstrap import estimates
from core.performance.history import Tested, expected_performance, performance_history
from core.performance.loss import realised_performance

Each = Callable[[Callable[[int], Any], int], list[Any]]

START = date(2020, 1, 1)
PER_DAY = 40
WINDOW_DAYS = 25
WORLDS = 50
WINDOWS = 4
DRIFT = Drift()
CONFIDENCE = performance_confidence(DRIFT, kinds=1)
CONTRACT = FeatureContract("regression", "y", (), ("income", "temperature", "day", "month"), ("customer",), (), ())
MOVE = frozenset({"day", "month", "customer"})


@dataclass(frozen=True)
class World:
    """History and seasons of a world.

    Parameters
    ----------
    name
        In the words of the table.
    days
        Days of the history; the newest fifth is the holdout.
    amplitude
        Of the season: the errors of the worst day are ``exp(2 * amplitude)`` times those of the best.
    """

    name: str
    days: int
    amplitude: float


MADE = (
    World("no season, one year", 365, 0.0),
    World("seasons, three years", 3 * 365, 0.3),
    World("seasons, two years", 2 * 365, 0.3),
    World("seasons, eight months", 240, 0.3),
)
FACTORS = (1.0, 1.25, 1.5)
"""Errors of a window, times those that its day has: nothing, and harm."""


def seasons(each: Each, _: Path) -> Iterator[str]:
    """Yield how often windows of worlds in time order are judged right."""
    yield (
        f"Windows of {PER_DAY * WINDOW_DAYS:,} rows in the year after the history ({WORLDS * WINDOWS} per world) that "
        "are harmed (in brackets: not harmed), by the holdout / by periods; errors as the season has them, or larger"
    )
    yield ""
    yield "| world | " + " | ".join(f"errors x {factor:g}" for factor in FACTORS) + " |"
    yield "|---|" + "---:|" * len(FACTORS)
    answers = {world: [one for found in each(partial(judged, world), WORLDS) for one in found] for world in MADE}
    for world, found in answers.items():
        yield f"| {world.name} | " + " | ".join(_harm(found, factor) for factor in FACTORS) + " |"
    yield ""
    yield (
        "Columns of quiet windows: windows in which a column that only moves (counter, month, customers) is called "
        "drifted; in which a constant column that varied in 10 % of the rows is named; in which a quiet one is"
    )
    yield ""
    yield "| world | all columns judged | moving columns known | Evidently PSI | varied, named | constant, named |"
    yield "|---|" + "---:|" * 5
    for world, found in answers.items():
        quiet = [one for one in found if one["factor"] == 1.0]
        keys = ("before", "now", "evidently", "varied", "constant")
        yield f"| {world.name} | " + " | ".join(f"{np.mean([one[key] for one in quiet]):.1%}" for key in keys) + " |"


def judged(world: World, seed: int) -> list[dict[str, Any]]:
    """Draw a history and windows, and judge them in both ways."""
    generator = np.random.default_rng((MADE.index(world), seed))
    frame, errors = rows(world, 0, world.days, generator)
    cut = int(0.8 * world.days)
    train = frame[frame["at"] < pd.Timestamp(START) + pd.Timedelta(days=cut)]
    holdout = errors[len(train) :]
    tested = [
        *(_tested(frame, errors, a, b) for a, b in pairwise([cut // 2, 3 * cut // 4, cut])),
        _tested(frame, errors, cut, world.days),
    ]
    history = performance_history("rmse", tested)
    reference = estimates(holdout, np.zeros(len(holdout)), ("rmse",), resamples=500, confidence=0.95, seed=0)["rmse"]
    profiles, moving = feature_profiles(train, CONTRACT), moving_columns(train, CONTRACT, "at")
    constant = unused_profile("channel", pd.Series(["web"] * len(train)))
    found = []
    for first in world.days + generator.integers(1, 340, WINDOWS):
        window, noise = rows(world, int(first), int(first) + WINDOW_DAYS, generator)
        expected = expected_performance(history, START + timedelta(days=int(first) + WINDOW_DAYS // 2), CONFIDENCE)
        columns = _columns(profiles, constant, moving, train, window, generator)
        for factor in FACTORS:
            by_holdout = _is_harmed(factor * noise, reference, 0.95)
            by_periods = by_holdout if expected is None else _is_harmed(factor * noise, expected.estimate, CONFIDENCE)
            found.append({"factor": factor, "harmed": (by_holdout, by_periods), **columns})
    return found


def rows(world: World, first: int, last: int, generator: np.random.Generator) -> tuple[pd.DataFrame, Any]:
    """Draw the rows of some days, and the champion's errors on them."""
    days = np.repeat(np.arange(first, last), PER_DAY)
    at = pd.Series(pd.Timestamp(START) + pd.to_timedelta(days, unit="D")).dt.as_unit("us")
    season = np.sin(2 * np.pi * (days - 91) / 365.25)
    frame = pd.DataFrame(
        {
            "at": at,
            "income": generator.normal(size=len(days)),
            "temperature": 10 * season + generator.normal(0, 4, len(days)),
            "day": days.astype("float64"),
            "month": at.dt.month.astype("float64"),
            "customer": [f"c{one}" for one in days // 2 + generator.integers(0, 90, len(days))],
        }
    )
    return frame, 10 * np.exp(world.amplitude * season) * generator.normal(size=len(days))


def _tested(frame: pd.DataFrame, errors: Any, first: int, last: int) -> Tested:
    part = slice(first * PER_DAY, last * PER_DAY)
    return errors[part], np.zeros(len(errors[part])), frame["at"].to_numpy("datetime64[us]")[part]


def _is_harmed(errors: Any, reference: Any, confidence: float) -> bool | None:
    return realised_performance(
        errors,
        np.zeros(len(errors)),
        "rmse",
        reference,
        confidence,
        max_loss=DRIFT.max_loss,
        confidence=CONFIDENCE,
        seed=0,
    ).harmed


def _columns(
    profiles: Sequence[ColumnProfile],
    constant: ColumnProfile,
    moving: Moving,
    train: pd.DataFrame,
    window: pd.DataFrame,
    generator: np.random.Generator,
) -> dict[str, bool]:
    sides = list(zip(profiles, frame_counts(profiles, window), strict=True))
    plain: list[Pair] = [("feature", *both) for both in sides]
    known: list[Pair] = [("feature", *moving.comparable(*both, window["at"].max())) for both in sides]
    texts = np.where(generator.random(len(window)) < 0.1, "app", "web")
    channels = [pd.DataFrame({"channel": values}) for values in (texts, np.full(len(window), "web"))]
    varied, same = (
        unused_drifts([("unused", constant, frame_counts([constant], channel)[0])], DRIFT, 0) for channel in channels
    )
    return {
        "before": _moved(column_drifts(plain, {}, DRIFT, 0)),
        "now": _moved(column_drifts(known, {}, DRIFT, 0)),
        "evidently": any(_evidently(train[name], window[name], name == "customer") for name in MOVE),
        "varied": varied[0].drifted,
        "constant": same[0].drifted,
    }


def _moved(columns: Any) -> bool:
    return any(column.drifted and column.name in MOVE for column in columns)


def _evidently(before: pd.Series[Any], after: pd.Series[Any], is_category: bool) -> bool:
    from evidently.legacy.calculations.stattests.registry import get_stattest
    from evidently.legacy.core import ColumnType

    kind = ColumnType.Categorical if is_category else ColumnType.Numerical
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return bool(get_stattest(before, after, kind, "psi")(before, after, kind, 0.1).drifted)


def _harm(found: Sequence[dict[str, Any]], factor: float) -> str:
    of_factor = [one["harmed"] for one in found if one["factor"] == factor]
    sides = zip(*of_factor, strict=True)
    return " / ".join(
        f"{np.mean([one is True for one in side]):.1%} ({np.mean([one is False for one in side]):.0%})"
        for side in sides
    )
