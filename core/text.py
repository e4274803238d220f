"""Foreign text, made fit for a line of a page, a log or a message."""

from __future__ import annotations

import unicodedata

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
