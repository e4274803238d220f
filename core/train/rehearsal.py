"""Rows a bundle brings along with the training pipeline's answers, for the rehearsal of its serving."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from core.feature_contract import FeatureContract

REHEARSAL = "rehearsal.parquet"
"""Name of their file in a bundle."""

MAX_REHEARSAL_ROWS = 1_000
"""Holdout rows that are rehearsed, besides the input example's."""


def rehearsal_frame(
    frame: pd.DataFrame, output: npt.NDArray[Any], contract: FeatureContract, example: npt.NDArray[np.intp]
) -> pd.DataFrame:
    """Put the example's rows first, then up to 1,000 evenly spread ones, each with its answer.

    Parameters
    ----------
    frame, output
        Raw rows, and the training pipeline's answers: probabilities (n, k) or values (n,).
    example
        Positions of the input example's rows.

    Returns
    -------
    pandas.DataFrame
        Columns ``input.<raw column>`` in the contract's order, then ``output.0``, ``output.1``, …: with the prefixes
        no column of the data can be taken for an answer.
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
    """Take :func:`rehearsal_frame` apart: raw rows, and answers of shape (n, k) or (n,)."""
    inputs, outputs = rehearsal_columns(contract)
    answers = frame[outputs].to_numpy(dtype="float64")
    return frame[inputs].set_axis(list(contract.raw_columns), axis=1), answers if contract.classes else answers[:, 0]


def rehearsal_columns(contract: FeatureContract) -> tuple[list[str], list[str]]:
    """Names of the raw columns and of the answers in a rehearsal's table."""
    n_outputs = len(contract.classes) or 1
    return [f"input.{name}" for name in contract.raw_columns], [f"output.{place}" for place in range(n_outputs)]
