"""Every pipeline built here must convert to ONNX with equal outputs, gaps and unknown levels included."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.base import BaseEstimator
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier, VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.neural_network import MLPClassifier

from core.feature_contract import FeatureContract
from core.metrics.evaluation import predict_output
from core.model_inputs import encode_target, prepare
from core.train.pipeline import FAR_BELOW, build_encoder, build_pipeline, estimator_need
from tasks.train.onnx_export import export_onnx
from tests.core.training_rows import training_config, training_rows

ESTIMATORS = [
    ("binary", "sklearn.ensemble.HistGradientBoostingClassifier", {"max_iter": 20}),
    ("binary", "sklearn.ensemble.RandomForestClassifier", {"n_estimators": 20}),
    ("binary", "sklearn.linear_model.LogisticRegression", {"max_iter": 1000}),
    ("multiclass", "sklearn.ensemble.HistGradientBoostingClassifier", {"max_iter": 20}),
    ("multiclass", "sklearn.linear_model.LogisticRegression", {"max_iter": 1000}),
    ("regression", "sklearn.ensemble.HistGradientBoostingRegressor", {"max_iter": 20}),
    ("regression", "sklearn.ensemble.RandomForestRegressor", {"n_estimators": 20}),
    ("regression", "sklearn.linear_model.Ridge", {}),
]


def contract_of(rows: Any, task: str) -> FeatureContract:
    """Return the contract the rows' own labels give."""
    labels = () if task == "regression" else rows.frame["default"].unique().tolist()
    return FeatureContract.of(training_config(task), labels)


@pytest.mark.parametrize("n_regions", [4, 60])
@pytest.mark.parametrize(("task", "path", "params"), ESTIMATORS)
def test_pipeline_converts_with_equal_outputs(
    task: str, path: str, params: dict[str, Any], n_regions: int, tmp_path: Path
) -> None:
    """The graph says what the pipeline says, for few and for many levels."""
    rows = training_rows(2000, task, n_regions=n_regions)
    config = training_config(task, training={"estimator": path, "params": params})
    contract = contract_of(rows, task)
    prepared, y = prepare(rows.frame, contract), encode_target(rows.frame["default"], contract)
    pipeline = build_pipeline(config, contract, prepared.head(1200))
    pipeline.fit(rows.frame.head(1200), y[:1200])
    held = rows.frame.tail(800)
    result = export_onnx(pipeline, contract, prepared.tail(800), predict_output(pipeline, held, contract), tmp_path)
    assert result.reason is None
    assert result.max_abs_diff is not None
    assert result.max_abs_diff < 1e-5


@pytest.mark.parametrize(
    ("estimator", "need"),
    [
        (HistGradientBoostingClassifier(), "gaps"),
        (RandomForestClassifier(), "trees"),
        (LogisticRegression(), "scales"),
        (MLPClassifier(), "scales"),
        (CalibratedClassifierCV(RandomForestClassifier()), "trees"),
        (CalibratedClassifierCV(HistGradientBoostingClassifier()), "trees"),
        (VotingClassifier([("a", RandomForestClassifier()), ("b", LogisticRegression())]), "scales"),
    ],
)
def test_need_follows_the_estimator(estimator: BaseEstimator, need: str) -> None:
    """Wrappers need what the estimators inside them need."""
    assert estimator_need(estimator) == need


