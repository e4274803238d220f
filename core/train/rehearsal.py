"""Rows in a bundle with the training pipeline's predictions, for the rehearsal of its serving."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from core.feature_contract import FeatureContract

REHEARSAL = "rehearsal.parquet"
"""Name of the file in a bundle."""

MAX_REHEARSAL_ROWS = 1_000
"""Maximum number of holdout rows in the rehearsal, in addition to the input example's."""


def rehearsal_frame(
    frame: pd.DataFrame, output: npt.NDArray[Any], contract: FeatureContract, example: npt.NDArray[np.intp]
) -> pd.DataFrame:
    """Return the example's rows, then up to 1,000 evenly spread rows, each with its prediction.

    Parameters
    ----------
    frame
        n raw rows with at least the contract's raw columns.
    output
        The training pipeline's predictions: probabilities, shape (n, k), or values, shape (n,).
    contract
        Raw columns and classes.
    example
        Positions of the input example's rows, shape (m,), intp.

    Returns
    -------
    pandas.DataFrame
        Columns ``input.<raw column>`` in the contract's order, then ``output.0``, ``output.1``, …; because of the
        prefixes no column of the data can be confused with a prediction.
    """
    spread = np.linspace(0, len(frame) - 1, min(len(frame), MAX_REHEARSAL_ROWS)).astype(np.intp)
    rows = np.concatenate([example, spread])
    inputs, outputs = rehearsal_columns(contract)
    kinds = {**dict.fromkeys(contract.numeric, "float64"), **dict.fromkeys(contract.dates, "datetime64[us]")}
    raw = frame[list(contract.raw_columns)].take(rows).astype(kinds)
    taken = raw.set_axis(inputs, axis=1).reset_index(drop=True)
    answers = pd.DataFrame(output.reshape(len(frame), -1)[rows], columns=outputs)
    return pd.concat([taken, answers], axis=1)


def rehearsal_parts(frame: pd.DataFrame, contract: FeatureContract) -> tuple[pd.DataFrame, npt.NDArray[Any]]:
    """Split a :func:`rehearsal_frame` into raw rows and predictions, shape (n, k) or (n,), float64."""
    inputs, outputs = rehearsal_columns(contract)
    answers = frame[outputs].to_numpy(dtype="float64")
    return frame[inputs].set_axis(list(contract.raw_columns), axis=1), answers if contract.classes else answers[:, 0]


def rehearsal_columns(contract: FeatureContract) -> tuple[list[str], list[str]]:
    """Return the names of the raw columns and of the predictions in a :func:`rehearsal_frame`."""
    n_outputs = len(contract.classes) or 1
    return [f"input.{name}" for name in contract.raw_columns], [f"output.{place}" for place in range(n_outputs)]
