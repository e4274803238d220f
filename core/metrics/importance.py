"""How much a model leans on each raw column."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from core.feature_contract import FeatureContract
from core.metrics.metrics import METRICS, Floats, metric_values

REPEATS = 5
MAX_ROWS = 5_000
MAX_PREDICTED = 1_000_000
"""Predictions over all columns and repeats, to bound the time where there are hundreds of columns."""

MIN_SAMPLE = 500

Predict = Callable[[pd.DataFrame], Floats]
"""From raw columns to probabilities (n, k) or values (n,)."""


@dataclass(frozen=True)
class Importance:
    """What the gate's metric loses when one feature is shuffled.

    Parameters
    ----------
    feature
        Raw column.
    mean, std
        Of the loss over the repeats, in the metric's unit; positive: the model leans on the feature.
    """

    feature: str
    mean: float
    std: float


def permutation_importance(
    predict: Predict, frame: pd.DataFrame, y: npt.NDArray[Any], contract: FeatureContract, metric: str, seed: int
) -> tuple[Importance, ...]:
    """Loss of a metric when a raw column's values are shuffled among the rows, most important first.

    Columns that say the same share their importance: the model finds in one what was shuffled in the other.

    Parameters
    ----------
    predict
        Called once, and once per column with all its repeats in one frame (five times the rows).
    frame
        Rows with at least the contract's raw columns. At most 5,000 are used (fewer beyond 40 columns, at least 500),
        spread evenly over the target's values.
    y
        Encoded target, shape (n,).
    seed
        Of the sample and the shuffles; the shuffles are the same for every column.

    References
    ----------
    Breiman (2001), Random forests, Machine Learning 45, 5-32.
    """
    generator = np.random.default_rng(seed)
    rows = _sample(y, _sample_size(contract), generator)
    sample, truth = frame[list(contract.raw_columns)].iloc[rows].reset_index(drop=True), y[rows]
    shuffles = np.stack([generator.permutation(len(rows)) for _ in range(REPEATS)])
    unshuffled = METRICS[metric].value(truth, predict(sample))
    repeated = pd.concat([sample] * REPEATS, ignore_index=True)
    found = []
    for column in contract.raw_columns:
        shuffled = repeated.assign(**{column: sample[column].take(shuffles.ravel()).array})
        losses = _losses(predict(shuffled), truth, metric, unshuffled)
        found.append(Importance(column, float(losses.mean()), float(losses.std(ddof=1))))
    return tuple(sorted(found, key=lambda item: -item.mean))


def _losses(output: Floats, truth: npt.NDArray[Any], metric: str, unshuffled: float) -> Floats:
    parts = output.reshape(REPEATS, len(truth), *output.shape[1:])
    scores = [metric_values(truth, part, (metric,))[metric] for part in parts]
    return np.array([METRICS[metric].loss(unshuffled, score) for score in scores])


def _sample_size(contract: FeatureContract) -> int:
    return max(MIN_SAMPLE, min(MAX_ROWS, MAX_PREDICTED // (REPEATS * len(contract.raw_columns))))


def _sample(y: npt.NDArray[Any], size: int, generator: np.random.Generator) -> npt.NDArray[np.intp]:
    """Rows at even steps along the sorted target: every class keeps its share, the last code at least one row."""
    mixed = generator.permutation(len(y))
    if len(y) <= size:
        return np.sort(mixed)
    steps = np.linspace(0, len(y) - 1, size).astype(int)
    return np.sort(mixed[np.argsort(y[mixed], kind="stable")][steps])
