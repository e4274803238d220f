"""Columns that move by construction: counters, calendar columns, and keys of which later rows have new ones.

Later rows differ from the training rows in such a column although nothing has changed, so its PSI says nothing. They
are found in the training rows, by their order in time: a counter only rises or only falls, a calendar column follows
from the date, and of a column with many levels the later training rows have levels that the earlier ones lack.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from core.drift.counts import all_counts
from core.drift.profile import (
    MAX_LEVELS,
    BinnedProfile,
    ColumnProfile,
    LevelProfile,
    column_profile,
    prediction_profile,
    text_numbers,
)
from core.feature_contract import FeatureContract
from core.metrics.metrics import Floats
from core.text import readable

HELD_SEED = 1
"""Seed of the values that replace moving columns."""

MIN_NEW = 0.05
"""Minimum share of later training rows with a level that the earlier ones lack, for the levels to turn over."""

MIN_DISTINCT = 20
MIN_STEPS = 5
"""Minimum numbers of a counter, and minimum moments after the first."""

EXCEPTIONS = 0.001
"""Maximum share of rows that do not follow the calendar, or of steps against the direction: a few rows may be late."""

MIN_CALENDAR_LEVELS = 3
FREQUENT = "(frequent levels)"

PARTS: dict[str, Callable[[Any], Any]] = {
    "year": lambda dates: dates.dt.year,
    "quarter": lambda dates: dates.dt.quarter,
    "month": lambda dates: dates.dt.month,
    "week of the year": lambda dates: dates.dt.isocalendar().week,
    "day of the year": lambda dates: dates.dt.dayofyear,
}
"""Parts of a date in which a window differs from a longer history; hours and weekdays repeat within a window."""


@dataclass(frozen=True)
class Moving:
    """Columns of the training rows that move by construction.

    Parameters
    ----------
    counters
        How each column moves, by name: the end of a sentence of which the column is the subject.
    turnover
        Of columns whose levels turn over: how many of the later training rows have a frequent level of the earlier
        ones, another level, or none. It is the distribution to expect of rows after the training.
    prediction
        Predictions for the holdout, with values of the training rows in these features: see :func:`held_rows`. None if
        no feature moves.
    horizon
        Time until which the turnover is known from the training rows, ISO 8601: later rows have more new levels, and
        how many is not known. None if no levels turn over.
    """

    counters: Mapping[str, str] = field(default_factory=dict)
    turnover: tuple[ColumnProfile, ...] = ()
    prediction: ColumnProfile | None = None
    horizon: str | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns."""
        return (*self.counters, *(profile.name for profile in self.turnover))

    def features(self, contract: FeatureContract) -> tuple[str, ...]:
        """Return the features among them."""
        return tuple(name for name in self.names if name in contract.raw_columns)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as values that JSON can hold."""
        return {
            "counters": dict(self.counters),
            "turnover": [asdict(profile) for profile in self.turnover],
            "prediction": None if self.prediction is None else asdict(self.prediction),
            "horizon": self.horizon,
        }

    def comparable(
        self, reference: ColumnProfile, current: ColumnProfile, last: datetime | None = None
    ) -> tuple[ColumnProfile, ColumnProfile]:
        """Reduce a column to what can be compared: whether there is a value and, of keys, whether too many are new.

        Parameters
        ----------
        reference, current
            Profile of the training rows, and the counts of the window over the same bins.
        last
            Time of the window's last row; None if it is unknown.
        """
        expected = next((profile for profile in self.turnover if profile.name == reference.name), None)
        if isinstance(expected, LevelProfile) and isinstance(current, LevelProfile):
            frequent = LevelProfile(
                current.name, "levels", (FREQUENT,), (sum(current.counts),), current.other, current.missing
            )
            # Fewer new keys than expected are no drift: right after the training most are known.
            known = last is None or self.horizon is None or last <= datetime.fromisoformat(self.horizon)
            more = known and _new_share(frequent) > _new_share(expected)
            return (expected, frequent) if more else _present(expected, frequent)
        return _present(reference, current) if reference.name in self.counters else (reference, current)

    def sentence(self, name: str) -> str:
        """Return how a column moves, and that its values are not judged; empty for any other column."""
        if name in self.counters:
            return f"{readable(name, 60)} {self.counters[name]}: it moves by construction, so its values are not judged"
        if any(profile.name == name for profile in self.turnover):
            return f"later rows always have new levels of {readable(name, 60)}: only more of them than before are drift"
        return ""

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Self:
        """Build it from :meth:`to_dict`."""
        prediction = content["prediction"]
        return cls(
            dict(content["counters"]),
            tuple(column_profile(one) for one in content["turnover"]),
            None if prediction is None else column_profile(prediction),
            content.get("horizon"),
        )


def moving_columns(
    frame: pd.DataFrame, contract: FeatureContract, time: str | None, unused: tuple[str, ...] = ()
) -> Moving:
    """Find the columns that move by construction; none without a time column, because rows then have no order.

    Parameters
    ----------
    frame
        The training rows: the contract's raw columns, the time and the unused columns.
    contract
        Kinds of the features.
    time
        Name of the time column; None if there is none.
    unused
        Columns that are not features, as text; of them only counters and calendar columns are found.
    """
    if time is None:
        return Moving()
    ordered = _InOrder(frame, time)
    first, last = ordered.period
    if not first < last:
        return Moving()
    counters = {name: how for name, how in _counters(ordered, contract, time, unused) if how}
    rest = [name for name in contract.categorical if name not in counters and name != time]
    turnover = (_turnover(name, ordered[name]) for name in rest)
    found = tuple(profile for profile in turnover if profile is not None)
    return Moving(counters, found, horizon=(last + (last - first) / 4).isoformat() if found else None)


def with_held_prediction(
    moving: Moving,
    frame: pd.DataFrame,
    reference: pd.DataFrame,
    contract: FeatureContract,
    predict: Callable[[pd.DataFrame], Floats],
) -> Moving:
    """Add the profile of the predictions with reference values in the features that move; unchanged if none does.

    Parameters
    ----------
    moving
        The columns that move.
    frame
        Rows to predict.
    reference
        Training rows, at least one.
    contract
        Features and classes.
    predict
        The champion's predictions for raw rows.
    """
    features = moving.features(contract)
    if not features:
        return moving
    held = predict(held_rows(frame, features, reference, HELD_SEED))
    return replace(moving, prediction=prediction_profile(held, contract))


def held_rows(frame: pd.DataFrame, names: Sequence[str], reference: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Replace columns by values of reference rows, drawn with replacement; all columns of a row from one reference row.

    The predictions for such rows show no drift that these columns alone cause, as permuted columns show no effect of
    theirs on the predictions.

    Parameters
    ----------
    frame
        Rows to predict.
    names
        The columns to replace.
    reference
        Training rows with these columns, at least one.
    seed
        Seed of the draw.

    References
    ----------
    Breiman (2001), Random forests, Machine Learning 45, section 10 (permuted columns); Fisher, Rudin & Dominici (2019),
    All models are wrong, but many are useful, J. Mach. Learn. Res. 20 (model reliance).
    """
    drawn = np.random.default_rng(seed).integers(0, len(reference), len(frame))
    values = reference[list(names)].take(drawn).set_axis(frame.index)
    return frame.assign(**{name: values[name] for name in names})


