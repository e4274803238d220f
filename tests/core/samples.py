"""Samples of known truth for the tests of metrics, intervals and evaluations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from config.schema import ModelConfig
from core.feature_contract import FeatureContract
from core.metrics.metrics import Floats
from tests.factories import credit_config

Sample = tuple[npt.NDArray[Any], Floats]


def binary_sample(n: int, seed: int, rate: float = 0.2, digits: int = 12) -> Sample:
    """Calibrated probabilities and outcomes drawn from them; few digits give ties."""
    generator = np.random.default_rng(seed)
    odds = np.exp(1.2 * generator.normal(size=n)) * rate / (1 - rate)
    chance = np.round(odds / (1 + odds), digits)
    return (generator.random(n) < chance).astype(int), np.column_stack([1 - chance, chance])


def multiclass_sample(n: int, seed: int, n_classes: int = 3) -> Sample:
    """Calibrated probabilities of several classes and outcomes drawn from them."""
    generator = np.random.default_rng(seed)
    odds = np.exp(1.5 * generator.normal(size=(n, n_classes)))
    chances = odds / odds.sum(axis=1, keepdims=True)
    return (generator.random((n, 1)) > chances.cumsum(axis=1)[:, :-1]).sum(axis=1), chances


def regression_sample(n: int, seed: int) -> Sample:
    """Numbers with normal errors of standard deviation 0.7 around predictions of standard deviation 1."""
    generator = np.random.default_rng(seed)
    predicted = generator.normal(size=n)
    return predicted + 0.7 * generator.normal(size=n), predicted


SAMPLES: dict[str, Callable[[int, int], Sample]] = {
    "binary": binary_sample,
    "multiclass": multiclass_sample,
    "regression": regression_sample,
}


def credit_frame(n: int, seed: int) -> pd.DataFrame:
    """Rows of the raw columns of ``credit_config``, with missing values in every kind but one."""
    generator = np.random.default_rng(seed)
    regions = generator.choice(np.array(["north", "south", "west", None], dtype=object), n, p=[0.5, 0.3, 0.1, 0.1])
    return pd.DataFrame(
        {
            "income": np.where(generator.random(n) < 0.1, np.nan, generator.lognormal(8, 0.5, n)),
            "age": generator.integers(18, 80, n).astype("float64"),
            "region": pd.Series(regions, dtype="str"),
            "owner": generator.choice(np.array([True, False, None], dtype=object), n),
        }
    )


def task_config(task: str, **changes: Any) -> ModelConfig:
    """``credit_config`` for any task."""
    gate = {"metric": "rmse", "floor": 1.0} if task == "regression" else {}
    positive = "1" if task == "binary" else None
    return credit_config(**{"task": task, "positive": positive, "gate": gate, **changes})


def task_contract(config: ModelConfig) -> FeatureContract:
    """Contract of a configuration with two or three classes, or none."""
    labels = {"binary": ["0", "1"], "multiclass": ["0", "1", "2"], "regression": []}[config.task]
    return FeatureContract.of(config, labels)
