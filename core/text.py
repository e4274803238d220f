"""Foreign text, made fit for a line of a page, a log or a message."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

_UNSEEN = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
"""Unicode categories that steer a terminal or a reader's eye instead of being read: controls, direction marks and the
like, halves of pairs, line separators."""


def readable(value: object, limit: int = 120) -> str:
    r"""Text of a value on one line: what cannot be seen is written as an escape, what is too long is cut.

    Escaping for HTML is not done here; it is the template's.

    Examples
    --------
    >>> readable("a\x1b[31m\n"), readable("n" * 1000, limit=8)
    ('a\\x1b[31m\\n', 'nnnnnnn…')
    """
    text = str(value)
    cut = text if len(text) <= limit else text[: limit - 1] + "…"
    return "".join(_seen(character) for character in cut)


def listed(names: Sequence[object], limit: int = 5) -> str:
    """Names for a sentence: the first ones, each readable, and how many more there are.

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
    """Say whether Python reads the text as a number."""
    try:
        float(text)
    except ValueError:
        return False
    return True
