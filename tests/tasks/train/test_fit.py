from __future__ import annotations

import hashlib
import logging
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from config.schema import ModelConfig
from config.settings import Settings
from core.data.rows import Rows
from core.data.split import holdout_split
from core.errors import ConfigError, TrainingError
from core.feature_contract import FeatureContract
from core.metrics.evaluation import predict_output
from tasks.train.fit import FittedModel, fit_model
from tests.core.training_rows import training_config, training_rows

FOREST = {"estimator": "sklearn.ensemble.RandomForestClassifier", "params": {"n_estimators": 20, "n_jobs": 2}}
BOOSTING = {"params": {"max_iter": 20}}
LINEAR = {"estimator": "sklearn.linear_model.LogisticRegression", "params": {"max_iter": 1000}}


def fitted(rows: Rows, config: ModelConfig, var: Path) -> FittedModel:
    """Split and fit, as a training run does."""
    labels = () if config.task == "regression" else rows.frame[config.target].unique().tolist()
    contract = FeatureContract.of(config, labels)
    return fit_model(rows, holdout_split(rows, config), config, contract, Settings(root=var, var=var), "0" * 64)


def predictions_hash(training: dict[str, Any], var: str) -> str:
    """Train in this process and hash the predictions' bytes."""
    rows = training_rows(1500, n_regions=40)
    model = fitted(rows, training_config(training=training | {"cv": 0}), Path(var))
    return hashlib.sha256(predict_output(model.pipeline, rows.frame, model.contract).tobytes()).hexdigest()


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_pipeline_takes_raw_rows(task: str, tmp_path: Path) -> None:
    """What comes back predicts raw rows better than chance and has one score per fold and metric."""
    rows = training_rows(1200, task)
    config = training_config(task)
    model = fitted(rows, config, tmp_path)
    assert [name for name, _ in model.pipeline.steps] == ["prepare", "encode", "model"]
    assert list(model.cv_scores) == (["rmse", "mae"] if task == "regression" else ["roc_auc", "log_loss"])
    assert all(len(scores) == 3 for scores in model.cv_scores.values())
    assert np.mean(model.cv_scores[config.gate.metric]) > 0.7
    output = predict_output(model.pipeline, rows.frame, model.contract)
    assert output.shape == {"binary": (1200, 2), "multiclass": (1200, 3), "regression": (1200,)}[task]
    assert model.params["max_iter"] == 30


def test_holdout_is_not_looked_at(tmp_path: Path) -> None:
    """Other holdout rows give the same model and the same scores."""
    rows = training_rows(600)
    config = training_config()
    split = holdout_split(rows, config)
    contract = FeatureContract.of(config, ["0", "1"])
    spoilt = rows.frame.copy()
    spoilt.loc[split.holdout, ["income", "age"]] = -1e9
    spoilt.loc[split.holdout, "region"] = "spoilt"
    settings = Settings(root=tmp_path, var=tmp_path)
    one, other = (
        fit_model(replace(rows, frame=frame), split, config, contract, settings, "k") for frame in (rows.frame, spoilt)
    )
    assert one.cv_scores == other.cv_scores
    assert (one.pipeline.predict_proba(rows.frame) == other.pipeline.predict_proba(rows.frame)).all()


@pytest.mark.parametrize("training", [FOREST, BOOSTING, LINEAR], ids=["forest", "boosting", "linear"])
def test_predictions_are_the_same_bit_for_bit(training: dict[str, Any], tmp_path: Path) -> None:
    """Another process with another number of threads trains the same model."""
    call = f"predictions_hash({training!r}, {str(tmp_path)!r})"
    program = f"from tests.tasks.train.test_fit import predictions_hash; print({call})"
    other = subprocess.run(
        [sys.executable, "-c", program],
        cwd=Path(__file__).parents[3],
        env=os.environ | {"OMP_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2", "PYTHONHASHSEED": "17"},
        check=True,
        capture_output=True,
        text=True,
    )
    assert other.stdout.strip() == predictions_hash(training, str(tmp_path))


def test_search_improves_on_the_configured_values(tmp_path: Path) -> None:
    """The found values become the model's, and their scores the cross-validation's."""
    start = {"max_iter": 1, "learning_rate": 0.01}
    search = {"space": {"max_iter": [1, 60], "learning_rate": {"low": 0.01, "high": 0.5, "log": True}}, "trials": 6}
    rows = training_rows(800)
    model = fitted(rows, training_config(training={"params": start, "search": search, "cv": 0}), tmp_path)
    assert model.search is not None
    assert model.search.n_trials == 6
    assert model.params == model.search.params != start
    assert model.pipeline["model"].max_iter == model.params["max_iter"]
    assert model.cv_scores == model.search.scores
    assert len(model.cv_scores["roc_auc"]) == 3
    assert (tmp_path / "search" / f"{'0' * 64}.log").exists()


BALANCED = {"max_iter": 1000, "class_weight": "balanced"}
LOGISTIC = "sklearn.linear_model.LogisticRegression"
TWO = {"candidates": {name: {"estimator": LOGISTIC, "params": BALANCED | {"C": c}} for name, c in (("a", 1), ("b", 9))}}


