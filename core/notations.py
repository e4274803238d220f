"""How the texts of a column state numbers and dates, where that is not the usual way.

A notation has a form, a regular expression that DuckDB's engine and Python's ``re`` read alike. A text that does not
have the form is no value of the column: nothing is guessed. :mod:`core.data.sql` and :mod:`core.data.cells` read the
texts that have it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

from config.date_formats import DIRECTIVES, EPOCHS

if TYPE_CHECKING:
    from config.schema import DecimalMark, Source, ThousandsMark

SPACES = " \xa0\u2007\u2009\u202f"
"""Characters that are typed as a space between groups of digits, or between a number and its unit."""

APOSTROPHES = "'\u2019"
MINUS = "-\u2212"
"""The minus of the keyboard, and the one of typography."""

PLAIN_NUMBER = r"[+-]?\d+(?:\.\d*)?(?:[eE][+-]?\d+)?"
"""Regular expression of a number in the usual notation, without a sign behind it."""

_GROUPS = {
    "": r"\d+",
    ".": r"(?:[1-9]\d{0,2}(?:\.\d{3})+|\d+)",
    # In India, groups above the thousands have two digits.
    ",": r"(?:[1-9]\d{0,2}(?:,\d{3})+|[1-9]\d?(?:,\d{2})*,\d{3}|\d+)",
    " ": rf"(?:[1-9]\d{{0,2}}(?:[{SPACES}]\d{{3}})+|\d+)",
    "'": rf"(?:[1-9]\d{{0,2}}(?:[{APOSTROPHES}]\d{{3}})+|\d+)",
}


@dataclass(frozen=True)
class NumberNotation:
    """How the texts of a column state a number.

    A sign may stand before or after the number; a number in parentheses is negative, as accountants write it.

    Parameters
    ----------
    decimal
        Character before the fraction: ``.`` or ``,``.
    thousands
        Character between groups of digits: empty, ``.``, ``,``, a space (also a narrow one) or ``'``.
    unit
        Text that stands before or after every number, such as ``%`` or ``EUR``; empty if there is none. The value is
        the number in this unit: ``12 %`` is 12.

    Examples
    --------
    >>> NumberNotation(",", ".", "€").canonical("-1.234,50 €"), NumberNotation(",", ".", "€").canonical("1.5 €")
    ('-1234.50', None)
    """

    decimal: DecimalMark = "."
    thousands: ThousandsMark = ""
    unit: str = ""

    @cached_property
    def form(self) -> str:
        """Regular expression of a text that states a number."""
        whole, point = _GROUPS[self.thousands], escaped(self.decimal)
        number = rf"(?:{whole}(?:{point}\d*)?|{point}\d+)(?:[eE][+-]?\d+)?"
        space, sign = f"[{SPACES}]?", f"[{MINUS}+]?"
        if not self.unit:
            plain, bare, outside = f"{sign}{space}{number}", number, ""
        else:
            unit = escaped(self.unit)
            bare = f"(?:{unit}{space}{number}|{number}{space}{unit})"
            outside = rf"|{unit}{space}\({number}\)|\({number}\){space}{unit}"
            plain = f"(?:{sign}{unit}{space}{sign}{number}|{sign}{space}{number}{space}{unit})"
        return rf"(?:{plain}|{bare}[{MINUS}]|\({bare}\){outside})"

    @property
    def translation(self) -> tuple[str, str]:
        """Characters of a text without its unit, and what replaces each; those beyond are removed."""
        return f"{self.decimal}{MINUS[1]}+{self.thousands.strip(SPACES + APOSTROPHES)}{SPACES}{APOSTROPHES}", ".-"

    def canonical(self, text: str) -> str | None:
        """Return the number as Python writes it; None if the text states none."""
        if not fits(self.form, text):
            return None
        bare = text.replace(self.unit, "") if self.unit else text
        old, new = self.translation
        bare = bare.translate(_table(old, new))
        return f"-{bare.strip('(-)')}" if bare[0] in "(-" or bare[-1] == "-" else bare

    @property
    def kind(self) -> str:
        """What a text states, for messages."""
        return "a number"

    @property
    def example(self) -> str:
        """A number in this notation, for messages."""
        return f"1{self.thousands}234{self.decimal}5{' ' if self.unit else ''}{self.unit}"


@dataclass(frozen=True)
class DateNotation:
    """How the cells of a column state a date or a time; year first, as in 2026-01-31, is read as well.

    Parameters
    ----------
    formats
        Formats as of Python's ``strptime``, or one of :data:`EPOCHS`.
    """

    formats: tuple[str, ...]

    @property
    def epoch(self) -> int | None:
        """How many units a second has, if the cells count the time since 1970; else None."""
        return EPOCHS.get(self.formats[0])

    @cached_property
    def forms(self) -> tuple[tuple[str, str], ...]:
        """Each format, with the regular expression of a text that has it."""
        return () if self.epoch else tuple((one, format_form(one)) for one in self.formats)

    @property
    def kind(self) -> str:
        """What a cell states, for messages."""
        return "a date"

    @property
    def example(self) -> str:
        """The formats, for messages."""
        return f"{self.formats[0]} since 1970" if self.epoch else " or ".join(self.formats)


Notation = NumberNotation | DateNotation


def column_notation(source: Source, column: str, wanted: str) -> Notation | None:
    """Return the notation of a column; None if its texts state values in the usual way.

    Parameters
    ----------
    source
        Section ``source`` of the model file.
    column
        Name of the column.
    wanted
        DuckDB type of the column in the contract.
    """
    if wanted == "TIMESTAMP" and column in source.dates:
        return DateNotation(source.dates[column])
    if wanted != "DOUBLE":
        return None
    decimal = source.decimal.get(column, ".") if isinstance(source.decimal, dict) else source.decimal
    thousands = source.thousands.get(column, "") if isinstance(source.thousands, dict) else source.thousands
    found = NumberNotation(decimal, thousands, source.units.get(column, ""))
    return None if found == NumberNotation() else found


def to_json(notation: Notation) -> dict[str, Any]:
    """Return a notation as values that JSON can hold."""
    return asdict(notation)


def from_json(content: Mapping[str, Any]) -> Notation:
    """Return the notation of :func:`to_json`."""
    if "formats" in content:
        return DateNotation(tuple(content["formats"]))
    return NumberNotation(**content)


def format_form(given: str) -> str:
    r"""Return the regular expression of a text in a format of dates.

    Parts of the date without a separator have all their digits, as in ``20240131``.

    Parameters
    ----------
    given
        A format of dates (:mod:`config.date_formats`).

    Examples
    --------
    >>> print(format_form("%d.%m.%Y"), format_form("%Y%m%d"))
    \d{1,2}\.\d{1,2}\.\d{4} \d{4}\d{2}\d{2}
    """
    pieces = re.findall("%.|[^%]+", given)
    form = ""
    for place, piece in enumerate(pieces):
        if piece[0] != "%":
            form += escaped(piece)
            continue
        digits = DIRECTIVES[piece[1]]
        beside = (pieces[place - 1] if place else "", pieces[place + 1] if place + 1 < len(pieces) else "")
        touches = any(re.fullmatch("%[dmYyHMSI]", other) for other in beside)
        form += r"\d{2}" if touches and digits == r"\d{1,2}" else digits
    return form


def escaped(text: str) -> str:
    """Return a regular expression of exactly this text, for both engines."""
    return re.sub(r"([\\.^$|?*+()\[\]{}/-])", r"\\\1", text)


def fits(form: str, text: str) -> bool:
    """Return whether a text has a form."""
    return _compiled(form).fullmatch(text) is not None


@lru_cache(maxsize=256)
def _compiled(form: str) -> re.Pattern[str]:
    return re.compile(form, re.ASCII)


@lru_cache(maxsize=256)
def _table(old: str, new: str) -> dict[int, str | None]:
    return {ord(character): new[place] if place < len(new) else None for place, character in enumerate(old)}
