"""Names that are close to another name, and how two names differ that look the same.

A name of a column, a setting or a model may look like another and be another text: in another form of Unicode, with a
character that is not visible, or with a letter of another alphabet. A message that shows both names is no help then.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable
from difflib import get_close_matches

_LETTERS = str.maketrans(
    # Cyrillic and Greek letters, and dashes and quotes, that most fonts draw like the ASCII characters below.
    "\u0430\u0435\u043e\u0440\u0441\u0443\u0445\u0456\u0458\u0455\u04bb\u0501\u051b\u051d"
    "\u0410\u0412\u0415\u041a\u041c\u041d\u041e\u0420\u0421\u0422\u0423\u0425\u0406\u0408\u0405"
    "\u03b1\u03bf\u03bd\u03b9\u0391\u0392\u0395\u0396\u0397\u0399\u039a\u039c\u039d\u039f\u03a1\u03a4\u03a5\u03a7"
    "\u2010\u2011\u2012\u2013\u2014\u2015\u2212\u2018\u2019\u201c\u201d\u00b4\u02bc\u0131",
    "aeopcyxijshdqwABEKMHOPCTYXIJSaoviABEZHIKMNOPTYX-------''\"\"''i",
)
_MAX_SHOWN = 3


def closest(name: str, known: Iterable[str], n: int = 1, cutoff: float = 0.6) -> list[str]:
    """Return the known names that are most like a name, the most similar first; those that look the same come first.

    Parameters
    ----------
    name
        What was written.
    known
        Names that exist.
    n
        Maximum number of names to return.
    cutoff
        Least similarity, 0 to 1, as in :func:`difflib.get_close_matches`.

    Examples
    --------
    >>> closest("incme", ["income", "age"]), closest("INCOME ", ["income"]), closest("x", ["income"])
    (['income'], ['income'], [])
    """
    looks: dict[str, str] = {}
    for other in known:
        looks.setdefault(_look(other).lower(), other)
    return [looks[found] for found in get_close_matches(_look(name).lower(), looks, n=n, cutoff=cutoff)]


def closest_text(name: str, known: Iterable[str]) -> str:
    """Return the closest known name for a message, and how it differs if the two look the same; empty without one.

    Examples
    --------
    >>> closest_text("incme", ["income", "age"])
    "closest: 'income'"
    """
    found = closest(name, known)
    if not found:
        return ""
    difference = unseen_difference(name, found[0])
    return f"closest: {found[0]!r}" + (f", which looks the same but {difference}" if difference else "")


def unseen_difference(name: str, other: str) -> str:
    """Return what another name has that a name has not, if the two look the same; empty if a reader can see it.

    Parameters
    ----------
    name
        What was expected or asked for.
    other
        What was found.

    Examples
    --------
    >>> unseen_difference("caf\u00e9", "cafe\u0301")
    'is in another Unicode form: NFD instead of NFC'
    >>> unseen_difference("age", "age\u200b")
    'has U+200B ZERO WIDTH SPACE'
    >>> unseen_difference("age", "wage")
    ''
    """
    if name == other or _look(name) != _look(other):
        return ""
    if unicodedata.normalize("NFC", name) == unicodedata.normalize("NFC", other):
        return f"is in another Unicode form: {_form(other)} instead of {_form(name)}"
    # Compared in one form, so that only what really differs is named.
    ours, theirs = (Counter(unicodedata.normalize("NFC", text)) for text in (name, other))
    more, less = _named(theirs - ours), _named(ours - theirs)
    if more and less:
        return f"has {more} instead of {less}"
    if more or less:
        return f"has {more}" if more else f"lacks {less}"
    return "has its invisible characters in another order"


def _look(name: str) -> str:
    """Return what a reader sees of a name: compatible letters, no invisible characters, plain spaces and dashes."""
    text = unicodedata.normalize("NFKC", name).translate(_LETTERS)
    seen = "".join(character for character in text if unicodedata.category(character) not in ("Cf", "Cc"))
    return " ".join(seen.split())


def _form(text: str) -> str:
    if unicodedata.is_normalized("NFC", text):
        return "NFC"
    return "NFD" if unicodedata.is_normalized("NFD", text) else "neither NFC nor NFD"


def _named(characters: Counter[str]) -> str:
    names = [f"U+{ord(one):04X} {unicodedata.name(one, 'CONTROL CHARACTER')}" for one in characters]
    more = f" and {len(names) - _MAX_SHOWN} more" if len(names) > _MAX_SHOWN else ""
    return ", ".join(names[:_MAX_SHOWN]) + more
