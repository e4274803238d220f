"""Times of a window's rows: whether they are in a range, and whether they are in order."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Self

import numpy as np
import numpy.typing as npt

from core.data.cells import in_utc

Moments = npt.NDArray[np.int64]
"""Microseconds since 1970, UTC."""


@dataclass(frozen=True)
class TimeRange:
    """Times ``since <= time < until``; None is no bound. A time without zone is UTC."""

    since: datetime | None = None
    until: datetime | None = None

    @property
    def is_open(self) -> bool:
        """Whether the range has no bounds."""
        return self.since is None and self.until is None

    def holds(self, moments: Moments) -> npt.NDArray[np.bool_]:
        """Return which times are in the range, bool of the shape of ``moments``."""
        inside = np.ones(len(moments), dtype=bool)
        if self.since is not None:
            inside &= moments >= _microsecond(self.since)
        if self.until is not None:
            inside &= moments < _microsecond(self.until)
        return inside


@dataclass(frozen=True)
class TimeOrder:
    """Summary of the times of consecutive rows; the summaries of two consecutive parts can be joined.

    Parameters
    ----------
    first, last
        Time of the first and of the last row, in microseconds since 1970, UTC.
    earliest, latest
        Earliest and latest time of all rows, in microseconds since 1970, UTC.
    n_descents
        Number of rows whose time is earlier than that of the row before.
    """

    first: int
    last: int
    earliest: int
    latest: int
    n_descents: int

    @classmethod
    def of(cls, moments: Moments) -> Self | None:
        """Summarise rows that all have a time, in order; None if there is no row."""
        if not len(moments):
            return None
        n_descents = int(np.count_nonzero(moments[1:] < moments[:-1]))
        return cls(int(moments[0]), int(moments[-1]), int(moments.min()), int(moments.max()), n_descents)

    def then(self, later: TimeOrder) -> TimeOrder:
        """Join the summary of these rows with that of the rows after them."""
        return TimeOrder(
            self.first,
            later.last,
            min(self.earliest, later.earliest),
            max(self.latest, later.latest),
            self.n_descents + later.n_descents + (later.first < self.last),
        )


def joined_order(one: TimeOrder | None, later: TimeOrder | None) -> TimeOrder | None:
    """Join the summaries of two consecutive parts, either of which may be None."""
    return one.then(later) if one and later else one or later


def moment(microseconds: int) -> datetime:
    """Return a time, given in microseconds since 1970, as a naive datetime in UTC.

    Examples
    --------
    >>> moment(1_500_000)
    datetime.datetime(1970, 1, 1, 0, 0, 1, 500000)
    """
    found: datetime = np.datetime64(microseconds, "us").item()
    return found


def _microsecond(when: datetime) -> int:
    return int(np.datetime64(in_utc(when), "us").astype(np.int64))
