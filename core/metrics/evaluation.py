"""The evaluation of a fitted model on its holdout, as a value that JSON can hold."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from config.schema import ModelConfig
from core.errors import TrainingError
from core.feature_contract import FeatureContract
from core.jsonable import jsonable
from core.metrics.bootstrap import MIN_ROWS, Estimate, estimates
from core.metrics.calibration import Calibration, CalibrationBin, calibration
from core.metrics.curves import classification_curves, regression_curves
from core.metrics.importance import Importance, Predict, ShufflingPredict, permutation_importance
from core.metrics.metrics import METRICS, Floats, task_metrics
from core.metrics.slices import slice_rows

__all__ = [
    "Calibration",
    "CalibrationBin",
    "Estimate",
    "Evaluation",
    "Importance",
    "SliceResult",
    "evaluate",
    "predict_output",
]


@dataclass(frozen=True)
class SliceResult:
    """The metrics of one slice of the holdout.

    Parameters
    ----------
    column
        The column of the slice.
    level
        Its value as text; ``(missing)`` for rows without one, ``(other)`` for all levels beyond the ten largest.
    n_rows
        Number of holdout rows with this level.
    metrics
        Estimates by name; a metric that is undefined on the slice (the AUC of rows of one class) has value NaN.
    note
        Sentence about why intervals or values are missing; empty if none are.
    """

    column: str
    level: str
    n_rows: int
    metrics: dict[str, Estimate]
    note: str = ""


@dataclass(frozen=True)
class Evaluation:
    """Measurements of a model on its holdout.

    Parameters
    ----------
    metric
        Name of the gate's metric.
    n_rows
        Number of holdout rows.
    metrics
        Estimates by name, the gate's metric first.
    slices
        Slices by column in the model file's order, then levels by size, ``(other)`` last.
    calibration
        Binary: of the positive class; multiclass: of the most probable class; regression: None.
    importance
        Permutation importance, the most important feature first; empty if it was not measured.
    curves
        Data of the charts, as plain lists. Classification::

            roc: [{label, fpr: [...], tpr: [...]}]                one entry per class, binary: the positive class only
            pr: [{label, recall: [...], precision: [...], share}] share of the class: precision of a random ranking
            reliability: {predicted: [...], observed: [...], low: [...], high: [...], n_rows: [...]}
            scores: {edges: [...], counts: {label: [...]}}        the positive (or top) probability, by true class

        Regression::

            points: {actual: [...], predicted: [...]}             at most 2,000 rows
            residuals: {edges: [...], counts: [...], levels: [...], quantiles: [...]}  actual minus predicted

    confidence
        Confidence of every interval, above 0 and below 1.
    """

    metric: str
    n_rows: int
    metrics: dict[str, Estimate]
    slices: tuple[SliceResult, ...]
    calibration: Calibration | None
    importance: tuple[Importance, ...]
    curves: dict[str, Any]
    confidence: float = 0.95

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as values that JSON can hold: tuples as lists, NaN and infinities as None."""
        content: dict[str, Any] = jsonable(asdict(self))
        return content


def evaluate(
    y: npt.NDArray[Any],
    output: Floats,
    frame: pd.DataFrame,
    contract: FeatureContract,
    config: ModelConfig,
    predict: Predict | ShufflingPredict | None = None,
) -> Evaluation:
    """Evaluate a model on its holdout.

    Parameters
    ----------
    y
        Encoded target, shape (n,): class codes, int64; regression: numbers, float64.
    output
        Predictions for the same rows: probabilities, shape (n, k), or values, shape (n,); finite.
    frame
        The same n rows: the contract's raw columns and the columns of ``config.evaluation.slices``.
    contract
        Columns, task and classes.
    config
        The model file: the gate's metric, slices, seed, resamples and confidence.
    predict
        Function from raw columns to such predictions; if given, permutation importance is measured.
    """
    metric, seed = config.gate.metric, config.training.seed
    reliability = calibration(y, output, config.evaluation.confidence)
    return Evaluation(
        metric=metric,
        n_rows=len(y),
        metrics=_estimates(y, output, config, (seed,)),
        slices=tuple(_slices(y, output, frame, config)),
        calibration=reliability,
        importance=permutation_importance(predict, frame, y, contract, metric, seed) if predict else (),
        curves=classification_curves(y, output, contract, reliability)
        if reliability
        else regression_curves(y, output, seed),
        confidence=config.evaluation.confidence,
    )


