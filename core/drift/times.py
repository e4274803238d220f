"""Times of a window's rows: which fall into a range, and whether they come in order."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Self

import numpy as np
import numpy.typing as npt

Moments = npt.NDArray[np.int64]
"""Microseconds since 1970, UTC."""


@dataclass(frozen=True)
class TimeRange:
    """Moments ``since <= time < until``; None is open. A moment without zone is UTC."""

    since: datetime | None = None
    until: datetime | None = None

    @property
    def is_open(self) -> bool:
        """Whether every moment lies in it."""
        return self.since is None and self.until is None

    def holds(self, moments: Moments) -> npt.NDArray[np.bool_]:
        """Tell which moments lie in the range."""
        inside = np.ones(len(moments), dtype=bool)
        if self.since is not None:
            inside &= moments >= _microsecond(self.since)
        if self.until is not None:
            inside &= moments < _microsecond(self.until)
        return inside


@dataclass(frozen=True)
class TimeOrder:
    """Times of consecutive rows, as little of them as two stretches need to be put together.

    Parameters
    ----------
    first, last
        Time of the first and the last row.
    earliest, latest
        Of all rows.
    n_descents
        Rows whose time is earlier than that of the row before.
    """

    first: int
    last: int
    earliest: int
    latest: int
    n_descents: int

    @classmethod
    def of(cls, moments: Moments) -> Self | None:
        """Sum up rows that all have a time; None where there is no row."""
        if not len(moments):
            return None
        n_descents = int(np.count_nonzero(moments[1:] < moments[:-1]))
        return cls(int(moments[0]), int(moments[-1]), int(moments.min()), int(moments.max()), n_descents)

    def then(self, later: TimeOrder) -> TimeOrder:
        """Sum up these rows and the ones that come after them."""
        return TimeOrder(
            self.first,
            later.last,
            min(self.earliest, later.earliest),
            max(self.latest, later.latest),
            self.n_descents + later.n_descents + (later.first < self.last),
        )


def joined_order(one: TimeOrder | None, later: TimeOrder | None) -> TimeOrder | None:
    """Put two stretches together, either of which may have no row with a time."""
    return one.then(later) if one and later else one or later


def moment(microseconds: int) -> datetime:
    """Moment as UTC without zone.

    Examples
    --------
    >>> moment(1_500_000)
    datetime.datetime(1970, 1, 1, 0, 0, 1, 500000)
    """
    found: datetime = np.datetime64(microseconds, "us").item()
    return found


def _microsecond(when: datetime) -> int:
    plain = when.astimezone(UTC).replace(tzinfo=None) if when.tzinfo else when
    return int(np.datetime64(plain, "us").astype(np.int64))
