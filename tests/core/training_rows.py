"""Rows with a known rule behind the target, for the tests of splitting, checking and fitting."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from config.schema import ModelConfig
from core.data.rows import Rows
from tests.factories import credit_config


def training_config(task: str = "binary", **changes: Any) -> ModelConfig:
    """Model file that fits :func:`training_rows`; changes as in ``credit_config``."""
    sections: dict[str, Any] = {
        "task": task,
        "features": {"dates": ["since"]},
        "training": {"params": {"max_iter": 30}},
    }
    if task != "binary":
        sections["positive"] = None
    if task == "regression":
        sections["training"] = {
            "estimator": "sklearn.ensemble.HistGradientBoostingRegressor",
            "params": {"max_iter": 30},
        }
        sections["gate"] = {"metric": "rmse", "floor": 10.0}
    for name, value in changes.items():
        old = sections.get(name)
        sections[name] = {**old, **value} if isinstance(old, dict) and isinstance(value, dict) else value
    return credit_config(**sections)


def training_rows(n_rows: int = 1000, task: str = "binary", seed: int = 0, n_regions: int = 4) -> Rows:
    """Rows as ``load_rows`` gives them: every kind of feature, gaps in each, and a column ``day`` of times."""
    rng = np.random.default_rng(seed)
    income = rng.lognormal(8, 0.5, n_rows)
    region = rng.integers(0, n_regions, n_rows)
    owner = rng.random(n_rows) < 0.4
    score = 2 * np.log(income / np.exp(8)) + 0.8 * (region % 3) - owner + rng.normal(size=n_rows)
    frame = pd.DataFrame(
        {
            "id": [f"c{number}" for number in range(n_rows)],
            "default": _target(score, task),
            "income": _with_gaps(income, rng),
            "age": rng.integers(18, 80, n_rows) + rng.random(n_rows),
            "region": pd.Series([f"region {code}" for code in region], dtype="str").where(rng.random(n_rows) > 0.05),
            "owner": pd.Series(owner, dtype="boolean").where(rng.random(n_rows) > 0.05),
            "since": pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(0, 10**7, n_rows), unit="s"),
            "day": pd.Timestamp("2025-01-01") + pd.to_timedelta(np.arange(n_rows) // 10, unit="D"),
        }
    ).astype({"since": "datetime64[us]", "day": "datetime64[us]"})
    return Rows(frame, rng.integers(0, 2**63, n_rows).astype(np.uint64), 0, 0)


def _target(score: Any, task: str) -> pd.Series[Any]:
    if task == "regression":
        return pd.Series(score)
    if task == "binary":
        return pd.Series(np.where(score > 0.3, "1", "0"), dtype="str")
    return pd.Series(np.array(["low", "middle", "top"])[np.digitize(score, [-0.5, 1.0])], dtype="str")


def _with_gaps(values: Any, rng: np.random.Generator) -> Any:
    return np.where(rng.random(len(values)) < 0.1, np.nan, values)
