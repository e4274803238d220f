"""What a model takes: the inputs made from the raw columns of a feature contract, and the target as codes.

Training, batch scoring and serving all call :func:`prepare`, so a row is prepared in the same way everywhere. Nothing
here needs scikit-learn: a model that is an ONNX graph predicts without importing it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from core.errors import TrainingError
from core.feature_contract import DATE_PARTS, MISSING, FeatureContract


def prepare(frame: pd.DataFrame, contract: FeatureContract) -> pd.DataFrame:
    """Turn raw contract columns into the inputs of the fitted pipeline and of the ONNX graph.

    Numbers become float32 (an ONNX graph computes in float32; training on the same rounding makes both agree at
    every tree threshold), booleans 0/1/NaN, dates their calendar parts, missing categories the level ``(missing)``.

    Parameters
    ----------
    frame
        n rows with at least the columns ``contract.raw_columns``; other columns are dropped.
    contract
        Names of the raw columns by kind.

    Returns
    -------
    pandas.DataFrame
        n rows, columns ``contract.prepared_columns``: float32, then object (str).
    """
    columns: dict[str, Any] = {}
    for name in contract.numeric + contract.boolean:
        columns[name] = frame[name].astype("float64").to_numpy(dtype="float32", na_value=np.nan)
    for name in contract.dates:
        columns.update({f"{name}.{part}": _date_part(frame[name], part) for part in DATE_PARTS})
    for name in contract.categorical:
        columns[name] = _levels(frame[name])
    return pd.DataFrame(columns, index=frame.index, columns=list(contract.prepared_columns))


def encode_target(target: pd.Series[Any], contract: FeatureContract) -> npt.NDArray[Any]:
    """Return the target as a model takes it.

    Parameters
    ----------
    target
        Shape (n_rows,), labels as text; regression: numbers.
    contract
        Task and classes.

    Returns
    -------
    numpy.ndarray
        Shape (n_rows,): class codes from 0, int64; regression: the numbers, float64.

    Raises
    ------
    TrainingError
        A label is not one of the contract's classes.
    """
    if contract.task == "regression":
        return target.to_numpy(dtype="float64")
    codes = pd.Index(contract.classes).get_indexer(pd.Index(target)).astype("int64")
    if (codes < 0).any():
        unknown = sorted(set(target.dropna()) - set(contract.classes))[:5]
        raise TrainingError(
            f"target {contract.target!r}: expected labels of the model's classes, found {unknown or 'no label'}; "
            "correct these labels, or train a version with the new classes"
        )
    return codes


def _levels(texts: pd.Series[Any]) -> pd.Series[Any]:
    """Return the level of each row; rows of one level share one text, a ninth of the memory of a text per row."""
    codes, known = pd.factorize(texts)
    levels = np.array([*known, MISSING], dtype=object)
    # A missing text has the code -1: the last level. Without a dtype, pandas would infer one of a text per row.
    return pd.Series(levels[codes], texts.index, dtype=object)


def _date_part(dates: pd.Series[Any], part: str) -> npt.NDArray[np.float32]:
    values: pd.Series[Any] = getattr(dates.dt, part)
    return values.astype("float64").to_numpy(dtype="float32", na_value=np.nan)
