"""A portfolio of candidates, from the model file to a pipeline that is stored, converted and the same twice."""

from __future__ import annotations

import logging
import statistics
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skops.io

from config.schema import AVERAGE, ModelConfig
from config.settings import Settings
from core.data.split import holdout_split
from core.errors import TrainingError
from core.feature_contract import FeatureContract
from core.metrics.evaluation import predict_output
from core.model_inputs import prepare
from core.train.trust import trusted_types
from tasks.train.fit import FittedModel, fit_model
from tasks.train.onnx_export import export_onnx
from tests.core.training_rows import training_config, training_rows

LINEAR = {"estimator": "sklearn.linear_model.LogisticRegression", "params": {"max_iter": 500}}
BOOSTING = {"estimator": "sklearn.ensemble.HistGradientBoostingClassifier", "params": {"max_iter": 40}}
STUMP = {"estimator": "sklearn.tree.DecisionTreeClassifier", "params": {"max_depth": 1}}


def portfolio_config(task: str = "binary", time: str | None = "day", cv: int = 3, **search: Any) -> ModelConfig:
    """Return a model file that compares a linear model and boosting."""
    candidates = {"linear": LINEAR, "boosting": BOOSTING}
    if task == "regression":
        candidates = {
            "linear": {"estimator": "sklearn.linear_model.Ridge"},
            "boosting": {"estimator": "sklearn.ensemble.HistGradientBoostingRegressor", "params": {"max_iter": 40}},
        }
    training = {"estimator": "auto", "params": {}, "cv": cv, "search": {"candidates": candidates, **search}}
    return training_config(task, time=time, training=training)


def fitted(config: ModelConfig, var: Path) -> FittedModel:
    """Fit on 1,500 rows."""
    rows = training_rows(1500, config.task)
    labels = () if config.task == "regression" else rows.frame[config.target].unique().tolist()
    split, contract = holdout_split(rows, config), FeatureContract.of(config, labels)
    return fit_model(rows, split, config, contract, Settings(root=var, var=var), "0" * 64)


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_the_average_is_stored_and_converted_with_equal_outputs(task: str, tmp_path: Path, monkeypatch: Any) -> None:
    """Through skops with the trusted types and through ONNX; its predictions are the mean of its members'."""
    monkeypatch.setattr("tasks.train.choose.chosen", lambda *_: (AVERAGE, "for the test"))
    found = fitted(portfolio_config(task), tmp_path)
    frame = training_rows(1500, task).frame
    output = predict_output(found.pipeline, frame, found.contract)
    stored = skops.io.loads(skops.io.dumps(found.pipeline), trusted=list(trusted_types()))
    np.testing.assert_array_equal(predict_output(stored, frame, found.contract), output)
    encoded = found.pipeline[:-1].transform(frame)
    members = [predict_output(part, encoded, found.contract) for part in found.pipeline["model"].estimators_]
    np.testing.assert_allclose(np.mean(members, axis=0), output, atol=1e-6)
    result = export_onnx(found.pipeline, found.contract, prepare(frame, found.contract), output, tmp_path)
    assert result.reason is None
    assert found.params["candidate"] == AVERAGE
    assert found.params["boosting.max_iter"] == 40


def test_the_better_candidate_is_chosen_and_all_are_recorded(tmp_path: Path) -> None:
    """Without a time by the best mean; the average is listed last."""
    config = portfolio_config(time=None, candidates={"stump": STUMP, "linear": LINEAR})
    found = fitted(config, tmp_path)
    assert found.choice is not None
    assert found.choice.name == "linear"
    assert [tried.name for tried in found.choice.tried] == ["stump", "linear", AVERAGE]
    assert all(len(tried.scores) == 3 for tried in found.choice.tried)
    assert found.cv_scores["roc_auc"] == found.choice.tried[1].scores
    assert type(found.pipeline["model"]).__name__ == "LogisticRegression"


def test_the_same_rows_give_the_same_choice_bit_for_bit(tmp_path: Path) -> None:
    """Scores, parameters and predictions of a second run are those of the first."""
    config, frame = portfolio_config(), training_rows(1500).frame
    one, other = fitted(config, tmp_path / "one"), fitted(config, tmp_path / "other")
    assert (one.params, one.cv_scores) == (other.params, other.cv_scores)
    first, second = (predict_output(found.pipeline, frame, found.contract) for found in (one, other))
    np.testing.assert_array_equal(first, second)


def test_a_candidate_that_fails_is_skipped_with_its_reason(tmp_path: Path) -> None:
    """The others are compared; with no candidate left the training fails."""
    broken = {"estimator": "sklearn.linear_model.LogisticRegression", "params": {"C": -1}}
    found = fitted(portfolio_config(candidates={"broken": broken, "linear": LINEAR}), tmp_path)
    assert found.choice is not None
    assert found.choice.name == "linear"
    assert "cannot be fitted" in found.choice.tried[0].problem
    with pytest.raises(TrainingError, match="none of the candidates"):
        fitted(portfolio_config(candidates={"broken": broken, "worse": broken}), tmp_path)


def test_the_log_names_the_average_by_its_members_and_the_spread_as_the_card(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The average is not one of those that it averages, and the deviation is that of a sample."""
    monkeypatch.setattr("tasks.train.choose.chosen", lambda *_: (AVERAGE, "for the test"))
    with caplog.at_level(logging.INFO, "perennial"):
        scores = fitted(portfolio_config(), tmp_path).cv_scores["roc_auc"]
    assert "chose the average of linear, boosting: for the test" in caplog.text
    assert f"roc_auc {statistics.fmean(scores):.4f} ± {statistics.stdev(scores):.4f} over 3 folds" in caplog.text


def test_a_spent_budget_leaves_candidates_out(tmp_path: Path) -> None:
    """At least one is tried."""
    found = fitted(portfolio_config(minutes=1e-9), tmp_path)
    assert found.choice is not None
    assert found.choice.name == "linear"
    assert "minutes are spent" in found.choice.tried[1].problem
