"""Folds in time order: each model is tested on the rows that come after those it was fitted on."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

Indices = npt.NDArray[np.int64]
Fold = tuple[Indices, Indices]


def rolling_origin(time: pd.Series[Any], n_folds: int) -> list[Fold]:
    """Divide rows into folds with a rolling origin: train on all rows before a moment, test on those up to the next.

    The rows are cut into ``n_folds + 1`` blocks of about equal size. The first is never tested, rows of equal time stay
    together, and rows without a time are neither trained on nor tested.

    Parameters
    ----------
    time
        Time of each row, shape (n_rows,), in any order.
    n_folds
        Number of folds wanted.

    Returns
    -------
    list of (train, test)
        Positions in ``time``, int64, ascending, the oldest fold first. Fewer than ``n_folds`` if there are too few
        distinct times.

    References
    ----------
    Tashman: Out-of-sample tests of forecasting accuracy (2000).
    """
    stamps = time.to_numpy(dtype="datetime64[us]")
    known = np.sort(stamps[~np.isnat(stamps)])
    if not len(known):
        return []
    cuts = np.linspace(0, len(known), n_folds + 2)[1:-1].astype(int)
    starts = np.unique(known[cuts])
    starts = starts[starts > known[0]]
    ends = [*starts[1:], np.datetime64(known[-1]) + np.timedelta64(1, "us")]
    # A comparison with NaT is false: rows without a time are on neither side.
    return [
        (np.flatnonzero(stamps < start), np.flatnonzero((stamps >= start) & (stamps < end)))
        for start, end in zip(starts, ends, strict=True)
    ]
