"""Recognise dates in notations that the ingestion does not read, from a sample of a column's values."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from core.text import short

MIN_SHARE = 0.95
MIN_EXAMPLES = 3
REWRITE = "rewrite as 2026-01-31 to learn from them"

_MONTH = r"(?:jan|feb|mar|mär|mae|apr|may|mai|jun|jul|aug|sep|oct|okt|nov|dec|dez)[a-zé]*\.?"
_REST = r"(?:[ T,].*)?"
_NUMERIC = re.compile(r"(\d{1,2})([./-])(\d{1,2})\2(?:\d{2}|\d{4})" + _REST)
_YEAR_FIRST = re.compile(r"(\d{4})([./-])(\d{1,2})\2(\d{1,2})" + _REST)
_NAMED = re.compile(
    rf"(?:[a-z]+\.?,? )?(?:\d{{1,2}}(?:st|nd|rd|th|\.)?[ ./-]*{_MONTH},?[ ./-]*(?:\d{{4}}|\d{{2}})"
    rf"|{_MONTH} \d{{1,2}}(?:st|nd|rd|th)?,? \d{{4}}|\d{{4}}[ ./-]{_MONTH}[ ./-]\d{{1,2}}){_REST}",
    re.IGNORECASE,
)
_PERIOD = re.compile(
    rf"(?:19|20)\d\d[-/.](?:0?[1-9]|1[0-2])|(?:0?[1-9]|1[0-2])[-/.](?:19|20)\d\d|(?:19|20)\d\d[ -]?Q[1-4]"
    rf"|Q[1-4][ -/]?(?:19|20)\d\d|{_MONTH}[ ./-]?(?:\d{{4}}|\d{{2}})|(?:19|20)\d\d-?W\d\d",
    re.IGNORECASE,
)
_EPOCHS = (("seconds", 1), ("milliseconds", 10**3), ("microseconds", 10**6))
_EPOCH_FROM = datetime(1990, 1, 1, tzinfo=UTC).timestamp()
_EPOCH_TO = datetime(2038, 1, 1, tzinfo=UTC).timestamp()


def date_notation(texts: Sequence[str], *, many: bool = True) -> str:
    """Return what kind of dates the values are and what to do; empty if they are none.

    Parameters
    ----------
    texts
        Distinct values of a column, all or a sample, without those that mean no value.
    many
        Whether the column has too many values for months or quarters to be a category.

    Examples
    --------
    >>> date_notation(["31.12.2024", "1.1.2025", "7.3.2025"])
    "dates, but not year first ('31.12.2024'); rewrite as 2026-01-31 to learn from them"
    >>> date_notation(["1.2", "10.20.30.40", "7.3.2025"])
    ''
    """
    if len(texts) < MIN_EXAMPLES:
        return ""
    kinds: list[tuple[Callable[[str], bool], str]] = [
        (_is_numeric, "dates, but not year first ({})"),
        (_is_named, "dates with the name of the month ({})"),
        (_is_compact, "dates without separators ({})"),
        (_is_year_first, "dates, but not all in one readable form ({})"),
        *([(_is_period, "months, quarters or weeks ({})")] if many else []),
    ]
    found = [next((what for is_kind, what in kinds if is_kind(text)), "") for text in texts]
    if sum(map(bool, found)) < MIN_SHARE * len(texts):
        return ""
    what = max((what for _, what in kinds), key=found.count)
    return f"{what.format(short(texts[found.index(what)], 24))}; {REWRITE}"


def epoch_unit(low: float, high: float) -> str:
    """Return the unit in which numbers may count the time since 1970, for times from 1990 to 2037; empty if none.

    Parameters
    ----------
    low, high
        Range of the numbers.

    Examples
    --------
    >>> epoch_unit(1_600_000_000, 1_700_000_000), epoch_unit(1.6e12, 1.7e12), epoch_unit(0, 1.7e9)
    ('seconds', 'milliseconds', '')
    """
    return next(
        (unit for unit, factor in _EPOCHS if _EPOCH_FROM * factor <= low and high <= _EPOCH_TO * factor),
        "",
    )


def epoch_range(low: float, high: float) -> str:
    """Return the dates of numbers that count the time since 1970.

    Parameters
    ----------
    low, high
        Range of the numbers, in a unit of :func:`epoch_unit`.
    """
    factor = dict(_EPOCHS)[epoch_unit(low, high)]
    first, last = (datetime.fromtimestamp(value / factor, UTC) for value in (low, high))
    return f"{first:%Y-%m-%d} to {last:%Y-%m-%d}"


def _is_numeric(text: str) -> bool:
    found = _NUMERIC.fullmatch(text)
    return found is not None and _are_day_and_month(int(found[1]), int(found[3]))


def _are_day_and_month(one: int, other: int) -> bool:
    return 1 <= min(one, other) <= 12 and max(one, other) <= 31


def _is_named(text: str) -> bool:
    return _NAMED.fullmatch(text) is not None


def _is_compact(text: str) -> bool:
    if not re.fullmatch(r"\d{8}|\d{14}", text, re.ASCII):
        return False
    year_first = 1900 <= int(text[:4]) <= 2100 and 1 <= int(text[4:6]) <= 12 and 1 <= int(text[6:8]) <= 31
    year_last = 1900 <= int(text[4:8]) <= 2100 and _are_day_and_month(int(text[:2]), int(text[2:4]))
    return year_first or (year_last and len(text) == 8)


def _is_year_first(text: str) -> bool:
    # 0000-00-00 is how some databases write no date.
    found = _YEAR_FIRST.fullmatch(text)
    return found is not None and int(found[3]) <= 12 and int(found[4]) <= 31


def _is_period(text: str) -> bool:
    return _PERIOD.fullmatch(text) is not None
