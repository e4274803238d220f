"""Permutation importance of each raw column."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
import pandas as pd

from core.feature_contract import FeatureContract
from core.metrics.metrics import METRICS, Floats, metric_values

REPEATS = 5
MAX_ROWS = 5_000
MAX_PREDICTED = 1_000_000
"""Maximum number of predictions over all columns and repeats, to limit the time with hundreds of columns."""

MIN_SAMPLE = 500

Predict = Callable[[pd.DataFrame], Floats]
"""Function from a frame of raw columns to probabilities, shape (n, k), or values, shape (n,)."""


@runtime_checkable
class ShufflingPredict(Protocol):
    """A function as :data:`Predict` that predicts with one column shuffled by a quicker way than a whole frame."""

    def __call__(self, frame: pd.DataFrame) -> Floats:
        """Predict rows of raw columns."""

    def shuffled(self, sample: pd.DataFrame, shuffles: npt.NDArray[np.intp]) -> Callable[[str], Floats]:
        """Return a function from a raw column to the predictions of all repeats with this column shuffled."""


@dataclass(frozen=True)
class Importance:
    """Loss of the gate's metric when one feature is permuted.

    Parameters
    ----------
    feature
        Name of the raw column.
    mean, std
        Mean and standard deviation of the loss over the repeats, in units of the metric; a positive mean says that the
        model uses the feature.
    """

    feature: str
    mean: float
    std: float


def permutation_importance(
    predict: Predict | ShufflingPredict,
    frame: pd.DataFrame,
    y: npt.NDArray[Any],
    contract: FeatureContract,
    metric: str,
    seed: int,
) -> tuple[Importance, ...]:
    """Return the loss of a metric when a raw column's values are permuted, the most important column first.

    Redundant columns share their importance: if one is permuted, the model still has the other.

    Parameters
    ----------
    predict
        Called once for the sample, and once per column for a frame with all repeats (five times the rows).
    frame
        n rows with at least the contract's raw columns. At most 5,000 are used (fewer beyond 40 columns, at least 500),
        spread evenly over the target's values.
    y
        Encoded target, shape (n,): class codes, int64; regression: numbers, float64.
    contract
        Names of the raw columns.
    metric
        Name of a metric that fits the task.
    seed
        Seed of the sample and of the permutations; the permutations are the same for every column.

    References
    ----------
    Breiman (2001), Random forests, Machine Learning 45, 5-32.
    """
    generator = np.random.default_rng(seed)
    rows = _sample(y, _sample_size(contract), generator)
    sample, truth = frame[list(contract.raw_columns)].iloc[rows].reset_index(drop=True), y[rows]
    shuffles = np.stack([generator.permutation(len(rows)) for _ in range(REPEATS)])
    unshuffled = METRICS[metric].value(truth, predict(sample))
    shuffled = predict.shuffled if isinstance(predict, ShufflingPredict) else partial(_by_frame, predict)
    output = shuffled(sample, shuffles)
    found = []
    for column in contract.raw_columns:
        losses = _losses(output(column), truth, metric, unshuffled)
        found.append(Importance(column, float(losses.mean()), float(losses.std(ddof=1))))
    return tuple(sorted(found, key=lambda item: -item.mean))


def _by_frame(predict: Predict, sample: pd.DataFrame, shuffles: npt.NDArray[np.intp]) -> Callable[[str], Floats]:
    repeated = pd.concat([sample] * len(shuffles), ignore_index=True)
    return lambda column: predict(repeated.assign(**{column: sample[column].take(shuffles.ravel()).array}))


def _losses(output: Floats, truth: npt.NDArray[Any], metric: str, unshuffled: float) -> Floats:
    parts = output.reshape(REPEATS, len(truth), *output.shape[1:])
    scores = [metric_values(truth, part, (metric,))[metric] for part in parts]
    return np.array([METRICS[metric].loss(unshuffled, score) for score in scores])


def _sample_size(contract: FeatureContract) -> int:
    return max(MIN_SAMPLE, min(MAX_ROWS, MAX_PREDICTED // (REPEATS * len(contract.raw_columns))))


def _sample(y: npt.NDArray[Any], size: int, generator: np.random.Generator) -> npt.NDArray[np.intp]:
    """Sample rows at even steps of the sorted target: each class keeps its share, the last code at least one row."""
    mixed = generator.permutation(len(y))
    if len(y) <= size:
        return np.sort(mixed)
    steps = np.linspace(0, len(y) - 1, size).astype(int)
    return np.sort(mixed[np.argsort(y[mixed], kind="stable")][steps])
