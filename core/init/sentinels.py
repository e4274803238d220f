"""Find numbers that may mean *no value*, such as -999: repeated, and far from the other values."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from core.init.columns import ColumnStatistics
from core.text import number, percent, short

MAX_SENTINELS = 3
"""Maximum number of such values on one side: surveys have 997, 998 and 999."""

MIN_ROWS = 2
MIN_SHARE = 0.01
"""Minimum share of rows with a value that is not written like a sentinel."""

MIN_OTHERS = 3
MIN_MANY_OTHERS = 20
"""Minimum number of other values, if the value is written like a sentinel and if not."""

USUAL_GAP = 0.5
USUAL = frozenset({-9, -100, -200, -500, -1000, -10_000, -999.25, -32_768, 32_767, 65_535, -(2**31), 2**31 - 1})
USUAL_DAYS = frozenset(
    {(1, 1, 1), (1753, 1, 1), (1899, 12, 30), (1899, 12, 31), (1900, 1, 1), (1970, 1, 1)}
    | {(2099, 12, 31), (2999, 12, 31), (3000, 1, 1), (9999, 12, 31)}
)
"""Days that databases and spreadsheets have where there is no date."""

MAX_SHOWN_COLUMNS = 4

Values = Sequence[tuple[float, int]]
"""Extreme values with their numbers of rows, the most extreme first; the last may be without a count (0)."""


@dataclass(frozen=True)
class Sentinel:
    """A number that may mean no value.

    Parameters
    ----------
    value
        The number.
    share
        Share of all rows that have it, 0 to 1.
    low, high
        Range of the other values.
    """

    value: float
    share: float
    low: float
    high: float


def sentinels(column: ColumnStatistics, lowest: Values, highest: Values) -> list[Sentinel]:
    """Return the numbers of a column that may mean no value.

    Parameters
    ----------
    column
        A column of numbers.
    lowest, highest
        Its smallest and its largest values, up to ``MAX_SENTINELS + 1`` of each.
    """
    if not lowest or not highest:
        return []
    low_group = _group(column, lowest, highest[0][0])
    low = lowest[len(low_group)][0]
    high_group = _group(column, highest, low)
    high = highest[len(high_group)][0]
    return [Sentinel(value, n / column.n_rows, low, high) for value, n in [*low_group, *high_group]]


def _group(column: ColumnStatistics, values: Values, other_end: float) -> Values:
    """Return the values of one side that are apart from the rest: as many as have the widest gap behind them."""
    found: Values = ()
    widest = 0.0
    for size in range(1, min(MAX_SENTINELS, len(values) - 1) + 1):
        group, nearest = values[:size], values[size][0]
        gap = abs(nearest - group[-1][0])
        if gap > widest and _is_apart(column, group, nearest, abs(other_end - nearest)):
            found, widest = group, gap
    return found


def _is_apart(column: ColumnStatistics, group: Values, nearest: float, span: float) -> bool:
    n_others = column.n_distinct - len(group)
    if n_others < MIN_OTHERS or min(n for _, n in group) < MIN_ROWS:
        return False
    gap = abs(nearest - group[-1][0])
    only_negatives = group[-1][0] < 0 <= nearest
    if any(_is_usual(value) for value, _ in group) and all(_is_near_usual(value) for value, _ in group):
        return gap >= USUAL_GAP * span or (only_negatives and gap > 1)
    is_frequent = min(n for _, n in group) >= MIN_SHARE * column.n_rows and n_others >= MIN_MANY_OTHERS
    is_whole = all(value == math.floor(value) for value, _ in group)
    is_zero = [value for value, _ in group] == [0] and gap >= USUAL_GAP * span
    return is_frequent and (gap >= span or is_zero or (only_negatives and is_whole and len(group) == 1))


def _is_usual(value: float) -> bool:
    """Return whether a number is written like a sentinel: -9, 99, -999, 9999, -888, -200, the largest of a type."""
    digits = f"{abs(value):.15g}"
    repeated = len(digits) > 1 and set(digits) in ({"9"}, {"8"}) and digits != "88"
    return repeated or value in USUAL or abs(value) >= 2**63


def _is_near_usual(value: float) -> bool:
    """Return whether a number is a sentinel or one of the three below it in size, such as 997 beside 999."""
    return any(_is_usual(math.copysign(abs(value) + step, value)) for step in range(4))


def date_remark(column: ColumnStatistics, day: datetime, n: int, nearest: datetime | None, end: datetime) -> str:
    """Return a remark on the earliest or the latest date of a column if it may mean no date; otherwise empty.

    Parameters
    ----------
    column
        A column of dates.
    day, n
        The date, and its number of rows.
    nearest
        The date next to it; None if there is none.
    end
        The date at the other end.
    """
    if nearest is None or n < MIN_ROWS or column.n_distinct <= MIN_OTHERS:
        return ""
    gap, span = abs(nearest - day), abs(end - nearest)
    is_usual = (day.year, day.month, day.day) in USUAL_DAYS and gap >= USUAL_GAP * span
    is_frequent = n >= MIN_SHARE * column.n_rows and column.n_distinct > MIN_MANY_OTHERS
    if not is_usual and not (is_frequent and gap >= span):
        return ""
    first, last = sorted((nearest, end))
    return (
        f"{day.date()} is far from the other dates of {short(column.name)} ({percent(n / column.n_rows)} of rows; the "
        f"others are {first.date()} to {last.date()}); if it means no date, add its text to source.missing, which "
        "applies to every column"
    )


def sentinel_note(found: Sequence[Sentinel]) -> str:
    """Return what is added to the reason beside a column.

    Examples
    --------
    >>> sentinel_note([Sentinel(-200.0, 0.18, 0.1, 11.9)])
    '; -200 (18 %) may mean no value'
    """
    shown = ", ".join(f"{number(sentinel.value)} ({percent(sentinel.share)})" for sentinel in found)
    return f"; {shown} may mean no value"


def sentinel_remarks(found: Mapping[str, Sequence[tuple[str, Sentinel]]], *, is_text: bool) -> list[str]:
    """Return one remark per value, with its columns.

    Parameters
    ----------
    found
        By column: each value as the source has it, and what is known of it.
    is_text
        Whether the source has these columns as text, so that ``source.missing`` applies.
    """
    columns: dict[str, list[str]] = {}
    for name, values in found.items():
        for text, sentinel in values:
            others = f"the others are {number(sentinel.low)} to {number(sentinel.high)}"
            columns.setdefault(text, []).append(f"{short(name)} ({percent(sentinel.share)} of rows; {others})")
    advice = (
        "add it to source.missing, which applies to every column"
        if is_text
        else "leave the cell empty in the source: source.missing applies to text only"
    )
    return [
        f"{short(text)} is far from the other values of {_listed(shown)}; if it means no value, {advice}"
        for text, shown in columns.items()
    ]


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - MAX_SHOWN_COLUMNS} more" if len(names) > MAX_SHOWN_COLUMNS else ""
    return ", ".join(names[:MAX_SHOWN_COLUMNS]) + more
