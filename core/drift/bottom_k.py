"""A uniform sample of k rows that depends on the seed and the rows' places alone, not on who read them in which order.

Every row has a random key; the k smallest keys win. So samples of parts merge to the sample of the whole.

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
    """Rows that can be picked by place: a record batch, a table, a data frame, an array."""

    def take(self, indices: Any, /) -> Self:
        """Return the rows at the given places, in that order."""


Rows = TypeVar("Rows", bound=Takes)


def row_keys(seed: int, source: int, first_row: int, n_rows: int) -> Hashes:
    """Keys of consecutive rows of one source, uniform over 64 bits, shape (n_rows,); no two rows of a source share one.

    Parameters
    ----------
    source
        Number of the file or the table, from 0.
    first_row
        Place of the first row in it, from 0.
    """
    start = np.zeros(1, dtype=np.uint64)
    for number in (seed, source):
        # A chain, so that source 1 under seed 0 is another one than source 0 under seed 1.
        start = scattered(start ^ np.uint64(number % 2**64))
    return scattered(start ^ np.arange(first_row, first_row + n_rows, dtype=np.uint64))


@dataclass(frozen=True, eq=False)
class _Block(Generic[Rows]):
    source: int
    first_row: int
    keys: Hashes
    rows: Rows


class BottomK(Generic[Rows]):
    """Holds the rows with the k smallest keys, and at most as many again before it drops what has lost.

    Parameters
    ----------
    k
        Rows wanted; fewer where fewer are offered.
    """

    def __init__(self, k: int) -> None:
        self._k = k
        self._bound = np.uint64(2**64 - 1) if k else np.uint64(0)
        self._blocks: list[_Block[Rows]] = []
        self._n_rows = 0

    def places(self, keys: Hashes) -> npt.NDArray[np.int64]:
        """Places of the keys that may still belong to the sample, ascending.

        Of n rows that come one piece after another about k (1 + ln(n / k)) are taken in all.
        """
        return np.flatnonzero(keys <= self._bound) if self._k else np.array([], dtype=np.int64)

    def keep(self, keys: Hashes, rows: Rows, source: int, first_row: int) -> None:
        """Keep rows found by :meth:`places`.

        Parameters
        ----------
        keys
            Theirs, shape (n_rows,).
        source, first_row
            Where the piece they were taken from began.
        """
        if self._k and len(keys):
            self._blocks.append(_Block(source, first_row, keys, rows))
            self._n_rows += len(keys)
            if self._n_rows > 2 * self._k:
                self._drop_losers()

    def blocks(self) -> list[Rows]:
        """Rows of the sample in the order of their sources and places, in blocks, none of them empty."""
        if self._n_rows > self._k:
            self._drop_losers()
        return [block.rows for block in sorted(self._blocks, key=lambda block: (block.source, block.first_row))]

    def merge(self, other: BottomK[Rows]) -> None:
        """Add the rows of another sample of the same k, seed and sources, drawn from other rows.

        Raises
        ------
        ValueError
            It is of another k.
        """
        if other._k != self._k:
            raise ValueError(f"expected a sample of {self._k:,} rows, found one of {other._k:,}")
        for block in other._blocks:
            self.keep(block.keys, block.rows, block.source, block.first_row)

    def _drop_losers(self) -> None:
        keys = np.concatenate([block.keys for block in self._blocks])
        self._bound = np.partition(keys, self._k - 1)[self._k - 1]
        self._blocks = [cut for block in self._blocks if len((cut := _up_to(block, self._bound)).keys)]
        self._n_rows = sum(len(block.keys) for block in self._blocks)


def _up_to(block: _Block[Rows], bound: np.uint64) -> _Block[Rows]:
    places = np.flatnonzero(block.keys <= bound)
    if len(places) == len(block.keys):
        return block
    return _Block(block.source, block.first_row, block.keys[places], block.rows.take(places))
