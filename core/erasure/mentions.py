"""Whether a text names an entity's key."""

from __future__ import annotations

import re


def mentions(text: str, key: str) -> bool:
    """Return whether a key stands in a text, other than as a part of a word or of a number.

    Examples
    --------
    >>> mentions("not unique, e.g. 17; c-4", "17"), mentions("request 2017-4", "17"), mentions("0.17", "17")
    (True, False, False)
    """
    return re.search(rf"(?<![\w.-]){re.escape(key)}(?![\w-])", text) is not None
