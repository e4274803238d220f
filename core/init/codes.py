"""Decide whether a column of whole numbers has codes (postcodes, account numbers) instead of amounts."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from core.text import name_words, percent, short

EXACT_UP_TO = 2**53
"""From here on, a double cannot represent every whole number: two codes may become one."""

MIN_WHOLE = 0.95
MIN_PADDED = 0.01
"""Minimum share of values with a leading zero in a column of varying width: a single ``05`` is no code."""

MIN_LETTER_CODES = 3
LABELS = range(3, 31)
SPARSE = 5
"""Minimum mean distance of sparse labels."""

MIN_LABEL_SHARE = 0.01
MIN_LABEL_ROWS = 5
"""Minimum share and number of rows of each label; in a file of 20 rows, every amount is rare."""

YEARS = range(1850, 2151)
VERSION_WORDS = frozenset({"version", "versions", "ver", "release", "revision", "rev", "section", "chapter", "clause"})


@dataclass(frozen=True)
class CodeCounts:
    """Counts over the values of a column that could be one of numbers.

    Parameters
    ----------
    n_values
        Number of rows whose value is a number.
    n_whole
        Number of rows whose value is a whole number.
    n_padded, padded
        Number of rows whose value starts with a zero before another digit, such as ``02134``, and one of these values.
    same_width
        Whether all whole numbers have the same number of characters.
    n_beyond, beyond
        Number of rows whose value is a whole number of 2^53 or more, and the smallest and the largest of them as text.
    n_exponents, exponent
        Number of rows whose value has only digits around an E, such as ``1E05``, and one of these values.
    n_short, n_long_zeros, long_zero
        Number of rows whose value has one decimal that is not zero, such as ``1.9``; number of rows whose value has
        more decimals, of which the last is zero, such as ``1.10``, and one of these values.
    """

    n_values: int
    n_whole: int
    n_padded: int = 0
    padded: str = ""
    same_width: bool = False
    n_beyond: int = 0
    beyond: tuple[str, str] = ("", "")
    n_exponents: int = 0
    exponent: str = ""
    n_short: int = 0
    n_long_zeros: int = 0
    long_zero: str = ""

    @property
    def may_be_versions(self) -> bool:
        """Whether decimals are counted, as in 1.9 and 1.10: numbers have zeros at the end nowhere or everywhere."""
        return min(self.n_short, self.n_long_zeros) >= MIN_PADDED * self.n_values


def code_reason(counts: CodeCounts, words: Sequence[str] = ()) -> str:
    """Return why the values are codes that a double would change; empty if they are numbers.

    One large value that is repeated is no code: it may be the largest number of a type, written for *no value*.

    Parameters
    ----------
    counts
        Counts over the values of a column.
    words
        Words of the column's name.

    Examples
    --------
    >>> code_reason(CodeCounts(n_values=300, n_whole=300, n_padded=90, padded="02134", same_width=True))
    "leading zeros, such as '02134'"
    >>> code_reason(CodeCounts(n_values=300, n_whole=300, n_beyond=9, beyond=("9007199254740993", "9007199254740995")))
    '2^53 or more, inexact as doubles'
    """
    if counts.n_exponents >= MIN_WHOLE * counts.n_values > 0:
        return f"digits around an E, such as {short(counts.exponent, 24)}"
    if counts.may_be_versions and VERSION_WORDS.intersection(words):
        return f"versions, such as {short(counts.long_zero, 24)}"
    if counts.n_whole < MIN_WHOLE * counts.n_values:
        return ""
    if counts.n_padded and (counts.same_width or counts.n_padded >= MIN_PADDED * counts.n_values):
        return f"leading zeros, such as {short(counts.padded, 24)}"
    if counts.n_beyond and counts.beyond[0] != counts.beyond[1]:
        return "2^53 or more, inexact as doubles"
    return ""


def code_doubt(name: str, counts: CodeCounts) -> str:
    """Return a remark on a column that stays one of numbers although some of its values look like codes; else empty.

    Parameters
    ----------
    name
        Name of the column.
    counts
        Counts over its values.
    """
    if code_reason(counts, name_words(name)):
        return ""
    if counts.may_be_versions:
        return (
            f"{short(name)} has values such as {short(counts.long_zero, 24)} beside values with fewer decimals, taken "
            "as numbers; if they are versions or sections, move it to features.categorical"
        )
    if counts.n_exponents:
        share = percent(counts.n_exponents / counts.n_values)
        return (
            f"{short(name)} has digits around an E in {share} of its values ({short(counts.exponent, 24)}), taken as "
            "numbers; if it has codes, move it to features.categorical"
        )
    if counts.n_padded and counts.n_whole >= MIN_WHOLE * counts.n_values:
        share = percent(counts.n_padded / counts.n_values)
        return (
            f"{short(name)} has leading zeros in {share} of its values ({short(counts.padded, 24)}), taken as numbers; "
            "if it has codes, move it to features.categorical"
        )
    if counts.n_beyond:
        share = percent(counts.n_beyond / counts.n_values)
        return (
            f"{short(name)} has whole numbers of 2^53 or more in {share} of its values "
            f"({short(counts.beyond[1], 24)}), which a double rounds; if it has codes, move it to features.categorical"
        )
    return ""


def lost_code_doubt(name: str, levels: Sequence[tuple[str, int]], missing: Iterable[str]) -> str:
    """Return a remark on codes of two letters among which a marker of missing values may be one; else empty.

    Parameters
    ----------
    name
        Name of a column with missing values.
    levels
        Its values, with their numbers of rows.
    missing
        Texts that mean no value.

    Examples
    --------
    >>> lost_code_doubt("country", [("DE", 9), ("FR", 8), ("ZA", 3)], ["NA"])
    "'country' has codes of two letters; 'NA' is read as no value, but may be one of them (Namibia, North America)"
    """
    if "NA" not in missing or len(levels) < MIN_LETTER_CODES:
        return ""
    if not all(re.fullmatch("[A-Z]{2}", text) for text, _ in levels):
        return ""
    what = "'NA' is read as no value, but may be one of them (Namibia, North America)"
    return f"{short(name)} has codes of two letters; {what}"


def are_labels(levels: Sequence[tuple[str, int]]) -> bool:
    """Return whether the levels of a column of whole numbers look like labels: few, frequent, sparse and irregular.

    Amounts on a grid (36, 48, 60; 10, 20, 50), counts (0, 1, 2, 17) and years are no labels.

    Parameters
    ----------
    levels
        All values of the column, with their numbers of rows.

    Examples
    --------
    >>> are_labels([("200", 90), ("301", 5), ("404", 5)]), are_labels([("36", 50), ("48", 30), ("60", 20)])
    (True, False)
    """
    n_rows = sum(n for _, n in levels)
    rarest = max(MIN_LABEL_ROWS, MIN_LABEL_SHARE * n_rows)
    if len(levels) not in LABELS or min(n for _, n in levels) < rarest:
        return False
    values = sorted(int(float(text)) for text, _ in levels)
    gaps = [after - before for before, after in pairwise(values)]
    is_sparse = values[-1] - values[0] >= SPARSE * len(values)
    is_grid = math.gcd(*gaps) == min(gaps)
    return values[0] >= 0 and is_sparse and not is_grid and not all(value in YEARS for value in values)
