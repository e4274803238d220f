"""Decide whether a column of numbers counts rows or time: it drifts in every window and cannot be extrapolated."""

from __future__ import annotations

from dataclasses import dataclass

from core.init.columns import ColumnStatistics, Decision
from core.text import name_words, number, short

MIN_DISTINCT = 20
MIN_STEPS = 5
MAX_STEPS_BACK = 0.001
"""Maximum share of steps against the direction: a file may have a few late rows."""

MIN_IDENTIFYING = 0.95
TIME_WORDS = frozenset(
    {"date", "day", "days", "elapsed", "epoch", "hours", "minutes", "sec", "second", "seconds", "tick", "time"}
    | {"timestamp", "ts", "unix", "week", "weeks"}
)
ROW_WORDS = frozenset({"counter", "id", "idx", "index", "no", "nr", "number", "row", "seq", "sequence", "step"})
"""Words in the name of a counter of time, and of a counter of whole numbers."""


@dataclass(frozen=True)
class Steps:
    """Steps of a column's numbers along an order of the rows.

    Parameters
    ----------
    n_steps
        Number of steps from one moment (or row) to the next.
    n_up, n_down
        Number of steps in which a number rises, and in which one falls.
    """

    n_steps: int
    n_up: int
    n_down: int

    @property
    def direction(self) -> str:
        """``rises`` or ``falls`` if the numbers only do that; otherwise empty."""
        if self.n_steps < MIN_STEPS:
            return ""
        allowed = MAX_STEPS_BACK * self.n_steps
        if self.n_down <= allowed < self.n_up:
            return "rises"
        return "falls" if self.n_up <= allowed < self.n_down else ""


def time_counter(column: ColumnStatistics, steps: Steps, time: str) -> Decision | None:
    """Decide whether numbers count time: they only rise, or only fall, from one moment to the next.

    Parameters
    ----------
    column
        A numeric column.
    steps
        Its steps along the time column.
    time
        Name of the time column.
    """
    if not steps.direction or column.n_distinct < MIN_DISTINCT:
        return None
    return Decision("ignored", f"a counter of time: it {steps.direction} with {short(time)}, {_range(column)}")


def row_counter(column: ColumnStatistics, steps: Steps, dates: list[str]) -> Decision | str | None:
    """Decide whether numbers count the rows; return a remark where the file may only be sorted by the column.

    Parameters
    ----------
    column
        A numeric column.
    steps
        Its steps from row to row.
    dates
        Columns of dates that also follow the order of rows: then the order is that of time.
    """
    if not steps.direction or column.n_distinct < MIN_DISTINCT:
        return None
    how = f"{steps.direction} with the order of rows"
    if dates:
        return Decision("ignored", f"a counter of time: it {how}, as {short(dates[0])} does; {_range(column)}")
    is_unique = column.is_integer and column.n_distinct >= MIN_IDENTIFYING * column.n_values
    words = TIME_WORDS | ROW_WORDS if column.is_integer else TIME_WORDS
    if is_unique or words.intersection(name_words(column.name)):
        return Decision("ignored", f"a counter: it {how}, {_range(column)}")
    return (
        f"{short(column.name)} {how}, {_range(column)}; if it counts rows or time, move it to features.ignored, "
        "because it drifts in every window"
    )


def _range(column: ColumnStatistics) -> str:
    return f"from {number(column.minimum or 0.0)} to {number(column.maximum or 0.0)}"