def _present(reference: ColumnProfile, current: ColumnProfile) -> tuple[ColumnProfile, ColumnProfile]:
    one, other = (
        BinnedProfile(side.name, "numeric", (), (int(all_counts(side)[:-1].sum()),), side.missing, None, None)
        for side in (reference, current)
    )
    return one, other


def _new_share(profile: LevelProfile) -> float:
    present = sum(profile.counts) + profile.other
    return profile.other / present if present else 0.0


class _InOrder:
    """The rows of a frame that have a time, in its order; sorted column by column, to hold no second frame."""

    def __init__(self, frame: pd.DataFrame, time: str) -> None:
        moments = frame[time].to_numpy("datetime64[us]")
        self._frame, self._time = frame, time
        # NumPy sorts missing times to the end.
        self._order = np.argsort(moments, kind="stable")[: np.count_nonzero(~np.isnat(moments))]

    def __getitem__(self, name: str) -> pd.Series[Any]:
        return self._frame[name].take(self._order)

    @property
    def period(self) -> tuple[Any, Any]:
        """First and last time; NaT without any."""
        times = self._frame[self._time]
        return times.min(), times.max()


def _counters(
    ordered: _InOrder, contract: FeatureContract, time: str, unused: tuple[str, ...]
) -> Iterator[tuple[str, str]]:
    dates = ordered[time]
    for name in contract.numeric:
        numbers = ordered[name].to_numpy("float64", na_value=np.nan)
        yield name, _counter(numbers, dates) or _part_of(numbers, dates)
    for name in contract.categorical:
        yield name, _level_part(ordered[name], dates)
    for name in unused:
        numbers = text_numbers(ordered[name].to_numpy(dtype=object))
        if not np.isinf(numbers).any():
            yield name, _counter(numbers, dates) or _part_of(numbers, dates)


