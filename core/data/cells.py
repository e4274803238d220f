"""Read one cell of a request as ingestion reads the same cell of a file.

:mod:`core.data.sql` holds the same rules for DuckDB, which reads files; ``tests/core/data/test_cells.py`` compares both
over all kinds of cells. Here they are for one value at a time, with the standard library only, for the service.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable
from datetime import UTC, datetime, timedelta, timezone

from core.notations import PLAIN_NUMBER, DateNotation, NumberNotation, fits

EARLIEST, LATEST = -62_135_596_800_000_000, 253_402_300_799_999_999
"""First and last microsecond since 1970 of the years 1 to 9999."""

_WHOLE = re.compile(r"([+-]?\d+)\.0+", re.ASCII)
_MOMENT = re.compile(
    r"(\d{4})([-/])(\d{1,2})\2(\d{1,2})"
    r"(?:[ T]([01]?\d|2[0-3]):([0-5]?\d)(?::([0-5]?\d)(?:\.(\d{1,9}))?)?"
    r"(Z| UTC|[+-](?:0\d|1[0-5])(?::?[0-5]\d)?)?)?",
    re.ASCII,
)


_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1b\x7f]")


def is_damaged(text: str) -> bool:
    r"""Return whether a text has control characters that are no white space: it is damaged, or bytes of something else.

    Examples
    --------
    >>> is_damaged("a\tb"), is_damaged("a\0b")
    (False, True)
    """
    return _CONTROL.search(text) is not None


def missing_texts(texts: Iterable[str]) -> frozenset[str]:
    """Return the texts without surrounding white space that mean no value; the empty text is always one."""
    return frozenset({"", *(text.strip() for text in texts)})


def text_cell(text: str, missing: Collection[str]) -> str | None:
    """Return a text without surrounding white space; None where it means no value.

    Parameters
    ----------
    text
        As it was sent.
    missing
        From :func:`missing_texts`.
    """
    stripped = text.strip()
    return None if stripped in missing else stripped


def category(text: str, missing: Collection[str]) -> str | None:
    """Return the level that a text names; None where it means no value.

    A whole number with a fraction of zero is the whole number: tools write ``3.0`` for ``3`` as soon as one row has no
    value.

    Parameters
    ----------
    text
        As it was sent.
    missing
        From :func:`missing_texts`.

    Examples
    --------
    >>> category(" red ", {""}), category("3.0", {""}), category("02134", {""}), category("NA", {"", "NA"})
    ('red', '3', '02134', None)
    """
    cell = text_cell(text, missing)
    return cell if cell is None or ".0" not in cell else whole_text(cell)


def class_label(text: str) -> str:
    """Return the class label that a text names: as a category, and ``true`` and ``false`` in lower case.

    Examples
    --------
    >>> class_label("True"), class_label("1.0"), class_label("Good ")
    ('true', '1', 'Good')
    """
    cell = text.strip()
    if cell.lower() in ("true", "false"):
        return cell.lower()
    return whole_text(cell)


def whole_text(cell: str) -> str:
    """Return a whole number without its fraction of zero, and any other text as it is."""
    whole = _WHOLE.fullmatch(cell)
    return whole[1] if whole else cell


def moment(text: str) -> datetime | None:
    """Return the date or time that a text states, in UTC and without a zone; None where it states none.

    Year, month and day are separated by ``-`` or ``/``; a time of day and an offset from UTC may follow. Fractions
    beyond microseconds are cut off. The years are 1 to 9999, also after the offset was subtracted.

    Examples
    --------
    >>> moment("2024-03-01T12:30:00+02:00")
    datetime.datetime(2024, 3, 1, 10, 30)
    >>> moment("01/03/2024") is None
    True
    """
    found = _MOMENT.fullmatch(text.strip())
    if found is None:
        return None
    year, _, month, day, hour, minute, second, fraction, offset = found.groups()
    numbers = [int(part or 0) for part in (year, month, day, hour, minute, second)]
    try:
        stated = datetime(*numbers, int((fraction or "").ljust(6, "0")[:6]), tzinfo=_zone(offset))  # type: ignore[misc,arg-type] # seven numbers and a zone
        return in_utc(stated)
    except (ValueError, OverflowError):  # there is no such day, or it is outside the years
        return None


def in_utc(stated: datetime) -> datetime:
    """Return a time in UTC and without a zone; a time without a zone is returned as it is.

    Examples
    --------
    >>> in_utc(datetime.fromisoformat("2024-03-01T12:30:00+02:00"))
    datetime.datetime(2024, 3, 1, 10, 30)
    """
    return stated.astimezone(UTC).replace(tzinfo=None) if stated.tzinfo else stated


def stated_number(text: str, notation: NumberNotation) -> float | None:
    """Return the number that a text states; None if it states none, or one beyond what a double can hold.

    Parameters
    ----------
    text
        Without surrounding white space.
    notation
        Of the column.

    Examples
    --------
    >>> stated_number("1.234,5", NumberNotation(",", ".")), stated_number("1.5", NumberNotation(",", "."))
    (1234.5, None)
    """
    canonical = notation.canonical(text)
    number = math.nan if canonical is None else float(canonical)
    return number if math.isfinite(number) else None


def stated_moment(cell: str | float, notation: DateNotation) -> datetime | None:
    """Return the date or time that a cell states, in UTC and without a zone; None if it states none.

    Parameters
    ----------
    cell
        A text without surrounding white space, or a number.
    notation
        Of the column.

    Examples
    --------
    >>> stated_moment("31.1.2026", DateNotation(("%d.%m.%Y",))), stated_moment(0, DateNotation(("seconds",)))
    (datetime.datetime(2026, 1, 31, 0, 0), datetime.datetime(1970, 1, 1, 0, 0))
    """
    if notation.epoch:
        number = _number(cell)
        return moment(str(cell)) if number is None else _since_1970(number, notation.epoch)
    text = whole_text(str(cell))
    for given, form in notation.forms:
        if fits(form, text):
            return _parsed(text, given)
    return moment(text)


def _number(cell: str | float) -> float | None:
    return float(cell) if not isinstance(cell, str) or fits(PLAIN_NUMBER, cell) else None


def _since_1970(number: float, units: int) -> datetime | None:
    microseconds = number * (10**6 // units)
    if not EARLIEST <= microseconds <= LATEST:
        return None
    return datetime(1970, 1, 1) + timedelta(microseconds=math.floor(microseconds))


def _parsed(text: str, given: str) -> datetime | None:
    try:
        return in_utc(datetime.strptime(text, given))
    except (ValueError, OverflowError):  # there is no such day, or it is outside the years
        return None


def _zone(offset: str | None) -> timezone:
    if offset is None or offset in ("Z", " UTC"):
        return UTC
    digits = offset[1:].replace(":", "")
    distance = timedelta(hours=int(digits[:2]), minutes=int(digits[2:] or 0))
    return timezone(-distance if offset[0] == "-" else distance)
