from __future__ import annotations

import json
from typing import Any, Literal

import numpy as np
import pandas as pd
import pytest
from sklearn.dummy import DummyClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression, RidgeClassifier
from sklearn.pipeline import make_pipeline

from core.errors import TrainingError
from core.metrics.evaluation import Evaluation, evaluate, predict_output
from core.metrics.metrics import Floats, metric_values, task_metrics
from tests.core.samples import SAMPLES, binary_sample, credit_frame, task_config, task_contract
from tests.work import measured


def _evaluation(task: str, n: int, **changes: Any) -> Evaluation:
    config = task_config(task, **changes)
    y, output = SAMPLES[task](n, 1)
    return evaluate(y, output, credit_frame(n, 1), task_contract(config), config)


@pytest.mark.parametrize("task", SAMPLES)
def test_every_task_is_measured_whole(task: str) -> None:
    """All metrics of the task with intervals, the gate's first, and what JSON cannot hold is nowhere."""
    found = _evaluation(task, 400, evaluation={"slices": ["region"], "resamples": 100})
    assert set(found.metrics) == set(task_metrics(task))
    assert next(iter(found.metrics)) == found.metric
    assert all(part.low is not None and part.high is not None for part in found.metrics.values())
    assert (found.calibration is None) == (task == "regression")
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False))["n_rows"] == 400


def test_slices_are_the_metrics_of_their_rows() -> None:
    """Each level's values are those of its rows alone, missing and boolean levels under their canonical names."""
    config = task_config("binary", evaluation={"slices": ["owner", "region"], "resamples": 50})
    y, output = binary_sample(2_000, 1)
    frame = credit_frame(2_000, 1)
    found = evaluate(y, output, frame, task_contract(config), config).slices
    names = [(part.column, part.level) for part in found]
    assert set(names[:3]) == {("owner", "true"), ("owner", "false"), ("owner", "(missing)")}
    assert names[3:5] == [("region", "north"), ("region", "south")]
    assert set(names[5:]) == {("region", "west"), ("region", "(missing)")}
    rows = (frame["region"] == "south").to_numpy()
    south = found[names.index(("region", "south"))]
    assert south.n_rows == rows.sum()
    expected = metric_values(y[rows], output[rows], ("roc_auc", "f1"))
    assert {name: south.metrics[name].value for name in expected} == pytest.approx(expected)


@pytest.mark.parametrize("kind", ["str", "category", "object"])
def test_levels_beyond_the_tenth_are_summed(kind: Literal["str", "category", "object"]) -> None:
    """The ten largest levels stand alone, the others together at the end, and all rows are somewhere."""
    config = task_config("binary", evaluation={"slices": ["region"], "resamples": 50})
    levels = np.repeat([f"r{number:02}" for number in range(14)], np.arange(14, 0, -1) * 5)
    y, output = binary_sample(len(levels), 1)
    frame = credit_frame(len(levels), 1).assign(region=pd.Series(levels).astype(kind))
    found = evaluate(y, output, frame, task_contract(config), config).slices
    assert [part.level for part in found] == [f"r{number:02}" for number in range(10)] + ["(other)"]
    assert sum(part.n_rows for part in found) == len(levels)


def test_small_and_pure_slices_say_what_is_missing() -> None:
    """Few rows have no intervals, rows of one class no AUC; the note says so and JSON gets null."""
    config = task_config("binary", evaluation={"slices": ["region"], "resamples": 50})
    y, output = binary_sample(500, 1)
    region = np.repeat(["large", "pure", "tiny"], [400, 80, 20])
    y[400:480] = 0
    frame = credit_frame(500, 1).assign(region=region)
    found = evaluate(y, output, frame, task_contract(config), config)
    large, pure, tiny = found.slices
    assert large.note == ""
    assert pure.note.startswith("not defined on these rows: ROC AUC, average precision")
    assert tiny.note.startswith("fewer than 30 rows")
    assert tiny.metrics["brier"].low is None
    assert found.to_dict()["slices"][1]["metrics"]["roc_auc"] == {"value": None, "low": None, "high": None}


def test_importance_is_measured_where_the_model_is_given() -> None:
    """With a way to predict, importance is part of the evaluation; without, it is empty."""
    config = task_config("binary")
    contract = task_contract(config)
    y, output = binary_sample(300, 1)

    def predict(frame: pd.DataFrame) -> Floats:
        return binary_sample(len(frame), 1)[1]

    found = evaluate(y, output, credit_frame(300, 1), contract, config, predict)
    assert {item.feature for item in found.importance} == set(contract.raw_columns)
    assert evaluate(y, output, credit_frame(300, 1), contract, config).importance == ()


def test_the_same_rows_give_the_same_evaluation() -> None:
    """An evaluation depends on its inputs and the configured seed alone."""
    settings = {"slices": ["region"], "resamples": 50}
    first, again = (_evaluation("binary", 400, evaluation=settings).to_dict() for _ in range(2))
    assert json.dumps(first) == json.dumps(again)


def test_six_thousand_rows_take_little_work() -> None:
    """Metrics and slices of a usual holdout: some units of :mod:`tests.work`, bounded far above."""
    with measured() as work:
        _evaluation("binary", 6_000, evaluation={"slices": ["region"]})
    assert work.units < 60


def test_an_unseen_class_has_probability_zero() -> None:
    """A pipeline fitted without one of the contract's classes leaves that class's column zero."""
    config = task_config("multiclass")
    frame = credit_frame(10, 1)
    pipeline = DummyClassifier(strategy="prior").fit(frame, np.tile([0, 2], 5))
    output = predict_output(pipeline, frame, task_contract(config))
    np.testing.assert_array_equal(output, np.tile([0.5, 0, 0.5], (10, 1)))


def test_numbers_are_one_per_row() -> None:
    """A regressor that answers in a column of its own gives a plain vector."""
    config = task_config("regression")
    frame = pd.DataFrame({"income": np.arange(6.0)})
    pipeline = LinearRegression().fit(frame, np.arange(6.0).reshape(-1, 1))
    output = predict_output(pipeline, frame, task_contract(config))
    assert output.shape == (6,)


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_no_rows_have_no_predictions(task: str) -> None:
    """A frame without rows gets an answer of the right shape, though scikit-learn's steps refuse such a frame."""
    contract, frame = task_contract(task_config(task)), pd.DataFrame({"age": np.arange(30.0)})
    y = np.arange(30) % max(2, len(contract.classes))
    pipeline = make_pipeline(SimpleImputer(), LogisticRegression() if contract.classes else LinearRegression())
    output = predict_output(pipeline.fit(frame, y), frame.iloc[:0], contract)
    assert output.shape == predict_output(pipeline, frame, contract)[:0].shape


def test_predictions_that_are_no_numbers_are_refused() -> None:
    """NaN or infinity in a prediction names the estimator and the number of rows."""

    class Diverged:
        def predict(self, frame: pd.DataFrame) -> Floats:
            return np.where(np.arange(len(frame)) < 3, np.inf, 0.0)

    with pytest.raises(TrainingError, match="NaN or infinity in 3 of 10 rows from Diverged"):
        predict_output(Diverged(), credit_frame(10, 1), task_contract(task_config("regression")))


def test_an_estimator_without_probabilities_is_refused() -> None:
    """A classifier that only names classes cannot be calibrated or ranked."""
    with pytest.raises(TrainingError, match="predict_proba, found RidgeClassifier"):
        predict_output(RidgeClassifier(), credit_frame(10, 1), task_contract(task_config("binary")))
