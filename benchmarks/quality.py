"""Compare the default model of `perennial init` with a careful person's tries on the same holdout rows.

Prints one Markdown table. Data sets: the folders of ``../shared/data``; skipped with a message where absent.

    python -m benchmarks.quality
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import roc_auc_score, root_mean_squared_error
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

from config.schema import ModelConfig
from config.settings import Settings
from core.data.rows import Rows
from core.data.split import Split, holdout_split
from core.feature_contract import FeatureContract
from core.metrics.evaluation import predict_output
from core.model_inputs import encode_target
from core.references import Snapshot
from tasks.init.model_file import init_model
from tasks.source.stage import stage_rows
from tasks.train.fit import fit_model
from tasks.versions.rows import load_rows

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
GUIDED = {"learning_rate": 0.05, "max_iter": 600, "early_stopping": True, "n_iter_no_change": 30}
"""Chosen beforehand from scikit-learn's guide; no try is tuned on the holdout."""

TRIES = ("linear", "boosting, defaults", "boosting, guide", "forest")
SEEDS = range(3)
"""Under drift one seed differs from the next by 0.02 AUC."""


@dataclass(frozen=True)
class Case:
    """One data set, its columns' roles and the columns a careful person leaves out."""

    folder: str
    time: str | None = None
    key: str | None = None
    without: tuple[str, ...] = ()


CASES = (
    Case("default_credit_card_tw", key="ID"),
    Case("online_shoppers"),
    Case("bank_marketing"),
    Case("bank_marketing", without=("duration",)),
    Case("bank_marketing", time="event_month"),
    Case("bank_marketing", time="event_month", without=("duration",)),
    Case("bike_sharing"),
    Case("bike_sharing", time="event_time"),
)


def main() -> None:
    """Measure every data set that is there."""
    tries = " | ".join(TRIES)
    print(f"| data | holdout | metric | Perennial | boosting alone | {tries} | Perennial - best try | s | alone, s |")
    print("|---|---|---|" + "---|" * (len(TRIES) + 5))
    for case in CASES:
        if not (SHARED / case.folder).is_dir():
            print(f"skipped {case.folder}: {SHARED / case.folder} is not on this machine")
            continue
        print(row(case), flush=True)


def row(case: Case) -> str:
    """Measure one case as a line of the table: means over the seeds, the gap with its standard deviation."""
    with tempfile.TemporaryDirectory() as folder:
        config, rows, settings = loaded(case, Path(folder))
        split = holdout_split(rows, config)
        measured = np.array([scores_of(config, rows, split, settings, seed) for seed in SEEDS])
    *scores, seconds, seconds_alone = measured.mean(axis=0)
    regression = config.task == "regression"
    best = int(np.argmin(scores[2:]) if regression else np.argmax(scores[2:])) + 2
    gaps = measured[:, 0] / measured[:, best] - 1 if regression else measured[:, 0] - measured[:, best]
    gap = f"{gaps.mean():+.1%} ± {gaps.std():.1%}" if regression else f"{gaps.mean():+.4f} ± {gaps.std():.4f}"
    shown = " | ".join(f"{value:{'.2f' if regression else '.4f'}}" for value in scores)
    name = case.folder + (f" without {', '.join(case.without)}" if case.without else "")
    metric, holdout = "RMSE" if regression else "AUC", "newest" if case.time else "hash"
    return f"| {name} | {holdout} | {metric} | {shown} | {gap} | {seconds:.1f} | {seconds_alone:.1f} |"


def scores_of(config: ModelConfig, rows: Rows, split: Split, settings: Settings, seed: int) -> list[float]:
    """Holdout scores of Perennial, of its boosting alone and of the tries with one seed, and the seconds of both."""
    contract = contract_of(config, rows)
    y = encode_target(rows.frame[config.target], contract)
    ours = [
        measured(variant, rows, split, settings, contract) for variant in (seeded(config, seed), alone(config, seed))
    ]
    tried = (score(config, y[split.holdout], found) for found in peer_outputs(config, rows, split, y, contract, seed))
    return [*(score(config, y[split.holdout], found) for found, _ in ours), *tried, *(seconds for _, seconds in ours)]


def seeded(config: ModelConfig, seed: int) -> ModelConfig:
    """Return the model file with a seed for its estimators; the split is given."""
    return config.model_copy(update={"training": config.training.model_copy(update={"seed": seed})})


def alone(config: ModelConfig, seed: int) -> ModelConfig:
    """Return the model file with its boosting as the one estimator, as `perennial init` wrote it before."""
    boosting = config.training.candidates["boosting"]
    one = {"estimator": boosting.estimator, "params": boosting.params, "search": None, "seed": seed}
    return config.model_copy(update={"training": config.training.model_copy(update=one)})