def predict_output(pipeline: Any, frame: pd.DataFrame | npt.NDArray[Any], contract: FeatureContract) -> Floats:
    """Predict probabilities of the contract's classes, shape (n, k), or numbers, shape (n,), float64.

    A class that is not in the pipeline's training rows has probability 0.

    Parameters
    ----------
    pipeline
        Fitted pipeline or estimator with scikit-learn's interface; not asked if there is no row.
    frame
        n rows with the columns that the pipeline takes, also none; for a bare estimator, the encoded matrix.
    contract
        Task and classes.

    Raises
    ------
    TrainingError
        The estimator has no ``predict_proba``, or its output is not finite.
    """
    if len(frame) == 0:
        # scikit-learn's steps refuse a frame without rows.
        return np.empty(0 if contract.task == "regression" else (0, len(contract.classes)))
    if contract.task == "regression":
        output = np.asarray(pipeline.predict(frame), dtype="float64").reshape(len(frame))
    else:
        output = _probabilities(pipeline, frame, contract)
    invalid = ~np.isfinite(output)
    if invalid.any():
        rows = int(invalid.reshape(len(frame), -1).any(axis=1).sum())
        raise TrainingError(
            f"expected finite predictions, found NaN or infinity in {rows:,} of {len(frame):,} rows from "
            f"{_name(pipeline)}; scale the features or change training.params"
        )
    return output


def _probabilities(pipeline: Any, frame: pd.DataFrame | npt.NDArray[Any], contract: FeatureContract) -> Floats:
    if not hasattr(pipeline, "predict_proba"):
        raise TrainingError(
            f"expected an estimator with predict_proba, found {_name(pipeline)}; choose another training.estimator "
            "or enable its probabilities in training.params"
        )
    output = np.zeros((len(frame), len(contract.classes)))
    output[:, np.asarray(pipeline.classes_, dtype="int64")] = pipeline.predict_proba(frame)
    return output


def _name(pipeline: Any) -> str:
    estimator = pipeline.steps[-1][1] if hasattr(pipeline, "steps") else pipeline
    return type(estimator).__name__


def _estimates(y: npt.NDArray[Any], output: Floats, config: ModelConfig, seed: tuple[int, ...]) -> dict[str, Estimate]:
    names = dict.fromkeys([config.gate.metric, *task_metrics(config.task)])
    settings = config.evaluation
    return estimates(y, output, tuple(names), resamples=settings.resamples, confidence=settings.confidence, seed=seed)


def _slices(y: npt.NDArray[Any], output: Floats, frame: pd.DataFrame, config: ModelConfig) -> Iterator[SliceResult]:
    for position, column in enumerate(config.evaluation.slices):
        for number, part in enumerate(slice_rows(frame, (column,))):
            seed = (config.training.seed, position + 1, number)
            metrics = _estimates(y[part.rows], output[part.rows], config, seed)
            yield SliceResult(column, part.level, len(part.rows), metrics, _note(len(part.rows), metrics))


def _note(n_rows: int, metrics: dict[str, Estimate]) -> str:
    undefined = [METRICS[name].label for name, estimate in metrics.items() if math.isnan(estimate.value)]
    notes = [f"fewer than {MIN_ROWS} rows: no intervals"] if n_rows < MIN_ROWS else []
    notes += [f"not defined on these rows: {', '.join(undefined)}"] if undefined else []
    return "; ".join(notes)
