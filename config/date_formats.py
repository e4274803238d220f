"""The vocabulary of a model file for formats of dates: that of ``strptime``, as far as it means one thing only."""

from __future__ import annotations

import re

EPOCHS = {"seconds": 1, "milliseconds": 10**3, "microseconds": 10**6}
"""Units in which a number may count the time since 1970, with their number in a second."""

_MONTH_NAMES = (
    *("january", "february", "march", "april", "may", "june"),
    *("july", "august", "september", "october", "november", "december"),
)
DIRECTIVES = {
    "d": r"\d{1,2}",
    "m": r"\d{1,2}",
    "Y": r"\d{4}",
    "y": r"\d{2}",
    "b": f"(?i:{'|'.join(name[:3] for name in _MONTH_NAMES)})",
    "B": f"(?i:{'|'.join(_MONTH_NAMES)})",
    "H": r"\d{1,2}",
    "I": r"\d{1,2}",
    "M": r"\d{1,2}",
    "S": r"\d{1,2}",
    "f": r"\d{1,6}",
    "p": "(?i:am|pm)",
    "z": r"[+-](?:0\d|1[0-5]):?[0-5]\d",
}
"""Parts of a format, with the regular expression of their texts."""


def format_problem(given: str) -> str | None:
    """Return why a text is no format of dates; None if it is one.

    Examples
    --------
    >>> format_problem("%d.%m.%Y"), format_problem("seconds"), format_problem("%d.%m")
    (None, None, 'expected a day, a month and a year, such as %d.%m.%Y')
    """
    if given in EPOCHS:
        return None
    found = re.findall("%(.)", given)
    if given.count("%") > len(found):
        return "a % without a letter"
    if strange := [one for one in found if one not in DIRECTIVES]:
        return f"%{strange[0]} is not one of {', '.join(f'%{one}' for one in DIRECTIVES)}"
    parts = ["Y" if one == "y" else "m" if one in "bB" else "H" if one == "I" else one for one in found]
    if len(set(parts)) < len(parts):
        return "a part of the date is stated twice"
    if not {"d", "m", "Y"} <= set(parts):
        return "expected a day, a month and a year, such as %d.%m.%Y"
    needs = {"M": "H", "S": "M", "f": "S", "p": "H", "z": "H"}
    if ("I" in found) != ("p" in found):
        return "%I and %p belong together"
    lacking = [(part, need) for part, need in needs.items() if part in parts and need not in parts]
    return f"%{lacking[0][0]} needs %{lacking[0][1]}" if lacking else None
