"""The labelled rows of one snapshot, as training reads them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd


@dataclass(frozen=True, eq=False)
class Rows:
    """Labelled rows and their ids.

    Parameters
    ----------
    frame
        n_rows rows with the columns of the model file, RangeIndex; batch order, then row order.
    row_ids
        Shape (n_rows,), uint64: hash of the key, or of the row's content if there is no key.
    n_unlabelled
        Rows left out because they have no target.
    n_superseded
        Rows left out because a later row has the same key.
    n_repeated
        Rows that equal an earlier row in every column; they are kept.
    """

    frame: pd.DataFrame
    row_ids: npt.NDArray[np.uint64]
    n_unlabelled: int
    n_superseded: int
    n_repeated: int = 0

    @property
    def n_distinct(self) -> int:
        """Number of distinct rows."""
        return len(self.row_ids) - self.n_repeated
