"""The first line of delimited text: its delimiter and its column names."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice, pairwise

from core.errors import SchemaError, SourceError
from core.text import is_number

DELIMITERS = (",", ";", "\t", "|")
SNIFFED_ROWS = 50

_DATE = r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}([ T].*)?"
_YEARS = frozenset(map(str, range(1900, 2101)))


@dataclass(frozen=True)
class Header:
    """Delimiter and column names of a file."""

    delimiter: str
    names: tuple[str, ...]


def read_header(sample: str, where: str, delimiter: str | None = None) -> Header:
    r"""Read the column names from the beginning of a file.

    ``csv.Sniffer`` is not used: it takes letters for delimiters and fails on a single column.

    Parameters
    ----------
    sample
        Beginning of the text, at least the whole first line.
    where
        Name of the file in messages.
    delimiter
        One character; None to detect the delimiter with which most of the first rows have as many values as the first
        line.

    Raises
    ------
    SourceError
        The file is empty or its first line is not a list of names.
    SchemaError
        A name occurs twice, ignoring case: DuckDB's names are case-insensitive.

    Examples
    --------
    >>> read_header("age;job\n56;cook, chef\n", "rows.csv")
    Header(delimiter=';', names=('age', 'job'))
    """
    if not sample.strip():
        raise SourceError(f"{where} is empty; expected a line of column names and at least one row")
    chosen = delimiter or max(DELIMITERS, key=lambda candidate: _fit(sample, candidate))
    first = next(iter(_first_rows(sample, chosen, 1)), [])
    if not any(first):
        raise SourceError(f"{where}, line 1: expected column names, found an empty line; remove it")
    if any("\0" in name for name in first):
        raise SourceError(
            f"{where}: expected text, found zero bytes; if the file is UTF-16, set source.encoding: utf-16"
        )
    names = _named(first)
    refuse_data_as_names(names, where)
    _refuse_row_as_names(names, _first_rows(sample, chosen, SNIFFED_ROWS)[1:], where)
    refuse_repeated_names(names, where)
    return Header(chosen, names)


def refuse_repeated_names(names: Sequence[str], where: str) -> None:
    """Refuse column names that are equal, ignoring case.

    Raises
    ------
    SchemaError
        Names are equal; the message lists them.
    """
    counts = Counter(name.lower() for name in names)
    repeated = list(dict.fromkeys(name for name in names if counts[name.lower()] > 1))
    if not repeated:
        return
    shown = ", ".join(repr(name) for name in repeated[:6])
    # Names that are numbers, or many repeats, are the values of a row.
    is_row = any(is_number(name) for name in repeated) or 3 * len(repeated) > len(names) > 3
    hint = "; if the file has no line of column names, add one" if is_row else ""
    raise SchemaError(
        f"{where} has columns of the same name (upper and lower case count as equal): {shown}; rename them{hint}"
    )


def refuse_data_as_names(names: Sequence[str], where: str) -> None:
    """Refuse a first line that looks like a row: mostly numbers, and not a list of distinct integers such as years.

    Raises
    ------
    SourceError
        The line looks like a row; the message shows its beginning.
    """
    numbers = [name for name in names if is_number(name)]
    distinct_integers = len(set(numbers)) == len(numbers) and all(name.strip().isdigit() for name in numbers)
    if len(numbers) * 2 >= len(names) and numbers and (not distinct_integers or numbers == list(names[:1])):
        raise _row_as_names(names, where)


def _row_as_names(names: Sequence[str], where: str) -> SourceError:
    shown = ", ".join(names[:6]) + (", …" if len(names) > 6 else "")
    return SourceError(
        f"{where}, line 1: expected column names, found what looks like a row ({shown}); add a line of column names"
    )


def _refuse_row_as_names(names: Sequence[str], rows: Sequence[Sequence[str]], where: str) -> None:
    """Refuse a first line that is like the rows below it.

    It is a row if it has numbers or dates in all columns that have only these below, or if its texts occur below in
    all other columns. A table of years or days has such names too; they rise from column to column.
    """
    first = [name.strip() for name in names]
    below = [row for row in rows if len(row) == len(names) and [cell.strip() for cell in row] != first]
    columns = [(name, [row[place].strip() for row in below if row[place].strip()]) for place, name in enumerate(names)]
    typed = [name for name, values in columns if values and all(map(_is_typed, values))]
    texts = [(name.strip(), values) for name, values in columns if values and not all(map(_is_typed, values))]
    repeated = [name for name, values in texts if name in values]
    like_typed = [name for name in typed if _is_typed(name)]
    by_text = len(repeated) == len(texts) and len(repeated) + len(like_typed) >= 2 and len(repeated) > 0
    by_type = len(like_typed) == len(typed) > 0 and not _are_periods(typed)
    if by_type or (by_text and len(like_typed) == len(typed)):
        raise _row_as_names(names, where)


def _is_typed(text: str) -> bool:
    return is_number(text) or re.fullmatch(_DATE, text.strip()) is not None


def _are_periods(names: Sequence[str]) -> bool:
    """Return whether names are years, days or positions: whole numbers or dates that rise from column to column."""
    if any(is_number(name) and not name.strip().isdigit() for name in names):
        return False
    if len(names) == 1:
        return names[0].strip() in _YEARS
    places = [(float(name) if is_number(name) else 0.0, name) for name in names]
    return all(before < after for before, after in pairwise(places))


def _fit(sample: str, delimiter: str) -> tuple[float, int]:
    rows = [row for row in _first_rows(sample, delimiter, SNIFFED_ROWS) if row]
    width = len(rows[0]) if rows else 0
    if width < 2:
        return (0.0, width)
    return (sum(len(row) == width for row in rows) / len(rows), width)


def _first_rows(sample: str, delimiter: str, n_rows: int) -> list[list[str]]:
    rows: list[list[str]] = []
    try:
        rows.extend(islice(csv.reader(io.StringIO(sample, newline=""), delimiter=delimiter), n_rows))
    except csv.Error:
        return rows
    # The sample may end in the middle of a row.
    return rows[:-1] if 1 < len(rows) < n_rows else rows


def _named(first: Sequence[str]) -> tuple[str, ...]:
    return tuple(name if name.strip() else f"unnamed_{position}" for position, name in enumerate(first, start=1))
