"""Recognise a row of totals below the data, which a model would learn from as from any other row."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from core.text import short

_WORDS = re.compile(
    r"(grand |sub|sub-|sub |overall )?(totals?|sum|sums|summe|gesamt|gesamtsumme|insgesamt|somme|totale|suma|totaal)"
    r"|average|avg|mean|mittelwert|durchschnitt|moyenne",
    re.IGNORECASE,
)
MIN_SUMS = 2
"""Minimum number of columns with the sum of the rows above, if no word names the row."""


@dataclass(frozen=True)
class LastRow:
    """The last row of a source that has a value.

    Parameters
    ----------
    texts
        Its texts by column.
    n_empty
        Number of its cells without a value.
    n_columns
        Number of all columns.
    sums
        Columns of numbers whose value is the sum, or the mean, of the rows above.
    """

    texts: Mapping[str, str]
    n_empty: int
    n_columns: int
    sums: Sequence[str]

    @property
    def word(self) -> tuple[str, str] | None:
        """Column and text of the cell that names a total; None if there is none."""
        named = (
            (name, text)
            for name, text in self.texts.items()
            if _WORDS.fullmatch(re.sub(r"[\s:=.]+$", "", text.strip()))
        )
        return next(named, None)


def totals_reason(row: LastRow) -> str:
    """Return why the last row is one of totals; empty if it is not, or if it only may be.

    Examples
    --------
    >>> totals_reason(LastRow({"region": "Total"}, n_empty=1, n_columns=4, sums=["amount"]))
    "'Total' in 'region'; 'amount' has the sum or the mean of the rows above"
    """
    named = row.word
    is_sparse = 2 * row.n_empty >= row.n_columns - 1 > 0
    if len(row.sums) < MIN_SUMS and not (named and (row.sums or is_sparse)):
        return ""
    parts = [f"{short(named[1])} in {short(named[0])}"] if named else []
    if row.sums:
        shown = ", ".join(short(name) for name in row.sums[:3]) + (", …" if len(row.sums) > 3 else "")
        parts.append(f"{shown} {'has' if len(row.sums) == 1 else 'have'} the sum or the mean of the rows above")
    else:
        parts.append(f"{row.n_empty} of its {row.n_columns} cells are empty")
    return "; ".join(parts)


def totals_doubt(row: LastRow) -> str:
    """Return a remark on a last row that has a word for a total and nothing else of one; otherwise empty."""
    named = row.word
    if named is None or totals_reason(row):
        return ""
    return f"the last row has {short(named[1])} in {short(named[0])}; if it is a row of totals, remove it"
