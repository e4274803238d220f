"""Slices of the holdout by the levels of its columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from core.feature_contract import MISSING, level_text

MAX_LEVELS = 10
OTHER = "(other)"


@dataclass(frozen=True, eq=False)
class Slice:
    """The rows of one level of a column.

    Parameters
    ----------
    column
        The column of the slice.
    level
        Its value as text; ``(missing)`` for rows without one, ``(other)`` for all levels beyond the ten largest.
    rows
        Positions in the frame, shape (n_rows,), intp, ascending.
    """

    column: str
    level: str
    rows: npt.NDArray[np.intp]


def slice_rows(frame: pd.DataFrame, columns: Sequence[str]) -> Iterator[Slice]:
    """Yield the slices of each column: its ten largest levels by descending size (ties by name), then the other levels.

    Every row is in exactly one slice of each column.
    """
    for column in columns:
        for level, rows in _levels(frame[column]):
            yield Slice(column, level, rows)


def _levels(values: pd.Series[Any]) -> Iterator[tuple[str, npt.NDArray[np.intp]]]:
    codes, uniques = pd.factorize(values)
    names = [level_text(level) for level in uniques] + [MISSING]
    codes = np.where(codes < 0, len(uniques), codes)
    counts = np.bincount(codes, minlength=len(names))
    largest = sorted(np.flatnonzero(counts), key=lambda code: (-counts[code], names[code]))
    for code in largest[:MAX_LEVELS]:
        yield names[code], np.flatnonzero(codes == code)
    if len(largest) > MAX_LEVELS:
        yield OTHER, np.flatnonzero(np.isin(codes, largest[MAX_LEVELS:]))
