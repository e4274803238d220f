"""Shuffling in the encoder's matrix gives what shuffling the raw column gives."""

from typing import Any

import numpy as np
import pytest

from core.feature_contract import FeatureContract
from core.metrics.importance import REPEATS, permutation_importance
from core.model_inputs import encode_target, prepare
from core.train.estimators import load_estimator
from core.train.pipeline import build_average, build_pipeline
from core.train.shuffling import PipelinePredict
from tests.core.training_rows import training_config, training_rows

BOOSTING = ("sklearn.ensemble.HistGradientBoostingClassifier", {"max_iter": 10})
FOREST = ("sklearn.ensemble.RandomForestClassifier", {"n_estimators": 5})
LINEAR = ("sklearn.linear_model.LogisticRegression", {"max_iter": 1000})


@pytest.mark.parametrize("members", [[BOOSTING], [FOREST], [LINEAR], [BOOSTING, LINEAR]], ids=str)
@pytest.mark.parametrize(("n_regions", "task"), [(4, "binary"), (150, "binary"), (4, "multiclass")])
def test_a_shuffled_column_is_predicted_as_from_its_frame(
    members: list[tuple[str, dict[str, Any]]], n_regions: int, task: str
) -> None:
    """Equal to the last bit: dates of several parts, one-hot levels, mean targets, a column without any value."""
    rows = training_rows(1_200, task, n_regions=n_regions)
    rows.frame["age"] = np.nan
    config = training_config(task, training={"estimator": members[0][0], "params": members[0][1]})
    contract = FeatureContract.of(config, rows.frame["default"].unique().tolist())
    prepared, y = prepare(rows.frame, contract), encode_target(rows.frame["default"], contract)
    if len(members) > 1:
        made = {path.rsplit(".")[-1]: load_estimator(path, params, 0, config.task) for path, params in members}
        pipeline = build_average(contract, prepared, made)
    else:
        pipeline = build_pipeline(config, contract, prepared)
    predict = PipelinePredict(pipeline.fit(rows.frame, y), contract)
    shuffles = np.stack([np.random.default_rng(seed).permutation(300) for seed in range(REPEATS)])
    sample = rows.frame.head(300).reset_index(drop=True)
    output = predict.shuffled(sample, shuffles)
    repeated = sample.take(np.tile(np.arange(300), REPEATS)).reset_index(drop=True)
    for column in contract.raw_columns:
        shuffled = repeated.assign(**{column: sample[column].take(shuffles.ravel()).array})
        np.testing.assert_array_equal(output(column), predict(shuffled))
    by_matrix, by_frame = (
        permutation_importance(way, rows.frame, y, contract, "log_loss", 0)
        for way in (predict, lambda frame: predict(frame))
    )
    assert by_matrix == by_frame
