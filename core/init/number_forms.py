"""Recognise how the texts of a column state numbers: decimal commas, thousands, units."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from config.schema import DecimalMark, ThousandsMark
from core.data.cells import stated_number
from core.notations import APOSTROPHES, MINUS, SPACES, NumberNotation

POINTS: tuple[DecimalMark, ...] = (".", ",")
MIN_SHARE = 0.95
MAX_OTHERS = 10
"""Most distinct texts of a column of numbers that state none, such as ``n.a.``."""

MIN_EXAMPLES = 3
MIN_WITH_UNIT = 10
"""Fewest distinct texts from which letters after a number are its unit; with fewer, ``12A`` may be a code."""

MIN_GROUPED = 44
"""Fewest texts by which three digits after a mark are thousands if others have no mark at all.

Of numbers with three decimals, one in ten ends with a zero, which is rarely written: 0.9^44 is 1 %.
"""

CODE_DIGITS = 7
MIN_CODES = 20
"""Fewest digits, all of the same number, and fewest texts, by which grouped digits are codes."""

_CURRENCIES = frozenset(
    [
        "eur",
        "usd",
        "us$",
        "gbp",
        "chf",
        "fr.",
        "sfr.",
        "jpy",
        "inr",
        "rs",
        "rs.",
        "cad",
        "c$",
        "aud",
        "a$",
        "nzd",
        "nz$",
        "sek",
        "nok",
        "dkk",
        "kr",
        "kr.",
        "pln",
        "zł",
        "czk",
        "kč",
        "huf",
        "ft",
        "brl",
        "r$",
        "cny",
        "rmb",
        "rub",
        "try",
        "zar",
        "ils",
        "nis",
        "mxn",
        "mx$",
        "sgd",
        "s$",
        "hkd",
        "hk$",
        "krw",
        "thb",
    ]
)
_SIGNS = "€$£¥₹₽₩"
_PARTS = re.compile(
    rf"\(?[{MINUS}+]?(?P<before>[^\d\s()+{MINUS[1]}.,'-][^\d()+{MINUS[1]}-]{{0,7}}?)?[{SPACES}]?[{MINUS}+]?[{SPACES}]?\(?"
    rf"(?:[.,]?\d(?:[\d.,{APOSTROPHES}{SPACES}]*\d)?[.,]?(?:[eE][+-]?\d+)?)\)?"
    rf"[{SPACES}]?(?P<after>[^\d\s()+{MINUS[1]}.,'-][^\d()+{MINUS[1]}-]{{0,15}}?)?[{MINUS}]?\)?",
    re.ASCII,
)


def number_readings(texts: Sequence[str]) -> tuple[NumberNotation, ...]:
    """Return the notations in which the texts state numbers, one for each reading.

    Parameters
    ----------
    texts
        Distinct values of a column, all or a sample, without those that mean no value.

    Returns
    -------
    tuple
        None if the texts are no numbers, or only numbers in the usual notation; two if they can be read in two ways,
        one of which may be the usual one.

    Examples
    --------
    >>> number_readings(["1.234,5", "7,25", "18"])
    (NumberNotation(decimal=',', thousands='.', unit=''),)
    >>> [one.thousands for one in number_readings(["1.234", "21.042", "7.125"])]
    ['', '.']
    """
    unit = _unit(texts)
    if unit is None or len(texts) < MIN_EXAMPLES or all(text.startswith("+") for text in texts):
        return ()
    readings: dict[tuple[float | None, ...], NumberNotation] = {}
    for notation in _candidates(texts, unit):
        values = tuple(stated_number(text, notation) for text in texts)
        if is_read(texts, [value is not None for value in values]):
            readings.setdefault(values, notation)
    complete = [one for values, one in readings.items() if values.count(None) == min(map(_n_unread, readings))]
    if complete == [NumberNotation()] or _are_codes(texts, complete):
        return ()
    grouped = next((one for one in complete if one.thousands), None)
    if len(complete) > 1 and grouped is not None and _has_bare(texts, grouped):
        return (grouped,)
    return tuple(complete[:2])


def is_read(texts: Sequence[str], stated: Sequence[bool]) -> bool:
    """Return whether a column's texts state values apart from a few words; a text with a digit is no such word.

    Parameters
    ----------
    texts
        Distinct values of the column.
    stated
        Whether each states a value.
    """
    others = [text for text, is_value in zip(texts, stated, strict=True) if not is_value]
    if len(others) > MAX_OTHERS or sum(stated) < MIN_EXAMPLES or sum(stated) < MIN_SHARE * len(texts):
        return False
    return not any(character.isdigit() for text in others for character in text)


def _n_unread(values: tuple[float | None, ...]) -> int:
    return values.count(None)


def _candidates(texts: Sequence[str], unit: str) -> list[NumberNotation]:
    there = set().union(*texts)
    marks: list[ThousandsMark] = [mark for mark in POINTS if mark in there]
    marks += [" "] if there.intersection(SPACES) else []
    marks += ["'"] if there.intersection(APOSTROPHES) else []
    # In parentheses or with a sign behind them, numbers are no numbers for the engine.
    signs = there.intersection(f"(){MINUS[1]}") or any(re.match(r"- ", text) or text[-1:] == "-" for text in texts)
    grouped: list[ThousandsMark] = ["", *POINTS[1:], *marks] if signs else ["", *marks]
    return [
        NumberNotation(decimal, thousands, unit)
        for thousands in dict.fromkeys(grouped)
        for decimal in POINTS
        if decimal != thousands and (not signs or (decimal, thousands, unit) != (".", "", ""))
    ]


def _unit(texts: Sequence[str]) -> str | None:
    """Return the text beside every number, empty if there is none; None if the texts are no numbers of one unit."""
    found = [parts for text in texts if (parts := _PARTS.fullmatch(text))]
    sides = Counter((parts["before"] or "", parts["after"] or "") for parts in found)
    if not sides:
        return None
    ((before, after), n), *_ = sides.most_common(1)
    if n < MIN_SHARE * len(texts) or (before and after):
        return None
    if not before + after:
        return ""
    known = _is_known(before or after) or (after and n >= MIN_WITH_UNIT)
    return (before or after).strip() if known else None


def _is_known(unit: str) -> bool:
    return unit.strip().lower() in _CURRENCIES or any(sign in unit for sign in f"{_SIGNS}%‰")


def _has_bare(texts: Sequence[str], grouped: NumberNotation) -> bool:
    """Return whether many numbers have groups of digits, and those without a group are all below a thousand."""
    plain = NumberNotation(grouped.decimal, "", grouped.unit)
    numbers = [value for text in texts if (value := stated_number(text, plain)) is not None]
    n_grouped = sum(stated_number(text, grouped) is not None for text in texts) - len(numbers)
    return n_grouped >= MIN_GROUPED and any(numbers) and all(abs(value) < 1000 for value in numbers)


def _are_codes(texts: Sequence[str], readings: Sequence[NumberNotation]) -> bool:
    """Return whether digits are grouped as in identity numbers: as many in every text, and no fraction."""
    if not any(one.thousands for one in readings) or len(texts) < MIN_CODES:
        return False
    lengths = {sum(map(str.isdigit, text)) for text in texts}
    return len(lengths) == 1 and min(lengths) >= CODE_DIGITS and not any(_has_fraction(text) for text in texts)


def _has_fraction(text: str) -> bool:
    return re.search(r"[.,]\d{1,2}(?!\d)", text, re.ASCII) is not None


def are_mixed(texts: Sequence[str]) -> bool:
    """Return whether the texts are numbers, but in more than one notation or unit.

    Parameters
    ----------
    texts
        Distinct values of a column, all or a sample, without those that mean no value.
    """
    found = [_PARTS.fullmatch(text) for text in texts]
    units = [(parts["before"] or parts["after"] or "") if parts else None for parts in found]
    stated = [unit is not None and (not unit or _is_known(unit)) for unit in units]
    return is_read(texts, stated) and not _are_codes(texts, [NumberNotation(thousands=",")])
