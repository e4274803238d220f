"""The plan of a scoring: consecutive row groups of the input as parts, which are scored independently."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

PART_ROWS = 524_288
"""Rows from which a part takes no further row group: a second or so of work, which a killed run loses at most."""


@dataclass(frozen=True)
class Span:
    """Consecutive row groups of one file.

    Parameters
    ----------
    file
        The file's place in the list of files.
    groups
        Numbers of the row groups.
    n_rows
        Their rows.
    """

    file: int
    groups: tuple[int, ...]
    n_rows: int


@dataclass(frozen=True)
class Part:
    """Consecutive rows of the input.

    Parameters
    ----------
    number
        Place among the parts, from 0.
    first_row
        Number of its first row in the input, from 0.
    n_rows
        Its rows.
    spans
        Where they are, in order.
    """

    number: int
    first_row: int
    n_rows: int
    spans: tuple[Span, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as values that JSON can hold."""
        return asdict(self)

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> Self:
        """Build a part from :meth:`to_dict`."""
        spans = tuple(Span(span["file"], tuple(span["groups"]), span["n_rows"]) for span in content["spans"])
        return cls(content["number"], content["first_row"], content["n_rows"], spans)


def parts_of(groups: Sequence[Sequence[int]], part_rows: int) -> list[Part]:
    """Divide row groups into parts of at least ``part_rows`` rows, in order; the last part may have fewer.

    The result depends on the row groups alone, so that a resumed run finds the same parts.

    Parameters
    ----------
    groups
        Of each file, the rows of its row groups.
    part_rows
        Rows from which a part is closed.

    Examples
    --------
    >>> [(part.first_row, part.n_rows, len(part.spans)) for part in parts_of([[4, 4], [2], [0, 9]], 8)]
    [(0, 8, 1), (8, 11, 2)]
    """
    parts: list[Part] = []
    waiting: list[tuple[int, int, int]] = []
    first_row = 0
    for file, sizes in enumerate(groups):
        for number, n_rows in enumerate(sizes):
            if n_rows:
                waiting.append((file, number, n_rows))
            if sum(n for _, _, n in waiting) >= part_rows:
                parts.append(_part(len(parts), first_row, waiting))
                first_row, waiting = first_row + parts[-1].n_rows, []
    if waiting:
        parts.append(_part(len(parts), first_row, waiting))
    return parts


def _part(number: int, first_row: int, groups: Iterable[tuple[int, int, int]]) -> Part:
    spans: dict[int, Span] = {}
    for file, group, n_rows in groups:
        known = spans.get(file, Span(file, (), 0))
        spans[file] = Span(file, (*known.groups, group), known.n_rows + n_rows)
    return Part(number, first_row, sum(span.n_rows for span in spans.values()), tuple(spans.values()))
