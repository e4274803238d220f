"""Counts of a window over the bins of the reference: taken by record batch, merged exactly.

Only integers, minima and maxima are kept, so counting in any order and in any number of parts gives exactly the result
of one pass. Means and deviations are omitted, because sums of floats depend on the order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from core.drift.profile import BinnedProfile, ColumnProfile, LevelProfile, bin_counts
from core.feature_contract import level_text
from core.metrics.metrics import Floats

Counts = npt.NDArray[np.int64]


def all_counts(column: ColumnProfile) -> Counts:
    """Return the rows per bin, then those with another level (levels only), then missing: int64, summing to all rows.

    Examples
    --------
    >>> all_counts(LevelProfile("region", "levels", ("north", "south"), (5, 3), 2, 1)).tolist()
    [5, 3, 2, 1]
    """
    other = [column.other] if isinstance(column, LevelProfile) else []
    return np.array([*column.counts, *other, column.missing], dtype=np.int64)


def missing_share(column: ColumnProfile) -> float:
    """Return the share of the rows without a value, 0 to 1; 0 if there is no row."""
    return _share(column.missing, column)


def other_share(column: ColumnProfile) -> float | None:
    """Return the share of the rows with a level that has no bin of its own, 0 to 1; None for numbers and dates."""
    return _share(column.other, column) if isinstance(column, LevelProfile) else None


def merged(one: ColumnProfile, another: ColumnProfile) -> ColumnProfile:
    """Add the counts of two parts; the result equals that of one pass over both, with mean and std None.

    Raises
    ------
    ValueError
        The columns or their bins differ.
    """
    total = WindowCounts([one])
    total.add_counts(one.name, all_counts(one), _extremes(one))
    if _bins(one) != _bins(another):
        raise ValueError(f"expected counts of {one.name!r} over the same bins, found {another.name!r} over others")
    total.add_counts(another.name, all_counts(another), _extremes(another))
    return total.columns()[0]


class WindowCounts:
    """Counts of a window's columns, each over the bins of its reference.

    Every row must be added once to every column. Not thread-safe: use one per thread and merge them.

    Parameters
    ----------
    reference
        Profiles with the bins; their own counts are ignored.

    Raises
    ------
    ValueError
        Two profiles have the same name.
    """

    def __init__(self, reference: Sequence[ColumnProfile]) -> None:
        self._reference = tuple(reference)
        self._columns = {profile.name: _Column.of(profile) for profile in reference}
        if len(self._columns) < len(self._reference):
            raise ValueError(f"expected one profile per column, found {[profile.name for profile in reference]}")

    @property
    def n_rows(self) -> int:
        """Number of rows added so far.

        Raises
        ------
        ValueError
            The columns have different numbers of rows.
        """
        rows = {name: int(column.counts.sum()) for name, column in self._columns.items()}
        if len(set(rows.values())) > 1:
            raise ValueError(f"expected the same number of rows in every column, found {rows}")
        return next(iter(rows.values()), 0)

    def add_numbers(self, name: str, values: Floats) -> None:
        """Count numbers, shape (n_rows,), float64; NaN is missing, infinities fall in the outer bins."""
        if not len(values):
            return
        column = self._columns[name]
        # NaN compares false. This is three times as fast as to find NaN and copy the other values.
        n_missing = len(values) - int(np.count_nonzero(values >= -np.inf))
        counts = np.array([*bin_counts(values, column.bins), n_missing], dtype=np.int64)
        counts[0] -= n_missing
        self.add_counts(name, counts, _finite_extremes(values))

    def add_dates(self, name: str, microseconds: npt.NDArray[np.int64], n_missing: int) -> None:
        """Count dates.

        Parameters
        ----------
        name
            Name of the column.
        microseconds
            Dates of the rows that have one, in microseconds since 1970, shape (n_values,), int64.
        n_missing
            Number of rows without a date.
        """
        counts = [*bin_counts(microseconds, self._columns[name].bins), n_missing]
        extremes = (int(microseconds.min()), int(microseconds.max())) if len(microseconds) else None
        self.add_counts(name, np.array(counts, dtype=np.int64), extremes)

    def add_levels(self, name: str, codes: npt.NDArray[np.integer[Any]], levels: Sequence[str], n_missing: int) -> None:
        """Count levels that are encoded by a dictionary.

        Parameters
        ----------
        name
            Name of the column.
        codes
            Positions in ``levels`` of the rows that have a value, shape (n_values,), integers from 0.
        levels
            The dictionary; it may have levels that do not occur, and a level may occur twice.
        n_missing
            Number of rows without a value.
        """
        places = self._columns[name].places
        found = np.bincount(codes, minlength=len(levels))
        counts = np.zeros(len(places) + 2, dtype=np.int64)
        for level, n_rows in zip(levels, found.tolist(), strict=True):
            counts[places.get(level, len(places))] += n_rows
        counts[-1] = n_missing
        self.add_counts(name, counts)

    def add_counts(self, name: str, counts: Counts, extremes: tuple[Any, Any] | None = None) -> None:
        """Add counts of rows.

        Parameters
        ----------
        name
            Name of the column.
        counts
            Rows per bin in the order of :func:`all_counts`, int64.
        extremes
            Minimum and maximum of the finite numbers or of the microseconds since 1970; None if there are none.
        """
        column = self._columns[name]
        column.counts += counts
        if extremes is not None:
            low, high = extremes
            column.low = low if column.low is None else min(column.low, low)
            column.high = high if column.high is None else max(column.high, high)

    def merge(self, other: Self) -> None:
        """Add the counts of another window over the same bins.

        Raises
        ------
        ValueError
            The columns or their bins differ.
        """
        if [*map(_bins, self._reference)] != [*map(_bins, other._reference)]:
            raise ValueError("expected counts of the same columns over the same bins, found others")
        for name, column in other._columns.items():
            extremes = None if column.low is None else (column.low, column.high)
            self.add_counts(name, column.counts, extremes)

    def columns(self) -> tuple[ColumnProfile, ...]:
        """Return a profile of each column in the reference's order, with its bins and the window's counts.

        Raises
        ------
        ValueError
            The columns have different numbers of rows.
        """
        self.n_rows  # noqa: B018 - raises
        return tuple(_counted(profile, self._columns[profile.name]) for profile in self._reference)


@dataclass(eq=False)
class _Column:
    """Running counts: ``bins`` are edges of numbers or microseconds, ``places`` positions of levels."""

    bins: npt.NDArray[Any]
    places: dict[str, int]
    counts: Counts
    low: Any = None
    high: Any = None

    @classmethod
    def of(cls, profile: ColumnProfile) -> Self:
        counts = np.zeros(len(all_counts(profile)), dtype=np.int64)
        if isinstance(profile, LevelProfile):
            return cls(np.array([]), {level: place for place, level in enumerate(profile.levels)}, counts)
        bins = _microseconds(profile.edges) if profile.kind == "date" else np.array(profile.edges, dtype="float64")
        return cls(bins, {}, counts)


def _counted(profile: ColumnProfile, column: _Column) -> ColumnProfile:
    counts = column.counts.tolist()
    if isinstance(profile, LevelProfile):
        return replace(profile, counts=tuple(counts[:-2]), other=counts[-2], missing=counts[-1])
    low, high = column.low, column.high
    if profile.kind == "date" and low is not None:
        low, high = (str(np.datetime64(moment, "us")) for moment in (low, high))
    return BinnedProfile(profile.name, profile.kind, profile.edges, tuple(counts[:-1]), counts[-1], low, high)


def _finite_extremes(values: Floats) -> tuple[float, float] | None:
    # fmin and fmax ignore NaN and return it only if there is no number. Infinities are rare: filter only then.
    low, high = np.fmin.reduce(values), np.fmax.reduce(values)
    if not (np.isfinite(low) and np.isfinite(high)):
        finite = values[np.isfinite(values)]
        if not len(finite):
            return None
        low, high = finite.min(), finite.max()
    # Adding 0.0 turns -0.0 into 0.0, so that the result does not depend on the order.
    return float(low) + 0.0, float(high) + 0.0


def _extremes(column: ColumnProfile) -> tuple[Any, Any] | None:
    if isinstance(column, LevelProfile) or column.minimum is None:
        return None
    found = (column.minimum, column.maximum)
    return tuple(_microseconds(found).tolist()) if column.kind == "date" else found


def _bins(column: ColumnProfile) -> tuple[str, str, tuple[Any, ...]]:
    return column.name, column.kind, column.levels if isinstance(column, LevelProfile) else column.edges


def _microseconds(texts: Sequence[Any]) -> npt.NDArray[np.int64]:
    return np.array(texts, dtype="datetime64[us]").astype(np.int64)


def _share(n_rows: int, column: ColumnProfile) -> float:
    total = int(all_counts(column).sum())
    return n_rows / total if total else 0.0


def frame_counts(reference: Sequence[ColumnProfile], frame: pd.DataFrame) -> tuple[ColumnProfile, ...]:
    """Count rows that are in memory.

    Parameters
    ----------
    reference
        Profiles with the bins.
    frame
        n rows with a column for each profile, of the profile's name.

    Examples
    --------
    >>> region = LevelProfile("region", "levels", ("north", "south"), (5, 3), 0, 0)
    >>> frame_counts([region], pd.DataFrame({"region": ["south", "west", None]}))[0].counts
    (0, 1)
    """
    counts = WindowCounts(reference)
    for profile in reference:
        _add_column(counts, profile, frame[profile.name])
    return counts.columns()


def _add_column(counts: WindowCounts, profile: ColumnProfile, values: pd.Series[Any]) -> None:
    if isinstance(profile, LevelProfile):
        codes, levels = pd.factorize(values)
        known = codes[codes >= 0]
        counts.add_levels(profile.name, known, [level_text(level) for level in levels], len(codes) - len(known))
    elif profile.kind == "date":
        present = values.dropna().to_numpy("datetime64[us]").view("int64")
        counts.add_dates(profile.name, present, len(values) - len(present))
    else:
        counts.add_numbers(profile.name, values.to_numpy("float64", na_value=np.nan))
