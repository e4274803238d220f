"""Seconds that judging a model takes, by rows: metrics and slices with intervals, importance, the reference profile.

Run ``python -m benchmarks.evaluate``; prints one Markdown table. The rows are simulated credit applications with two
slice columns; importance looks at no more than 5,000 rows whatever their number, its time is that of the predictions.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.pipeline import Pipeline

from config.schema import ModelConfig, SimulatedSource
from core.data.simulate import LEVELS, NUMERIC, TARGET, simulate_month
from core.drift.profile import reference_profile
from core.feature_contract import FeatureContract
from core.metrics.evaluation import evaluate, predict_output
from core.metrics.importance import permutation_importance
from core.model_inputs import encode_target, prepare
from core.train.pipeline import build_pipeline

SIZES = (6_000, 60_000, 200_000)
TRAINING_ROWS = 20_000

CONFIG = ModelConfig.model_validate(
    {
        "model": "credit",
        "task": "binary",
        "source": {"kind": "simulated"},
        "target": TARGET,
        "positive": "1",
        "time": "application_date",
        "features": {
            "numeric": NUMERIC,
            "categorical": tuple(LEVELS),
            "boolean": ["has_guarantor"],
            "dates": ["application_date"],
        },
        "validation": {"suite": "config/expectations/credit.json"},
        "training": {"estimator": "sklearn.ensemble.HistGradientBoostingClassifier"},
        "evaluation": {"slices": ["region", "channel"]},
        "gate": {"metric": "roc_auc", "floor": 0.7},
    }
)
CONTRACT = FeatureContract.of(CONFIG, ["0", "1"])


def main() -> None:
    """Print the table."""
    pipeline = _fitted()
    print("| holdout rows | evaluation, s | importance, s | profile, s |")
    print("|---:|---:|---:|---:|")
    for n_rows in SIZES:
        print(f"| {n_rows:,} | " + " | ".join(f"{seconds:.2f}" for seconds in _seconds(pipeline, n_rows)) + " |")


def _seconds(pipeline: Pipeline, n_rows: int) -> list[float]:
    frame, y = _rows(n_rows, month=1)
    predict = partial(predict_output, pipeline, contract=CONTRACT)
    output = predict(frame)
    steps: list[Callable[[], Any]] = [
        lambda: evaluate(y, output, frame, CONTRACT, CONFIG),
        lambda: permutation_importance(predict, frame, y, CONTRACT, CONFIG.gate.metric, CONFIG.training.seed),
        lambda: reference_profile(frame, y, output, CONTRACT),
    ]
    return [_best_of_three(step) for step in steps]


def _best_of_three(step: Callable[[], Any]) -> float:
    taken = []
    for _ in range(3):
        start = time.perf_counter()
        step()
        taken.append(time.perf_counter() - start)
    return min(taken)


def _fitted() -> Pipeline:
    frame, y = _rows(TRAINING_ROWS, month=0)
    return build_pipeline(CONFIG, CONTRACT, prepare(frame, CONTRACT)).fit(frame, y)


def _rows(n_rows: int, month: int) -> tuple[pd.DataFrame, npt.NDArray[np.int64]]:
    frame = simulate_month(SimulatedSource(kind="simulated", rows_per_month=n_rows), month)
    return frame, encode_target(frame[TARGET].astype("str"), CONTRACT)


if __name__ == "__main__":
    main()
