"""How much memory a JSON document takes once it is read, told from its bytes."""

from __future__ import annotations

import re

_WIDE = re.compile(rb"[\xf0-\xf4]|\\u")


def values_bytes(content: bytes) -> int:
    """Bytes that the values of a document take at most, the characters of its texts aside.

    Two bytes can be an empty list, which takes 56 of memory. Brackets and commas count values, in texts as well, which
    only makes the estimate higher.

    Examples
    --------
    >>> values_bytes(b"[]"), values_bytes(b"[{}, 1.5]")
    (64, 414)
    """
    # CPython 3.11: a list 56 and its place, a dictionary of one key 184 and its key, a number or a text about 50 and
    # the place of its key.
    return 64 * content.count(b"[") + 240 * content.count(b"{") + 110 * content.count(b",")


def text_bytes(content: bytes) -> int:
    r"""Bytes that the text of a document takes at most; one character beyond the basic plane makes each take four.

    Examples
    --------
    >>> text_bytes(b'"abc"'), text_bytes(rb'"\\ud83d\\ude00"')
    (5, 80)
    """
    return (5 if _WIDE.search(content) else 1) * len(content)
