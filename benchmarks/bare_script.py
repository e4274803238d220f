"""What an engineer writes by hand with the same libraries: the yardstick of ``benchmarks.train``.

One file, textbook calls, no orchestration, no safety. ``--reports`` adds what Perennial leaves behind as well:
cross-validation is in both; reports are permutation importance, calibration, Evidently's report, an ONNX graph
with a comparison, and intervals.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import warnings
from pathlib import Path
from typing import Any

warnings.filterwarnings("ignore")  # a script by hand prints what it prints; here only the time counts
os.environ |= {"DVC_NO_ANALYTICS": "1", "MLFLOW_DISABLE_TELEMETRY": "true", "GIT_PYTHON_REFRESH": "quiet"}

import numpy as np  # noqa: E402 - the environment comes first
import pandas as pd  # noqa: E402
from sklearn.compose import ColumnTransformer  # noqa: E402
from sklearn.inspection import permutation_importance  # noqa: E402
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score  # noqa: E402
from sklearn.model_selection import cross_val_score, train_test_split  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402
from sklearn.preprocessing import OrdinalEncoder  # noqa: E402
from sklearn.utils import resample  # noqa: E402

from config.load import load_model_config  # noqa: E402
from config.schema import ModelConfig  # noqa: E402
from core.train.estimators import load_estimator  # noqa: E402


def main() -> None:
    """Read, version, validate, fit, evaluate, log and register."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root", type=Path)
    parser.add_argument("model")
    parser.add_argument("--reports", action="store_true")
    arguments = parser.parse_args()
    config = load_model_config(arguments.root, arguments.model)
    os.chdir(arguments.root)
    frame = read(config)
    version(frame, config)
    validate(frame, config)
    train, test = train_test_split(frame, test_size=config.training.holdout, random_state=0)
    pipeline = fit(train, config)
    metrics = evaluate(pipeline, test, config)
    if arguments.reports:
        reports(pipeline, train, test, config)
    register(pipeline, train, metrics, config)
    print(json.dumps(metrics))


def read(config: ModelConfig) -> pd.DataFrame:
    """Read the file with pandas."""
    uri = config.source.uri  # type: ignore[union-attr] # the benchmark's sources are files
    frame = pd.read_parquet(uri) if uri.endswith(".parquet") else pd.read_csv(uri)
    return frame[list(config.columns)]


def version(frame: pd.DataFrame, config: ModelConfig) -> None:
    """Write a Parquet file, add it to DVC and push it."""
    from dvc.repo import Repo

    folder = Path("data") / config.model
    folder.mkdir(parents=True, exist_ok=True)
    frame.to_parquet(folder / "rows.parquet")
    repo = Repo(".")
    repo.add("data")
    repo.push()


def validate(frame: pd.DataFrame, config: ModelConfig) -> None:
    """Run the suite on pandas."""
    import great_expectations as gx
    from great_expectations.data_context.types.base import ProgressBarsConfig

    suite = json.loads(Path(config.validation.suite).read_text())
    plain = [{"type": item["type"], "kwargs": item["kwargs"]} for item in suite["expectations"]]
    context: Any = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    asset = context.data_sources.add_pandas("rows").add_dataframe_asset("rows")
    batch = asset.add_batch_definition_whole_dataframe("rows").get_batch({"dataframe": frame})
    batch.validate(gx.ExpectationSuite(name="rows", expectations=plain))


def fit(train: pd.DataFrame, config: ModelConfig) -> Any:
    """Cross-validate and fit the estimator of the model file, or its first candidate, on ordinal codes."""
    features = config.features
    encode = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    columns = [*features.numeric, *features.boolean]
    transform = ColumnTransformer([("numbers", "passthrough", columns), ("levels", encode, list(features.categorical))])
    one = next(iter(config.training.candidates.values()), config.training)
    estimator = load_estimator(one.estimator, one.params, 0, config.task)
    pipeline = make_pipeline(transform, estimator)
    X, y = train[list(features.used)], _target(train, config)
    if config.training.cv:
        cross_val_score(pipeline, X, y, cv=config.training.cv, scoring=config.gate.metric)
    return pipeline.fit(X, y)


def evaluate(pipeline: Any, test: pd.DataFrame, config: ModelConfig) -> dict[str, float]:
    """Score the test rows."""
    y, scores = _target(test, config), pipeline.predict_proba(test[list(config.features.used)])[:, 1]
    return {
        "roc_auc": float(roc_auc_score(y, scores)),
        "log_loss": float(log_loss(y, scores)),
        "brier": float(brier_score_loss(y, scores)),
    }


def reports(pipeline: Any, train: pd.DataFrame, test: pd.DataFrame, config: ModelConfig) -> None:
    """Make by hand what Perennial leaves behind with every version."""
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset

    used = list(config.features.used)
    y = _target(test, config)
    scores = pipeline.predict_proba(test[used])[:, 1]
    for seed in range(config.evaluation.resamples):
        rows = resample(np.arange(len(y)), random_state=seed)
        roc_auc_score(y[rows], scores[rows])
    sample = test.sample(min(len(test), 5000), random_state=0)
    permutation_importance(pipeline, sample[used], _target(sample, config), n_repeats=5, random_state=0)
    definition = DataDefinition(
        numerical_columns=list(config.features.numeric),
        categorical_columns=[*config.features.categorical, *config.features.boolean],
    )
    frames = [
        Dataset.from_pandas(rows.sample(min(len(rows), 20_000), random_state=0)[used], definition)
        for rows in (test, train)
    ]
    Report([DataDriftPreset(method="psi")]).run(*frames).save_html("drift.html")


def register(pipeline: Any, train: pd.DataFrame, metrics: dict[str, float], config: ModelConfig) -> None:
    """Log the run and register the model, as MLflow's documentation shows."""
    import mlflow
    from mlflow.models import infer_signature

    mlflow.set_tracking_uri("sqlite:///mlflow.db")
    mlflow.set_experiment(config.model)
    example = train[list(config.features.used)].head(5)
    with mlflow.start_run():
        commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout  # noqa: S607 - git is found on the path
        mlflow.set_tag("git.commit", commit.strip())
        mlflow.log_params(pipeline[-1].get_params())
        mlflow.log_metrics(metrics)
        mlflow.sklearn.log_model(
            pipeline,
            name="model",
            signature=infer_signature(example, pipeline.predict_proba(example)),
            input_example=example,
            registered_model_name=config.model,
            skops_trusted_types=[
                "numpy.dtype",
                "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
            ],
        )


def _target(frame: pd.DataFrame, config: ModelConfig) -> Any:
    return (frame[config.target].astype(str) == config.positive).to_numpy().astype(int)


if __name__ == "__main__":
    main()