def test_encoded_values_are_what_they_say() -> None:
    """Gaps pass, fall far below, or become the median; ranks go by frequency, an unknown level is a gap or -1."""
    rows = training_rows(500)
    contract = contract_of(rows, "binary")
    prepared, y = prepare(rows.frame, contract), encode_target(rows.frame["default"], contract)
    gaps = np.isnan(prepared["income"].to_numpy())
    strange = prepared.assign(region="never seen")
    encoded = {need: build_encoder(contract, prepared, need).fit(prepared, y) for need in ("gaps", "trees", "scales")}
    assert np.isnan(encoded["gaps"].transform(prepared)[gaps, 0]).all()
    assert (encoded["trees"].transform(prepared)[gaps, 0] == np.float32(FAR_BELOW)).all()
    assert len(set(encoded["scales"].transform(prepared)[gaps, 0])) == 1
    assert np.isnan(encoded["gaps"].transform(strange)[:, -1]).all()
    assert set(encoded["trees"].transform(strange)[:, -1]) == {-1.0}
    most_frequent = prepared["region"].value_counts().index[0]
    assert set(encoded["gaps"].transform(prepared)[(prepared["region"] == most_frequent).to_numpy(), -1]) == {0.0}


def test_encoded_matrix_is_32_bit() -> None:
    """A matrix of a million rows takes half the memory, and the graph computes in 32 bits anyway."""
    rows = training_rows(500)
    contract = contract_of(rows, "binary")
    prepared, y = prepare(rows.frame, contract), encode_target(rows.frame["default"], contract)
    assert build_encoder(contract, prepared, "gaps").fit_transform(prepared, y).dtype == np.float32


def test_target_means_are_out_of_fold() -> None:
    """A level of one row must not tell the row's own target, even when the rows are sorted by it."""
    rows = training_rows(600, n_regions=600)
    frame = rows.frame.sort_values("default", ignore_index=True)
    contract = contract_of(rows, "binary")
    prepared, y = prepare(frame, contract), encode_target(frame["default"], contract)
    means = build_encoder(contract, prepared, "gaps").fit_transform(prepared, y)[:, -1]
    assert abs(np.corrcoef(means, y)[0, 1]) < 0.3


@pytest.mark.parametrize("kind", [HistGradientBoostingClassifier, LogisticRegression])
def test_an_identifier_of_many_levels_is_learnt_from(kind: Any, tmp_path: Path) -> None:
    """By its mean target: 1,000 identifiers with an effect each raise the AUC on new rows, by boosting and linearly.

    The graph has the same predictions, also for levels that are unknown.
    """
    rng = np.random.default_rng(0)
    rows = training_rows(8000)
    ids = rng.integers(0, 1000, 8000)
    effect = rng.normal(0, 2, 1000)[ids]
    frame = rows.frame.assign(region=[f"id {code}" for code in ids])
    frame["default"] = np.where(effect + rng.normal(size=8000) > 0, "1", "0")
    scores = []
    choices: list[dict[str, list[str]]] = [{}, {"categorical": []}]
    for features in choices:
        config = training_config(features=features)
        contract = FeatureContract.of(config, ["0", "1"])
        prepared, y = prepare(frame, contract), encode_target(frame["default"], contract)
        pipeline = build_pipeline(config, contract, prepared.head(6000), kind())
        pipeline.fit(frame.head(6000), y[:6000])
        scores.append(roc_auc_score(y[6000:], pipeline.predict_proba(frame.tail(2000))[:, 1]))
        result = export_onnx(
            pipeline, contract, prepared.tail(2000), pipeline.predict_proba(frame.tail(2000)), tmp_path
        )
        assert result.reason is None
    assert scores[0] > 0.8 > 0.6 > scores[1]


def test_features_may_be_of_one_kind() -> None:
    """A model of categories alone, or of numbers alone, is encoded too."""
    rows = training_rows(300)
    kinds: list[dict[str, list[str]]] = [
        {"numeric": [], "boolean": [], "dates": []},
        {"categorical": [], "boolean": [], "dates": []},
    ]
    for features in kinds:
        config = training_config(features=features)
        contract = FeatureContract.of(config, ["0", "1"])
        prepared = prepare(rows.frame, contract)
        pipeline = build_pipeline(config, contract, prepared)
        y = encode_target(rows.frame["default"], contract)
        assert pipeline.fit(rows.frame, y).predict_proba(rows.frame).shape == (300, 2)