def measured(
    config: ModelConfig, rows: Rows, split: Split, settings: Settings, contract: FeatureContract
) -> tuple[npt.NDArray[np.float64], float]:
    """Predictions for the holdout, and the seconds of folds and fit."""
    began = time.monotonic()
    fitted = fit_model(rows, split, config, contract, settings, "0" * 64)
    return output(fitted.pipeline, rows, split, contract), time.monotonic() - began


def loaded(case: Case, folder: Path) -> tuple[ModelConfig, Rows, Settings]:
    """Infer the model file and load the rows as a training run would."""
    root = folder / "project"
    (root / "config" / "models").mkdir(parents=True)
    (root / "config" / "expectations").mkdir()
    settings = Settings(root=root, var=root / "var")
    data = folder / "rows.parquet"
    pd.read_parquet(SHARED / case.folder / "ready.parquet").drop(columns=list(case.without)).to_parquet(data)
    config = init_model(str(data), "target", settings, time=case.time, key=case.key, name="case").config
    batches = folder / "batches"
    batches.mkdir()
    stage_rows(config, settings, folder).path.rename(batches / "rows.parquet")
    return config, load_rows(Snapshot("case", "none", batches, 1, 1), config), settings


def contract_of(config: ModelConfig, rows: Rows) -> FeatureContract:
    """Contract with the labels the rows hold."""
    return FeatureContract.of(
        config, () if config.task == "regression" else rows.frame[config.target].unique().tolist()
    )


def output(pipeline: Any, rows: Rows, split: Split, contract: FeatureContract) -> npt.NDArray[np.float64]:
    """Positive probability or value of the holdout rows."""
    found = predict_output(pipeline, rows.frame.take(split.holdout), contract)
    return found if found.ndim == 1 else found[:, 1]


def peer_outputs(
    config: ModelConfig, rows: Rows, split: Split, y: npt.NDArray[Any], contract: FeatureContract, seed: int
) -> Iterator[npt.NDArray[np.float64]]:
    """Fit the hand-written tries in the order of :data:`TRIES`."""
    frame = by_hand(rows.frame, contract)
    peers = (
        linear_by_hand(config, frame),
        boosting_by_hand(config, seed),
        boosting_by_hand(config, seed, **GUIDED),
        forest_by_hand(config, frame, seed),
    )
    for peer in peers:
        peer.fit(frame.take(split.train), y[split.train])
        yield output(peer, Rows(frame, rows.row_ids, 0, 0), split, contract)


def by_hand(frame: pd.DataFrame, contract: FeatureContract) -> pd.DataFrame:
    """Prepare the same columns as a person would: categories as such, dates as month, weekday and hour."""
    columns: dict[str, Any] = {name: frame[name].astype("float64") for name in contract.numeric + contract.boolean}
    columns |= {name: frame[name].astype(object).fillna("none").astype("category") for name in contract.categorical}
    for name in contract.dates:
        columns |= {f"{name} {part}": getattr(frame[name].dt, part) for part in ("month", "weekday", "hour")}
    return pd.DataFrame(columns)


def boosting_by_hand(config: ModelConfig, seed: int, **params: Any) -> Any:
    """Histogram gradient boosting with native categories."""
    kind = HistGradientBoostingRegressor if config.task == "regression" else HistGradientBoostingClassifier
    return kind(categorical_features="from_dtype", random_state=seed, **params)


def forest_by_hand(config: ModelConfig, frame: pd.DataFrame, seed: int) -> Pipeline:
    """Return a random forest on ordinal codes; of classes with five rows per leaf, for probabilities."""
    categories = list(frame.select_dtypes("category").columns)
    codes = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    encode = ColumnTransformer([("codes", codes, categories)], remainder="passthrough")
    if config.task == "regression":
        return make_pipeline(encode, RandomForestRegressor(300, max_features=0.5, random_state=seed))
    return make_pipeline(encode, RandomForestClassifier(300, min_samples_leaf=5, random_state=seed))


def linear_by_hand(config: ModelConfig, frame: pd.DataFrame) -> Pipeline:
    """Impute, scale and one-hot encode, then a regularised linear model."""
    categories = list(frame.select_dtypes("category").columns)
    numbers = [name for name in frame.columns if name not in categories]
    encode = ColumnTransformer(
        [
            ("numbers", make_pipeline(SimpleImputer(strategy="median", add_indicator=True), StandardScaler()), numbers),
            ("categories", OneHotEncoder(handle_unknown="ignore", min_frequency=10), categories),
        ]
    )
    return make_pipeline(encode, Ridge() if config.task == "regression" else LogisticRegression(max_iter=2000))


def score(config: ModelConfig, y: npt.NDArray[Any], output: npt.NDArray[np.float64]) -> float:
    """AUC or RMSE."""
    return float(root_mean_squared_error(y, output) if config.task == "regression" else roc_auc_score(y, output))


if __name__ == "__main__":
    main()
