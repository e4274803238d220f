"""Conversion of values to strict JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np


def jsonable(value: Any) -> Any:
    """Convert a value for strict JSON: NumPy scalars and arrays to Python's, NaN and infinite numbers to None.

    Examples
    --------
    >>> jsonable({"auc": np.float64(0.5), "low": float("nan"), "bins": (1, np.int64(2))})
    {'auc': 0.5, 'low': None, 'bins': [1, 2]}
    """
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(name): jsonable(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [jsonable(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
