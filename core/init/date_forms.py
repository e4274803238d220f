"""Recognise the formats of a column's dates, by the order of day, month and year."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from config.date_formats import DIRECTIVES
from core.data.cells import moment, stated_moment
from core.init.number_forms import MIN_EXAMPLES, is_read
from core.notations import DateNotation

Order = Literal["ymd", "dmy", "mdy"]
MAX_FORMATS = 4
FIRST = 50
"""Texts that are looked at first: most columns of texts have no dates, and wide files have many columns."""

YEARS = range(1900, 2101)
"""Years of dates without separators; other digits are no dates."""

_NAME = f"(?:{DIRECTIVES['B']}|{DIRECTIVES['b']})"
_BETWEEN = r"[-/.]|, ?|\. | |"
_DATE = re.compile(
    rf"(?P<a>\d{{1,4}}|{_NAME})(?P<s>{_BETWEEN})(?P<b>\d{{1,2}}|{_NAME})(?P<t>{_BETWEEN})(?P<c>\d{{4}}|\d{{1,2}})"
    r"(?P<time>\D.*)?",
    re.ASCII,
)
_COMPACT = re.compile(r"(\d{8})(T?)(\d{4}|\d{6})?(?P<zone>Z|[+-]\d{2}:?\d{2})?", re.ASCII)
_TIME = re.compile(
    r"(?P<gap>T| |, | at |:)(?P<hour>\d{1,2}):\d{2}(?P<second>:\d{2})?(?P<fraction>\.\d{1,6})?(?P<half> ?(?i:am|pm))?"
    r"(?P<zone> ?[+-]\d{2}:?\d{2}| ?Z| UTC| GMT)?",
    re.ASCII,
)
_NUMERIC: dict[Order, tuple[str, str, str]] = {
    "ymd": ("Y", "m", "d"),
    "dmy": ("d", "m", "Y"),
    "mdy": ("m", "d", "Y"),
}


def date_readings(texts: Sequence[str]) -> dict[Order, DateNotation]:
    """Return the notations in which the texts state dates, by the order of day, month and year.

    Parameters
    ----------
    texts
        Distinct values of a column, all or a sample, without those that mean no value.

    Returns
    -------
    dict
        Empty if the texts are no dates, or dates that need no format; two orders if day and month cannot be told apart.

    Examples
    --------
    >>> date_readings(["31.12.2024", "1.1.2025", "7.3.2025"])
    {'dmy': DateNotation(formats=('%d.%m.%Y',))}
    >>> list(date_readings(["3/4/2024", "5/6/2024", "7/8/2024"]))
    ['dmy', 'mdy']
    """
    if len(texts) < MIN_EXAMPLES or not _are_mostly_dates(texts[:FIRST]):
        return {}
    usual = [moment(text) is not None for text in texts]
    if all(usual):
        return {}
    found = [{} if is_usual else _formats(text) for text, is_usual in zip(texts, usual, strict=True)]
    readings: dict[Order, DateNotation] = {}
    for order in _NUMERIC:
        formats = Counter(one[order] for one in found if order in one)
        stated = [is_usual or order in one for one, is_usual in zip(found, usual, strict=True)]
        if 0 < len(formats) <= MAX_FORMATS and is_read(texts, stated):
            readings[order] = DateNotation(tuple(_with_short_names(given for given, _ in formats.most_common())))
    return readings


def odd_date(texts: Sequence[str]) -> tuple[str, str] | None:
    """Return a date in the most frequent format of a column, and a text that has another; None if most are no dates.

    Parameters
    ----------
    texts
        Distinct values of a column without :func:`date_readings`.

    Examples
    --------
    >>> odd_date(["31.12.2024", "30.02.2025", "7.3.2025"])
    ('31.12.2024', '30.02.2025')
    """
    if not _are_mostly_dates(texts):
        return None
    found = [_formats(text) for text in texts]
    counts = Counter(given for one in found for given in one.values())
    if not counts:
        return None
    ((usual, n),) = counts.most_common(1)
    example = next(text for text, one in zip(texts, found, strict=True) if usual in one.values())
    odd = [text for text, one in zip(texts, found, strict=True) if usual not in one.values() and moment(text) is None]
    return (example, odd[0]) if odd and n > 1 else None


def clear_order(readings: Mapping[Order, DateNotation], other: Order | None) -> Order | None:
    """Return the order of a column's dates; None if nothing decides it.

    Parameters
    ----------
    readings
        From :func:`date_readings`.
    other
        Order that the user gives or that a column of the same source has; None if there is none.
    """
    if len(readings) == 1:
        return next(iter(readings))
    if "dmy" in readings and all("." in given for given in readings["dmy"].formats):
        return "dmy"  # between points, the month is not written first
    return other if other in readings else None


def has_short_years(notation: DateNotation) -> bool:
    """Return whether a format has years of two digits."""
    return any("%y" in given for given in notation.formats)


def _are_mostly_dates(texts: Sequence[str]) -> bool:
    """Return whether half of the texts have the parts of a date, of any order and calendar."""
    return 2 * sum(_has_date_parts(text) for text in texts) >= len(texts)


def _has_date_parts(text: str) -> bool:
    return _DATE.fullmatch(text) is not None or _COMPACT.fullmatch(text) is not None or moment(text) is not None


def _with_short_names(formats: Iterable[str]) -> Iterable[str]:
    """Add the format of May beside that of longer names: in a sample, it may not occur."""
    return dict.fromkeys(one for given in formats for one in (given, given.replace("%B", "%b")))


def _formats(text: str) -> dict[Order, str]:
    """Return the formats of one text, by order."""
    if found := _COMPACT.fullmatch(text):
        candidates = _compact_formats(found)
    elif found := _DATE.fullmatch(text):
        candidates = _separated_formats(found)
    else:
        return {}
    return {
        order: given
        for order, given in candidates.items()
        if given is not None and stated_moment(text, DateNotation((given,))) is not None
    }


def _compact_formats(found: re.Match[str]) -> dict[Order, str | None]:
    digits, gap, clock, zone = found.groups()
    if (gap and not clock) or (zone and not clock):
        return {}
    time = gap + {0: "", 4: "%H%M", 6: "%H%M%S"}[len(clock or "")] + _zone(zone)
    years: dict[Order, str] = {"ymd": digits[:4], "dmy": digits[4:], "mdy": digits[4:]}
    return {
        order: "".join(f"%{part}" for part in parts) + time
        for order, parts in _NUMERIC.items()
        if int(years[order]) in YEARS
    }


def _separated_formats(found: re.Match[str]) -> dict[Order, str | None]:
    time = _time_format(found["time"])
    if time is None:
        return {}
    parts = (found["a"], found["b"], found["c"])
    names = [place for place, part in enumerate(parts) if part.isalpha()]
    # Only beside a name do digits need no separator: 16DEC2023.
    bare = [place for place, between in enumerate((found["s"], found["t"])) if not between]
    if len(names) > 1 or any(not {place, place + 1}.intersection(names) for place in bare):
        return {}
    given: dict[Order, str | None] = {}
    for order, directives in _NUMERIC.items():
        directed = [_directive(part, one) for part, one in zip(parts, directives, strict=True)]
        # A year of two digits stands first in 99-12-31, not beside points, slashes and names of months.
        if None not in directed and (directed[0] != "%y" or (found["s"] == "-" and not names)):
            first, second, third = directed
            given[order] = f"{first}{found['s']}{second}{found['t']}{third}{time}"
    return given


def _directive(part: str, wanted: str) -> str | None:
    """Return the directive of a part that stands where day, month or year is wanted; None if it cannot be one."""
    if part.isalpha():
        return None if wanted != "m" else "%b" if len(part) == 3 else "%B"
    if wanted == "Y":
        return {4: "%Y", 2: "%y"}.get(len(part))
    return f"%{wanted}" if len(part) <= 2 else None


def _time_format(text: str | None) -> str | None:
    if not text:
        return ""
    found = _TIME.fullmatch(text)
    if found is None:
        return None
    second = "%S" if found["second"] else ""
    fraction = ".%f" if found["fraction"] else ""
    if fraction and not second:
        return None
    half = found["half"] or ""
    hour = "%I" if half else "%H"
    end = half.replace(half.strip(), "%p") if half else ""
    return f"{found['gap']}{hour}:%M{second and ':'}{second}{fraction}{end}{_zone(found['zone'])}"


def _zone(text: str | None) -> str:
    if text is None or not any(sign in text for sign in "+-"):
        return text or ""
    return " %z" if text[0] == " " else "%z"
