"""The first line of delimited text: its delimiter and its column names."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from core.errors import SchemaError, SourceError
from core.text import is_number

DELIMITERS = (",", ";", "\t", "|")
SNIFFED_ROWS = 50


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
    hint = "; if the file has no line of column names, add one" if any(is_number(name) for name in repeated) else ""
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
        shown = ", ".join(names[:6]) + (", …" if len(names) > 6 else "")
        raise SourceError(
            f"{where}, line 1: expected column names, found what looks like a row ({shown}); add a line of column names"
        )


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
