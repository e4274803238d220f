"""Rows of a regression whose noise grows with one feature, so that a shift of that feature is harm."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from tests.factories import credit_rows

CHANGES: dict[str, Any] = {
    "task": "regression",
    "target": "income",
    "positive": None,
    "training": {"estimator": "sklearn.linear_model.LinearRegression"},
    "gate": {"metric": "rmse", "floor": 100.0},
    "features": {"numeric": ["age"], "categorical": ["region"], "boolean": ["owner"]},
}
"""Fields of the credit model's file that make it predict incomes."""


def incomes(n: int, seed: int, older: float = 1.0, noise: float = 1.0) -> pd.DataFrame:
    """Draw rows; ``older`` above 1 moves ages up within the same range, ``noise`` multiplies that of the label."""
    generator = np.random.default_rng(seed)
    age = generator.beta(older, 1, n)
    label = 50 + 20 * age + noise * (1 + 4 * age) * generator.normal(size=n)
    return credit_rows(n, seed=seed).assign(age=np.round(18 + 62 * age), income=label)


def unlabelled(rows: pd.DataFrame) -> pd.DataFrame:
    """Leave out the labels."""
    return rows.assign(income=np.nan)
