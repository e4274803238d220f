"""Rows of a holdout that copy a training row or another holdout row: they are no further evidence.

Copies arrive under new keys, as by a join that multiplies rows or an export that ran twice, or with numbers rounded by
another format. Where features are few or coarse, independent rows repeat too; then only repeats beyond what chance
gives are copies. If rows are drawn independently, with N in training and n in the holdout, the expected number of equal
pairs within the holdout is (n/N)² times that within training, and of pairs across 2n/N times, whatever the frequencies.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from core.data.rolling_origin import Indices

BEYOND_CHANCE = 3.0
"""Repeats count as copies if there are more than this many times as many as by chance: drift changes frequencies."""

MIN_PAIRS = 20
"""Number of pairs beyond that which is no evidence yet."""

COMMON = 5
"""Combinations of features that occur this often in training recur in the holdout, whatever is copied."""

KEPT_BITS = np.uint64(20)
"""Bits of a mantissa that are compared: six decimal digits."""

Mask = npt.NDArray[np.bool_]
Codes = npt.NDArray[np.intp]
Hashes = npt.NDArray[np.uint64]


@dataclass(frozen=True, eq=False)
class Copies:
    """Which rows of a holdout are copies; both have shape (n_holdout,).

    Parameters
    ----------
    of_training
        The row copies a training row.
    of_holdout
        The row copies an earlier row of the holdout, and no training row.
    """

    of_training: Mask
    of_holdout: Mask


def copied_rows(
    contents: Hashes, owners: Hashes | None, train: Indices, holdout: Indices, *, by_chance: bool
) -> Copies:
    """Return which holdout rows are copies.

    Parameters
    ----------
    contents
        Hashes of all rows' features, shape (n_rows,).
    owners
        Hashes of their keys, if keys repeat: rows of one owner resemble each other and are no copies of each other, but
        a cluster. None if each row is its own.
    train, holdout
        Positions of the rows.
    by_chance
        Whether independent rows repeat. If so, a row counts as a copy only where repeats are more than
        :data:`BEYOND_CHANCE` times as frequent as by chance, and of each combination as many rows stay as that allows.

    Examples
    --------
    >>> rows = np.array([1, 2, 3, 4, 4, 5, 1], dtype=np.uint64)
    >>> copied_rows(rows, None, np.arange(3), np.arange(3, 7), by_chance=False)
    Copies(of_training=array([False, False, False,  True]), of_holdout=array([False,  True, False, False]))
    """
    chosen = np.concatenate([train, holdout])
    sides = _Sides.of(contents[chosen], None if owners is None else owners[chosen], len(train))
    if by_chance:
        return sides.beyond_chance()
    of_training = sides.trained[sides.cells] > 0
    return Copies(of_training, (sides.earlier > 0) & ~of_training)


@dataclass(frozen=True, eq=False)
class _Sides:
    """How many owners each combination of features has in training and in the holdout.

    ``n_both`` owners have the same combination on both sides. The last three are of the holdout's rows: the
    combination, how many owners had it in earlier rows, and whether the same owner has it in training.
    """

    trained: Codes
    held: Codes
    n_both: int
    cells: Codes
    earlier: Codes
    own: Mask

    @classmethod
    def of(cls, contents: Hashes, owners: Hashes | None, n_train: int) -> Self:
        cells = pd.factorize(contents)[0].astype(np.intp)
        whose = np.arange(len(cells)) if owners is None else pd.factorize(owners)[0]
        pairs = pd.factorize(cells * (whose.max(initial=0) + 1) + whose)[0]
        cell_of, asked = cells[np.unique(pairs, return_index=True)[1]], pairs[n_train:]
        in_train, firsts = np.unique(pairs[:n_train]), pd.unique(asked)
        ranks = np.zeros(len(cell_of), dtype=np.intp)
        ranks[firsts] = pd.Series(firsts).groupby(cell_of[firsts]).cumcount()
        trained, held = (np.bincount(cell_of[side], minlength=len(cells)) for side in (in_train, firsts))
        own = np.isin(asked, in_train)
        return cls(trained, held, len(np.unique(asked[own])), cells[n_train:], ranks[asked], own)

    def beyond_chance(self) -> Copies:
        ratio = self.held.sum() / max(1, self.trained.sum())
        expected = BEYOND_CHANCE * ratio * _pairs(self.trained)
        of_training, of_holdout = np.zeros((2, len(self.cells)), dtype=bool)
        if float((self.trained * self.held).sum()) - self.n_both > 2 * expected + MIN_PAIRS:
            others = self.trained[self.cells] - self.own
            of_training = (others > 0) & (others < COMMON)
        if _pairs(self.held) > ratio * expected + MIN_PAIRS:
            of_holdout = self.earlier >= np.maximum(1, np.ceil(BEYOND_CHANCE * ratio * self.trained[self.cells]))
        return Copies(of_training, of_holdout & ~of_training)


def rounded(frame: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """Return some columns with six digits of each fraction, so that copies through another format are equal.

    Whole numbers are kept: large ones are counts or moments, and differ in their last digits.
    """
    return pd.DataFrame({name: _rounded(frame[name]) for name in columns}, index=frame.index)


def _pairs(counts: Codes) -> float:
    return float((counts * (counts - 1) / 2).sum())


def _rounded(column: pd.Series[Any]) -> pd.Series[Any]:
    if column.dtype.kind != "f":
        return column
    values = column.to_numpy(dtype=np.float64)
    half = np.uint64(1) << (np.uint64(51) - KEPT_BITS)
    bits = (values.view(np.uint64) + half) & ~(2 * half - np.uint64(1))
    whole = ~np.isfinite(values) | (values == np.floor(values))
    return pd.Series(np.where(whole, values, bits.view(np.float64)), index=column.index)
