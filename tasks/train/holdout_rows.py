"""Holdout rows with labels and predictions as a file of a bundle: what estimates without labels are learnt from."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from core.feature_contract import FeatureContract
from core.metrics.metrics import Floats
from core.train.rehearsal import rehearsal_columns
from tasks.train.reference_rows import read_rows

HOLDOUT_ROWS = "holdout.parquet"
LABEL = "label"
"""Column of the encoded target: a class code, or a number."""

MAX_ROWS = 10_000
"""Rows kept: enough for a model of the losses."""


@dataclass(frozen=True, eq=False)
class HoldoutRows:
    """Rows of a champion's holdout, in its order: by time, if the holdout is the newest rows.

    Parameters
    ----------
    frame
        The contract's raw columns.
    y
        Class codes, int64, or numbers, float64, shape (n,).
    output
        The champion's predictions: probabilities, shape (n, k), or values, shape (n,).
    """

    frame: pd.DataFrame
    y: npt.NDArray[Any]
    output: Floats


def holdout_rows_file(frame: pd.DataFrame, y: npt.NDArray[Any], output: Floats, contract: FeatureContract) -> bytes:
    """Write at most 10,000 evenly spread holdout rows as Parquet.

    Parameters
    ----------
    frame
        n raw rows with at least the contract's raw columns.
    y
        Encoded target, shape (n,).
    output
        The pipeline's predictions: probabilities, shape (n, k), or values, shape (n,).
    contract
        Raw columns and classes.
    """
    inputs, outputs = rehearsal_columns(contract)
    spread = np.linspace(0, len(frame) - 1, min(len(frame), MAX_ROWS)).astype(np.intp)
    rows = frame[list(contract.raw_columns)].take(spread).set_axis(inputs, axis=1).reset_index(drop=True)
    answers = pd.DataFrame(output.reshape(len(frame), -1)[spread], columns=outputs)
    buffer = io.BytesIO()
    pd.concat([rows, answers.assign(**{LABEL: y[spread]})], axis=1).to_parquet(buffer, index=False)
    return buffer.getvalue()


def read_holdout_rows(folder: Path, contract: FeatureContract) -> HoldoutRows | None:
    """Read what :func:`holdout_rows_file` wrote into a verified bundle; None if the version was registered before.

    Raises
    ------
    BundleError
        The file has other content.
    """
    path = folder / HOLDOUT_ROWS
    if not path.is_file():
        return None
    inputs, outputs = rehearsal_columns(contract)
    return _parts(read_rows(path, [*inputs, *outputs, LABEL], MAX_ROWS), contract)


def _parts(frame: pd.DataFrame, contract: FeatureContract) -> HoldoutRows:
    inputs, outputs = rehearsal_columns(contract)
    output = frame[outputs].to_numpy(dtype="float64")
    return HoldoutRows(
        frame=frame[inputs].set_axis(list(contract.raw_columns), axis=1),
        y=frame[LABEL].to_numpy(dtype="int64" if contract.classes else "float64"),
        output=output if contract.classes else output[:, 0],
    )