@pytest.mark.parametrize(
    "training",
    [
        {"params": BALANCED},
        {"params": BALANCED, "search": {"space": {"C": [0.1, 10.0]}, "trials": 2}},
        {"estimator": "auto", "params": {}, "search": TWO},
    ],
    ids=["one estimator", "search", "candidates"],
)
def test_inflated_probabilities_are_recalibrated(training: dict[str, Any], tmp_path: Path) -> None:
    """Class weights inflate them; the model becomes calibrated on rows it has not seen, which its parameters say."""
    rows = training_rows(3000)
    frame = rows.frame
    rare = frame["default"].eq("1") & (np.arange(3000) % 5 > 0)
    rows = replace(rows, frame=frame[~rare].reset_index(drop=True), row_ids=rows.row_ids[~rare])
    config = training_config(training={"estimator": LOGISTIC, "cv": 3} | training)
    model, split = fitted(rows, config, tmp_path), holdout_split(rows, config)
    assert model.params["calibrate"] == "sigmoid"
    held = rows.frame.take(split.holdout)
    found = predict_output(model.pipeline, held, model.contract)[:, 1]
    inner = model.pipeline["model"].estimator
    raw = inner.predict_proba(model.pipeline[:-1].transform(held))[:, 1]
    observed = held["default"].eq("1").mean()
    assert abs(found.mean() - observed) < 0.04 < raw.mean() - observed
    np.testing.assert_array_equal(np.argsort(found, kind="stable"), np.argsort(raw, kind="stable"))


def test_recalibration_can_be_left_out(tmp_path: Path) -> None:
    """With none the estimator stays as it is."""
    training = {"estimator": LOGISTIC, "params": BALANCED, "calibrate": "none"}
    model = fitted(training_rows(600), training_config(training=training), tmp_path)
    assert "calibrate" not in model.params
    assert type(model.pipeline["model"]).__name__ == "LogisticRegression"


def test_recalibration_without_folds_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Without cross-validation there is nothing to recalibrate by: auto says nothing, a named method why."""
    training = {"estimator": LOGISTIC, "params": BALANCED, "cv": 0}
    for calibrate, said in (("auto", False), ("sigmoid", True)):
        caplog.clear()
        with caplog.at_level(logging.INFO, "perennial.fit"):
            config = training_config(training=training | {"calibrate": calibrate})
            assert "calibrate" not in fitted(training_rows(300), config, tmp_path).params
        assert ("not recalibrated: there are no folds, set training.cv" in caplog.text) is said


def test_search_of_an_unknown_parameter_is_refused(tmp_path: Path) -> None:
    """A space that names no parameter of the estimator fails before anything is fitted."""
    search = {"space": {"max_depht": [1, 3]}, "trials": 2}
    with pytest.raises(ConfigError, match=r"training.search.space: .* 'max_depht'.*did you mean 'max_depth'"):
        fitted(training_rows(200), training_config(training={"search": search}), tmp_path)


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("default", 1.0, "target 'default' is constant"),
        ("default", np.inf, "target 'default' must be finite, found .* infinite or NaN"),
        ("income", 1e39, "feature 'income' must be finite, found .* beyond 3.4e38"),
    ],
)
def test_rows_that_cannot_train_are_refused(column: str, value: float, message: str, tmp_path: Path) -> None:
    """The message names the column and what to do."""
    rows = training_rows(200, "regression")
    rows.frame[column] = value
    with pytest.raises(TrainingError, match=message):
        fitted(rows, training_config("regression"), tmp_path)


def test_refusal_of_the_estimator_is_told(tmp_path: Path) -> None:
    """A parameter value out of range is the user's to change, in the estimator's own words."""
    config = training_config(training={"params": {"learning_rate": -1}})
    with pytest.raises(TrainingError, match=r"'learning_rate' parameter .* must be .* Got -1"):
        fitted(training_rows(200), config, tmp_path)


def test_warnings_of_the_estimator_are_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A model that did not converge says so once, in the log."""
    config = training_config(training={"estimator": LINEAR["estimator"], "params": {"max_iter": 1}})
    with caplog.at_level(logging.WARNING, "perennial"):
        fitted(training_rows(300), config, tmp_path)
    assert sum("failed to converge" in record.message for record in caplog.records) == 2


def test_column_without_values_does_no_harm(tmp_path: Path) -> None:
    """A feature that is empty in the training rows is carried along."""
    rows = training_rows(300)
    rows.frame["income"] = np.nan
    for training in (BOOSTING, FOREST, LINEAR):
        model = fitted(rows, training_config(training=training | {"cv": 0}), tmp_path)
        assert np.isfinite(predict_output(model.pipeline, rows.frame, model.contract)).all()


def test_boosting_of_time_ordered_rows_is_fitted_on_all_of_them(tmp_path: Path) -> None:
    """Its number of iterations is chosen on later rows and recorded; the last fit holds no random part back."""
    training = {"params": {"max_iter": 200, "early_stopping": True}, "cv": 3}
    found = fitted(training_rows(1500), training_config(time="day", training=training), tmp_path)
    model = found.pipeline["model"]
    assert (model.early_stopping, model.n_iter_) == (False, found.params["max_iter"])
    assert model.n_iter_ < 200


def test_a_half_life_weights_folds_and_fit(tmp_path: Path) -> None:
    """Scores and model differ from those of equal weights, and a second run gives the same."""
    training = {"params": {"max_iter": 20}, "cv": 3}
    plain, *weighted = (
        fitted(training_rows(800), training_config(time="day", training=training | half_life), tmp_path)
        for half_life in ({}, {"half_life_days": 10}, {"half_life_days": 10})
    )
    assert weighted[0].cv_scores != plain.cv_scores
    assert weighted[0].cv_scores == weighted[1].cv_scores
    frame = training_rows(800).frame
    first, second = (predict_output(found.pipeline, frame, found.contract) for found in weighted)
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, predict_output(plain.pipeline, frame, plain.contract))
