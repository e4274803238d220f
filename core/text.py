"""Formatting of untrusted text, numbers and shares for a line of a page, a log or a message."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Sequence

_UNSEEN = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
"""Unicode categories of characters that are not visible or control a terminal: control and format characters (such as
direction marks), surrogates, private and unassigned characters, line separators."""


def readable(value: object, limit: int = 120) -> str:
    r"""Return the text of a value on one line: invisible characters as escapes, cut at ``limit`` characters.

    It does not escape for HTML; the template does.

    Examples
    --------
    >>> readable("a\x1b[31m\n"), readable("n" * 1000, limit=8)
    ('a\\x1b[31m\\n', 'nnnnnnn…')
    """
    text = str(value)
    cut = text if len(text) <= limit else text[: limit - 1] + "…"
    return "".join(_seen(character) for character in cut)


def listed(names: Sequence[object], limit: int = 5) -> str:
    """Return the first names for a sentence, each readable, and the number of further names.

    Examples
    --------
    >>> listed(["a", "b", "c"], limit=2)
    'a, b and 1 more'
    """
    shown = ", ".join(readable(name, 60) for name in names[:limit])
    return shown + (f" and {len(names) - limit:,} more" if len(names) > limit else "")


def _seen(character: str) -> str:
    if unicodedata.category(character) not in _UNSEEN:
        return character
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")


def is_number(text: str) -> bool:
    """Return whether Python parses the text as a number."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def short(text: str, limit: int = 40) -> str:
    r"""Quote a text from the data for one line of a message or comment: printable, cut at ``limit`` characters.

    Examples
    --------
    >>> short("a" * 50, limit=10)
    "'aaaaaaaaa…'"
    >>> short("line\nbreak")
    "'line\\nbreak'"
    """
    cut = text if len(text) <= limit else text[: limit - 1] + "…"
    return repr(cut)


def percent(share: float) -> str:
    """Format a share (0 to 1) in percent, with at most one decimal.

    Examples
    --------
    >>> percent(0.1234), percent(0.00001), percent(1.0)
    ('12.3 %', 'under 0.1 %', '100 %')
    """
    if 0 < share < 0.001:
        return "under 0.1 %"
    return f"{100 * share:.1f}".removesuffix(".0") + " %"


def number(value: float) -> str:
    """Format a number for a sentence: whole numbers without decimals, others with six significant digits at most.

    Examples
    --------
    >>> number(1000000.0), number(0.1 + 0.2), number(-3.0)
    ('1,000,000', '0.3', '-3')
    """
    whole = math.isfinite(value) and value == math.floor(value)
    # Adding zero turns a negative zero, which means nothing to people, into zero.
    return f"{value + 0.0:,.0f}" if whole and abs(value) < 1e15 else significant(value, 6)


def counted(n: int, one: str, many: str | None = None) -> str:
    """Format a number with the noun that it counts.

    Parameters
    ----------
    n
        The number.
    one
        The noun's singular.
    many
        Its plural; None if it ends in *s*.

    Examples
    --------
    >>> counted(1, "batch", "batches"), counted(1200, "row")
    ('1 batch', '1,200 rows')
    """
    return f"{n:,} {one if n == 1 else many or f'{one}s'}"


def significant(value: float, digits: int) -> str:
    """Format a measured value with so many significant digits, and all digits before the decimal point.

    ``format(99.7, ".2g")`` is ``1e+02``. Very small values, such as a difference of 1e-16, and values from 1e15 on keep
    their exponent.

    Examples
    --------
    >>> significant(99.7, 2), significant(1234.5, 3), significant(0.01234, 2), significant(2.2e-16, 2)
    ('100', '1,234', '0.012', '2.2e-16')
    """
    text = f"{value:.{digits}g}"
    return f"{value:,.0f}" if "e+" in text and abs(value) < 1e15 else text


def percent_text(share: float) -> str:
    """Format a confidence (below 1) in percent, with enough digits that it is not shown as 100.

    Examples
    --------
    >>> percent_text(0.95), percent_text(0.998), percent_text(0.999996)
    ('95 %', '99.8 %', '99.9996 %')
    """
    text = f"{100 * share:.4g}"
    return f"{100 * share:.8g} %" if text == "100" else f"{text} %"


def name_words(name: str) -> list[str]:
    """Return the words of a column's name, lower case.

    Examples
    --------
    >>> name_words("TrafficType"), name_words("customer_ID"), name_words("nr.employed")
    (['traffic', 'type'], ['customer', 'id'], ['nr', 'employed'])
    """
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name)
    return [word for word in re.split(r"[^a-z0-9]+", spaced.lower()) if word]
