"""Columns with known meaning, written to CSV in the ways people write them.

Every file is made from one seed: the same files every time. A file holds columns that occur together, so that a setting
of the whole file (its delimiter, its missing markers) has to suit all of them. The last column is the target.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import ClassVar

import numpy as np

from benchmarks.inference_truth import Column, Meaning, Table, Value, meaning

ROWS = 400
TARGET = "outcome"


@dataclass
class File:
    """A file in the making: how it is written, and its columns so far.

    Parameters
    ----------
    name
        Name of the file.
    group
        Group of its columns, where they name none.
    n_rows
        Number of rows.
    delimiter, encoding, end
        Delimiter, Python's name of the encoding, and line end.
    before, after
        Lines around the table.
    quote
        Whether every cell is quoted.
    edit
        Changes the whole text at the end.
    target
        Name of the target; a column of yes and no is added if it is not among the columns.
    with_control
        Whether a column of plain numbers is added, so that there is a feature even if no other column is one.
    """

    name: str
    group: str
    n_rows: int = ROWS
    delimiter: str = ","
    encoding: str = "utf-8"
    end: str = "\n"
    before: str = ""
    after: str = ""
    quote: bool = False
    edit: Callable[[str], str] | None = None
    target: str = TARGET
    with_control: bool = True
    columns: list[Column] = field(default_factory=list)
    rng: np.random.Generator = field(init=False)

    seed: ClassVar[int] = 0
    """Of all files; another one gives other values of the same kinds."""

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng([self.seed, *self.name.encode()])

    def add(self, name: str, cells: Iterable[object], *meanings: Meaning, group: str = "") -> None:
        """Add a column; without meanings, its texts are what they say."""
        texts = tuple(map(str, cells))
        self.columns.append(Column(name, group or self.group, texts, meanings or (meaning("text", texts),)))

    def written(self, folder: Path) -> Table:
        """Write the file."""
        names = [column.name for column in self.columns]
        columns = [column.cells for column in self.columns]
        if self.with_control:
            names.append("control")
            columns.append(tuple(map(str, self.rng.integers(0, 100, self.n_rows))))
        if self.target not in names:
            names.append(self.target)
            columns.append(tuple(np.where(self.rng.random(self.n_rows) < 0.4, "yes", "no")))
        text = io.StringIO()
        writer = csv.writer(
            text,
            delimiter=self.delimiter,
            lineterminator=self.end,
            quoting=csv.QUOTE_ALL if self.quote else csv.QUOTE_MINIMAL,
        )
        writer.writerow(names)
        writer.writerows(zip(*columns, strict=True))
        whole = self.before + text.getvalue() + self.after
        path = folder / f"{self.name}.csv"
        path.write_bytes((self.edit(whole) if self.edit else whole).encode(self.encoding, "surrogateescape"))
        return Table(path, self.target, tuple(self.columns), self.delimiter)


def collection(folder: Path, seed: int = 0) -> list[Table]:
    """Write all files into a folder and return what their columns mean."""
    from benchmarks import inference_codes, inference_dates, inference_layouts, inference_numbers, inference_texts

    File.seed = seed
    modules = (inference_numbers, inference_dates, inference_codes, inference_texts, inference_layouts)
    return [file.written(folder) for module in modules for file in module.files()]


def decimals(rng: np.random.Generator, n: int, low: float, high: float, digits: int = 2) -> list[Decimal]:
    """Draw numbers with a fixed number of decimals, spread over orders of magnitude if the range is."""
    draws = np.exp(rng.uniform(np.log(low), np.log(high), n)) if 0 < 100 * low < high else rng.uniform(low, high, n)
    return [Decimal(f"{draw:.{digits}f}") for draw in draws]


def grouped(value: Decimal, decimal: str = ".", thousands: str = "", *, indian: bool = False) -> str:
    """Write a number with separators; Indian groups are of two digits after the first three."""
    whole, _, fraction = f"{abs(value):f}".partition(".")
    head, tail = whole[:-3], whole[-3:]
    step = 2 if indian else 3
    parts = [head[max(0, end - step) : end] for end in range(len(head), 0, -step)][::-1]
    sign = "-" if value < 0 else ""
    return sign + thousands.join([*parts, tail] if thousands else [whole]) + (decimal + fraction if fraction else "")


def codes(cells: Sequence[str]) -> tuple[Meaning, Meaning]:
    """Return the meanings of codes with points: as they are, or 250.00 as 250, which names the same level."""
    shorter = [cell.rstrip("0").removesuffix(".") if cell.endswith((".0", ".00")) else cell for cell in cells]
    return meaning("text", cells), meaning("text", shorter)


def numbers(values: Sequence[Decimal | None], kinds: str = "") -> Meaning:
    """Return the meaning of decimal numbers: the doubles closest to them."""
    return meaning("number", [None if value is None else float(value) for value in values], kinds)


def with_holes(
    rng: np.random.Generator, cells: Sequence[str], marker: str, share: float = 0.1
) -> tuple[list[str], list[bool]]:
    """Replace some cells by a marker; return the cells, and which of them are left."""
    holes = rng.random(len(cells)) < share
    holes[:2] = False  # a first row with values, as in most files
    return [marker if hole else cell for cell, hole in zip(cells, holes, strict=True)], [not hole for hole in holes]


def kept(values: Sequence[Value], there: Sequence[bool]) -> list[Value]:
    """Return the values, None where there is none."""
    return [value if one else None for value, one in zip(values, there, strict=True)]


def picks(rng: np.random.Generator, n: int, levels: Sequence[str]) -> list[str]:
    """Draw levels, each at least once."""
    places = np.concatenate([np.arange(len(levels)), rng.integers(0, len(levels), n)])[:n]
    return [levels[place] for place in rng.permutation(places)]


def days(rng: np.random.Generator, n: int, first: str, last: str) -> list[datetime]:
    """Draw days without a time."""
    low, high = (np.datetime64(day, "D").astype(int) for day in (first, last))
    return [day.item() for day in rng.integers(low, high, n).astype("datetime64[D]").astype("datetime64[s]")]


def moments(rng: np.random.Generator, n: int, first: str, last: str) -> list[datetime]:
    """Draw moments to the second."""
    low, high = (np.datetime64(day, "s").astype(int) for day in (first, last))
    return [moment.item() for moment in rng.integers(low, high, n).astype("datetime64[s]")]
