"""What the columns of a file mean, and whether a reader has read that.

A :class:`Meaning` is one acceptable reading of a column: values and their type. A column may have several: 12.5 % is
12.5 or 0.125. :func:`verdict` compares what a reader returned with them.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Literal

Value = str | float | int | bool | datetime | None
Type = Literal["number", "text", "date", "boolean"]
Verdict = Literal["right", "remarked", "wrong"]

KINDS: dict[Type, frozenset[str]] = {
    "number": frozenset({"numeric"}),
    "text": frozenset({"categorical", "ignored"}),
    "date": frozenset({"dates"}),
    "boolean": frozenset({"boolean", "categorical"}),
}
"""Kinds in a model file that suit a type, where a column does not say otherwise."""


@dataclass(frozen=True)
class Meaning:
    """One acceptable reading of a column.

    Parameters
    ----------
    type
        Type of the values.
    values
        One per row; None where the cell means no value.
    kinds
        Kinds in a model file that a careful person would choose.
    """

    type: Type
    values: tuple[Value, ...]
    kinds: frozenset[str]


@dataclass(frozen=True)
class Column:
    """A column as it is written, and what it means.

    Parameters
    ----------
    name
        Name in the file.
    group
        What is special about it; results are listed by it.
    cells
        Its texts in the file, one per row.
    meanings
        Acceptable readings.
    """

    name: str
    group: str
    cells: tuple[str, ...]
    meanings: tuple[Meaning, ...]


@dataclass(frozen=True)
class Table:
    """A file, and what its columns mean.

    Parameters
    ----------
    path
        The file.
    target
        Column that ``perennial init`` is told to predict.
    columns
        Scored columns; the file may have others.
    delimiter
        For the readers that do not find it.
    """

    path: Path
    target: str
    columns: tuple[Column, ...]
    delimiter: str = ","


@dataclass(frozen=True)
class Read:
    """What a reader made of a column.

    Parameters
    ----------
    kind
        Kind in the model file; empty for readers that choose none.
    values
        One per row.
    remark
        What was said about the column; empty if nothing was.
    """

    values: tuple[Value, ...] = ()
    kind: str = ""
    remark: str = ""


@dataclass(frozen=True)
class Score:
    """The verdict on one column, with what led to it."""

    table: str
    column: Column
    verdict: Verdict
    why: str
    read: Read = field(repr=False)


def meaning(kind: Type, values: Iterable[Value], kinds: str = "") -> Meaning:
    """Return a meaning; ``kinds`` are separated by spaces, those of the type by default."""
    return Meaning(kind, tuple(values), frozenset(kinds.split()) if kinds else KINDS[kind])


def verdict(column: Column, read: Read) -> tuple[Verdict, str]:
    """Return whether a column was read right, and why not.

    Parameters
    ----------
    column
        The column and its meanings.
    read
        What the reader made of it.

    Returns
    -------
    tuple
        ``right``: values, missing cells and kind are those of a meaning. ``remarked``: the reader said something of the
        column, or kept the exact text where no meaning is text. Otherwise ``wrong``; then the first difference.
    """
    differences = [_difference(one, read) for one in column.meanings]
    if "" in differences:
        return "right", ""
    if read.remark:
        return "remarked", read.remark
    if not read.kind and _keeps_text(column, read):
        return "remarked", "kept as text"
    return "wrong", differences[0]


def plain(value: object) -> Value:
    """Return a reader's value as one of Python's types: dates without zone in UTC, NaN as None."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, date) and not isinstance(value, datetime):
        return datetime(value.year, value.month, value.day)
    return value  # type: ignore[return-value] # readers convert their own scalars


def by_column(table: Table, found: Mapping[str, Iterable[Value]]) -> dict[str, Read]:
    """Return what a reader made of the scored columns, where layouts may add spaces or a sign to their names.

    Parameters
    ----------
    table
        The file.
    found
        The reader's columns.
    """
    values = {name.strip(" #"): tuple(column) for name, column in found.items()}
    none = Read(remark="no column of that name")
    return {column.name: Read(values[column.name]) if column.name in values else none for column in table.columns}


def _difference(wanted: Meaning, read: Read) -> str:
    if read.kind and read.kind not in wanted.kinds:
        return f"kind {read.kind}, not {' or '.join(sorted(wanted.kinds))}"
    if len(read.values) != len(wanted.values):
        return f"{len(read.values)} rows, not {len(wanted.values)}"
    if wanted.type == "boolean":
        return _boolean_difference(wanted, read)
    for row, (one, other) in enumerate(zip(wanted.values, read.values, strict=True), start=1):
        if not _is_same(one, other):
            return f"row {row}: {other!r}, not {one!r}"
    return ""


def _boolean_difference(wanted: Meaning, read: Read) -> str:
    """Compare two-valued columns: any two values will do, as long as each stands for one of the two."""
    names: dict[Value, Value] = {}
    for row, (one, other) in enumerate(zip(wanted.values, read.values, strict=True), start=1):
        if (one is None) != (other is None) or names.setdefault(one, other) != other:
            return f"row {row}: {other!r} for {one!r}"
    return "" if len(set(names.values())) == len(names) else "true and false are one"


def _is_same(wanted: Value, found: Value) -> bool:
    if wanted is None or found is None:
        return wanted is found
    if isinstance(wanted, str):
        return unicodedata.normalize("NFC", wanted) == unicodedata.normalize("NFC", _as_text(found))
    if isinstance(wanted, datetime):
        return found == wanted if isinstance(found, datetime) else False
    if isinstance(found, bool) or not isinstance(found, int | float):
        return False
    return found == wanted


def _as_text(found: Value) -> str:
    if isinstance(found, bool):
        return str(found).lower()
    if isinstance(found, float) and found.is_integer() and abs(found) < 2**53:
        return str(int(found))
    return str(found)


def _keeps_text(column: Column, read: Read) -> bool:
    """Return whether a reader returned the cells as text where they mean something else."""
    if any(one.type == "text" for one in column.meanings) or len(read.values) != len(column.cells):
        return False
    values = column.meanings[0].values or (None,) * len(column.cells)
    missing = [value is None for value in values]
    return all(
        (found is None and absent) or (isinstance(found, str) and found.strip() == cell.strip())
        for found, cell, absent in zip(read.values, column.cells, missing, strict=True)
    )