def _counter(numbers: Floats, dates: pd.Series[Any]) -> str:
    """Return how numbers move if they only rise, or only fall, from one moment to the next; otherwise nothing."""
    known = ~np.isnan(numbers)
    values, moments = numbers[known], dates.to_numpy("datetime64[us]")[known]
    starts = np.flatnonzero(np.r_[True, moments[1:] != moments[:-1]]) if len(values) else np.array([], dtype=int)
    if len(starts) < 2 or len(np.unique(values[: 50 * MIN_DISTINCT])) < 2 or len(np.unique(values)) < MIN_DISTINCT:
        return ""
    low, high = np.minimum.reduceat(values, starts), np.maximum.reduceat(values, starts)
    rises, falls = low[1:] >= high[:-1], high[1:] <= low[:-1]
    allowed = EXCEPTIONS * len(rises)
    directions = {
        "rises": (~rises).sum() <= allowed < (~falls).sum(),
        "falls": (~falls).sum() <= allowed < (~rises).sum(),
    }
    direction = next((name for name, holds in directions.items() if holds), "")
    return f"{direction} with {readable(str(dates.name), 60)}" if direction and len(rises) >= MIN_STEPS else ""


def _part_of(numbers: Floats, dates: pd.Series[Any]) -> str:
    """Return how numbers follow the calendar: they are a part of the date, counted from any start."""
    known = ~np.isnan(numbers)
    if not known.any() or (numbers[known] != np.floor(numbers[known])).any():
        return ""
    for part, of in PARTS.items():
        found = of(dates).to_numpy(dtype="float64")[known]
        offset = numbers[known] - found
        if len(np.unique(found)) > 1 and (offset != np.median(offset)).mean() <= EXCEPTIONS:
            return f"is the {part}"
    return _by_day(numbers, dates)


def _by_day(values: npt.NDArray[Any], dates: pd.Series[Any]) -> str:
    """Return how values follow the calendar: the same day of the year has the same value in each of several years."""
    table = pd.DataFrame({"value": pd.factorize(values)[0], "day": dates.dt.dayofyear, "year": dates.dt.year})
    table = table[table["value"] >= 0]
    by_day = table.groupby("day")["year"]
    repeated = by_day.transform("nunique").to_numpy() > 1
    n_levels = table.loc[repeated, "value"].nunique()
    if repeated.mean() < 0.5 or not 1 < n_levels <= MAX_LEVELS:
        return ""
    most = table[repeated].groupby(["day", "value"]).size().groupby("day").max().sum()
    return "follows from the day of the year" if most >= (1 - EXCEPTIONS) * repeated.sum() else ""


def _level_part(values: pd.Series[Any], dates: pd.Series[Any]) -> str:
    """Return how levels follow the calendar: each is one month, quarter or year, under any name."""
    codes = pd.factorize(values)[0]
    known = codes >= 0
    if not MIN_CALENDAR_LEVELS <= len(np.unique(codes[known])) <= MAX_LEVELS:
        return ""
    for part in ("year", "quarter", "month"):
        table = pd.crosstab(codes[known], PARTS[part](dates).to_numpy()[known]).to_numpy()
        one_to_one = table.shape[0] == table.shape[1] and len(set(table.argmax(axis=1))) == len(table)
        if one_to_one and table.max(axis=1).sum() >= (1 - EXCEPTIONS) * table.sum():
            return f"is the {part}"
    return _by_day(values.to_numpy(dtype=object), dates)


def _turnover(name: str, values: pd.Series[Any]) -> LevelProfile | None:
    """Return what to expect of later rows if their levels are new; None if the levels stay the same.

    The levels of the earlier half are held against the last quarter of the rows: a window, too, is some time after the
    training rows.
    """
    earlier, later = values.iloc[: len(values) // 2], values.iloc[-(len(values) // 4) :]
    counts = earlier.value_counts()
    if len(counts) <= MAX_LEVELS or not len(later):
        return None
    present = later.dropna()
    if not len(present) or (~present.isin(counts.index)).mean() < MIN_NEW:
        return None
    frequent = int(present.isin(counts.index[:MAX_LEVELS]).sum())
    return LevelProfile(name, "levels", (FREQUENT,), (frequent,), len(present) - frequent, len(later) - len(present))
