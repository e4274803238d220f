"""A uniform sample of k rows that depends only on the seed and the rows' positions, not on the order of reading.

Every row has a random key; the rows with the k smallest keys are the sample. So samples of parts merge to the sample of
the whole.

References
----------
Cohen, Kaplan: Summarizing data using bottom-k sketches (2007).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic, Protocol, Self, TypeVar

import numpy as np
import numpy.typing as npt

from core.data.split import Hashes, scattered


class Takes(Protocol):
    """Rows that can be selected by position: a record batch, a table, a data frame, an array."""

    def take(self, indices: Any, /) -> Self:
        """Return the rows at the given positions, in that order."""


Rows = TypeVar("Rows", bound=Takes)


def row_keys(seed: int, source: int, first_row: int, n_rows: int) -> Hashes:
    """Return the keys of consecutive rows of one source, shape (n_rows,), uint64: uniform, distinct within a source.

    Parameters
    ----------
    seed
        Seed of the sample.
    source
        Number of the file or the table, from 0.
    first_row
        Position of the first row in it, from 0.
    n_rows
        Number of rows.
    """
    start = np.zeros(1, dtype=np.uint64)
    for number in (seed, source):
        # Chained, so that source 1 with seed 0 differs from source 0 with seed 1.
        start = scattered(start ^ np.uint64(number % 2**64))
    return scattered(start ^ np.arange(first_row, first_row + n_rows, dtype=np.uint64))


@dataclass(frozen=True, eq=False)
class _Block(Generic[Rows]):
    source: int
    first_row: int
    keys: Hashes
    rows: Rows


class BottomK(Generic[Rows]):
    """The rows with the k smallest keys; it holds at most 2 k rows before it drops those with larger keys.

    Parameters
    ----------
    k
        Number of rows in the sample, at least 0; fewer if fewer are offered.
    """

    def __init__(self, k: int) -> None:
        self._k = k
        self._bound = np.uint64(2**64 - 1) if k else np.uint64(0)
        self._blocks: list[_Block[Rows]] = []
        self._n_rows = 0

    def places(self, keys: Hashes) -> npt.NDArray[np.int64]:
        """Return the positions of the keys that may belong to the sample, ascending, int64.

        Of n rows in small record batches, about k (1 + ln(n / k)) are taken in all.
        """
        return np.flatnonzero(keys <= self._bound) if self._k else np.array([], dtype=np.int64)

    def keep(self, keys: Hashes, rows: Rows, source: int, first_row: int) -> None:
        """Keep rows found by :meth:`places`.

        Parameters
        ----------
        keys
            Keys of the rows, shape (n_rows,), uint64.
        rows
            The rows, n_rows of them.
        source, first_row
            Number of the source, and position of the first row of the record batch that the rows were taken from.
        """
        if self._k and len(keys):
            self._blocks.append(_Block(source, first_row, keys, rows))
            self._n_rows += len(keys)
            if self._n_rows > 2 * self._k:
                self._drop_larger()

    def blocks(self) -> list[Rows]:
        """Return the rows of the sample in the order of sources and positions, in blocks that are not empty."""
        if self._n_rows > self._k:
            self._drop_larger()
        return [block.rows for block in sorted(self._blocks, key=lambda block: (block.source, block.first_row))]

    def merge(self, other: BottomK[Rows]) -> None:
        """Add the rows of another sample of the same k, seed and sources, drawn from other rows.

        Raises
        ------
        ValueError
            The other sample has another k.
        """
        if other._k != self._k:
            raise ValueError(f"expected a sample of {self._k:,} rows, found one of {other._k:,}")
        for block in other._blocks:
            self.keep(block.keys, block.rows, block.source, block.first_row)

    def _drop_larger(self) -> None:
        keys = np.concatenate([block.keys for block in self._blocks])
        self._bound = np.partition(keys, self._k - 1)[self._k - 1]
        self._blocks = [cut for block in self._blocks if len((cut := _up_to(block, self._bound)).keys)]
        self._n_rows = sum(len(block.keys) for block in self._blocks)


def _up_to(block: _Block[Rows], bound: np.uint64) -> _Block[Rows]:
    places = np.flatnonzero(block.keys <= bound)
    if len(places) == len(block.keys):
        return block
    return _Block(block.source, block.first_row, block.keys[places], block.rows.take(places))
