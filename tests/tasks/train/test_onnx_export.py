"""ONNX graphs are kept only where they compute what the pipeline computes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
    VotingClassifier,
)
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder

import tasks.train.onnx_export as module
from core.contract import PrepareColumns
from core.feature_contract import FeatureContract
from core.model_inputs import prepare
from core.train.calibration import recalibrated
from core.train.pipeline import build_encoder, estimator_need
from tasks.train.onnx_export import OnnxResult, export_onnx

N = 400
HELD_OUT = slice(300, N)


def rows(names: tuple[str, str, str, str, str] = ("x", "z", "kind", "flag", "when")) -> pd.DataFrame:
    """Raw rows of every kind of column, with gaps, and levels that only the newest rows have."""
    generator = np.random.default_rng(3)
    kinds = generator.choice(np.array(["a", "b", "c", None], dtype=object), N)
    kinds[-3:] = "new"
    values: list[Any] = [
        np.where(generator.random(N) < 0.1, np.nan, generator.normal(size=N)),
        1000 * generator.normal(size=N),
        kinds,
        generator.choice(np.array([True, False, None], dtype=object), N),
        pd.date_range("2024-01-01", periods=N, freq="7h").astype("datetime64[us]"),
    ]
    return pd.DataFrame(dict(zip(names, values, strict=True)))


def contract_of(frame: pd.DataFrame, classes: tuple[str, ...]) -> FeatureContract:
    """Contract of the rows' five columns."""
    one, two, kind, flag, when = frame.columns
    task = {0: "regression", 2: "binary"}.get(len(classes), "multiclass")
    return FeatureContract(task, "y", classes, (one, two), (kind,), (flag,), (when,))


def target_of(frame: pd.DataFrame, classes: tuple[str, ...]) -> np.ndarray[Any, Any]:
    """Make a target that follows two columns."""
    signal = frame.iloc[:, 0].fillna(1) + (frame.iloc[:, 2] == "a") + frame.iloc[:, 1] / 1000
    if not classes:
        return signal.to_numpy() * 50 + 300
    return pd.qcut(signal, len(classes), labels=False).to_numpy()


def export(
    estimator: Any, folder: Path, classes: tuple[str, ...] = ("0", "1"), frame: pd.DataFrame | None = None, **given: Any
) -> tuple[OnnxResult, Pipeline, FeatureContract]:
    """Fit on the older rows and export with the newer ones."""
    frame = rows() if frame is None else frame
    contract = contract_of(frame, classes)
    prepared = prepare(frame, contract)
    encode = given.get("encode") or build_encoder(contract, prepared.head(300), estimator_need(estimator))
    pipeline = Pipeline([("prepare", PrepareColumns(contract.to_dict())), ("encode", encode), ("model", estimator)])
    pipeline.fit(frame.head(300), target_of(frame, classes)[:300])
    held_out = frame[HELD_OUT]
    expected = given.get("expected")
    if expected is None:
        expected = pipeline.predict_proba(held_out) if classes else pipeline.predict(held_out)
    return export_onnx(pipeline, contract, prepared[HELD_OUT], expected, folder), pipeline, contract


def answers(result: OnnxResult, prepared: pd.DataFrame) -> np.ndarray[Any, Any]:
    """Return what the kept graph says, asked as a service would."""
    assert result.path is not None
    session = onnxruntime.InferenceSession(result.path)
    columns = zip(result.inputs, prepared.columns, strict=True)
    return np.asarray(
        session.run([result.output], {name: prepared[[column]].to_numpy() for name, column in columns})[0]
    )


@pytest.mark.parametrize(
    ("estimator", "classes"),
    [
        (HistGradientBoostingClassifier(max_iter=20), ("0", "1")),
        (HistGradientBoostingClassifier(max_iter=10), ("0", "1", "2")),
        (RandomForestClassifier(10, random_state=0), ("0", "1")),
        (GradientBoostingClassifier(n_estimators=10), ("0", "1")),
        (LogisticRegression(), ("0", "1")),
        (LogisticRegression(), ("0", "1", "2")),
        (MLPClassifier((5,), solver="lbfgs", max_iter=1000, random_state=0), ("0", "1")),
        (HistGradientBoostingRegressor(max_iter=20), ()),
        (RandomForestRegressor(10, random_state=0), ()),
        (GradientBoostingRegressor(n_estimators=10), ()),
        (Ridge(), ()),
    ],
    ids=lambda value: str(len(value)) if isinstance(value, tuple) else type(value).__name__,
)
def test_a_graph_with_equal_outputs_is_kept(estimator: Any, classes: tuple[str, ...], tmp_path: Path) -> None:
    """The usual estimators convert, and the kept graph answers like the pipeline, with gaps and unknown levels too."""
    result, pipeline, contract = export(estimator, tmp_path, classes)
    assert result.reason is None
    assert result.max_abs_diff is not None
    assert result.n_rows > 100
    assert list(tmp_path.iterdir()) == [result.path]
    frame = rows()
    expected = pipeline.predict_proba(frame) if classes else pipeline.predict(frame)
    found = answers(result, prepare(frame, contract)).reshape(expected.shape)
    np.testing.assert_allclose(found, expected, atol=2e-5, rtol=1e-5)


@pytest.mark.parametrize("classes", [("0", "1"), ("0", "1", "2")], ids=len)
@pytest.mark.parametrize(
    "estimator",
    [
        HistGradientBoostingClassifier(max_iter=10),
        RandomForestClassifier(10, random_state=0),
        LogisticRegression(class_weight="balanced"),
        VotingClassifier(
            [("a", LogisticRegression()), ("b", LogisticRegression(C=9))], voting="soft", flatten_transform=False
        ),
    ],
    ids=lambda estimator: type(estimator).__name__,
)
def test_a_recalibrated_pipeline_converts(estimator: Any, classes: tuple[str, ...], tmp_path: Path) -> None:
    """The graph holds the sigmoid, and answers like the recalibrated pipeline."""
    _, pipeline, contract = export(estimator, tmp_path, classes)
    frame = rows()
    prepared = prepare(frame, contract)
    X, y = pipeline["encode"].transform(prepared), target_of(frame, classes)
    folds = [(X[:150], y[:150], X[150:300], y[150:300]), (X[150:300], y[150:300], X[:150], y[:150])]
    found = recalibrated(pipeline["model"], folds, contract, "sigmoid")
    pipeline.set_params(model=found.model)
    expected = pipeline.predict_proba(frame)
    result = export_onnx(pipeline, contract, prepared[HELD_OUT], expected[HELD_OUT], tmp_path)
    assert (found.method, result.reason) == ("sigmoid", None)
    np.testing.assert_allclose(answers(result, prepared), expected, atol=2e-5)


def test_equal_models_give_equal_graphs(tmp_path: Path) -> None:
    """The graph's bytes depend on the fitted pipeline alone."""
    graphs = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        result, *_ = export(HistGradientBoostingClassifier(max_iter=5, random_state=0), tmp_path / name)
        assert result.path is not None
        graphs.append(result.path.read_bytes())
    assert graphs[0] == graphs[1]


def test_odd_column_names_are_paired_by_place(tmp_path: Path) -> None:
    """Names that clash once cleaned, markup, quotes and other scripts still reach the right input."""
    frame = rows(("a b", "a_b", "日本 <b>", 'quo"te', "label"))
    result, pipeline, contract = export(HistGradientBoostingClassifier(max_iter=10), tmp_path, frame=frame)
    assert result.reason is None
    np.testing.assert_allclose(
        answers(result, prepare(frame, contract)), pipeline.predict_proba(frame), atol=1e-5, rtol=0
    )


def test_a_silently_wrong_graph_is_refused(tmp_path: Path) -> None:
    """Native categorical features convert without an error and answer wrongly: only the comparison sees it."""
    encode = ColumnTransformer(
        [
            ("rank", OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan), ["kind"]),
            ("numeric", "passthrough", ["x", "z"]),
        ]
    )
    estimator = HistGradientBoostingClassifier(categorical_features=[0], max_iter=20)
    result, *_ = export(estimator, tmp_path, encode=encode)
    assert result.path is None
    assert result.reason is not None
    assert "differs from the pipeline" in result.reason
    assert result.max_abs_diff is not None
    assert result.max_abs_diff > 1e-3
    assert list(tmp_path.iterdir()) == []


def test_gaps_no_holdout_row_has_are_tried_too(tmp_path: Path) -> None:
    """A forest's graph sends gaps down the wrong branch: rows made for the purpose show it."""
    frame = rows()
    frame.loc[300:, "x"] = 0.0
    encode = ColumnTransformer([("numeric", "passthrough", ["x", "z"])])
    result, *_ = export(RandomForestClassifier(20, random_state=0), tmp_path, frame=frame, encode=encode)
    assert result.path is None
    assert result.reason is not None
    assert "differs from the pipeline" in result.reason


def test_an_estimator_without_converter_is_refused_with_its_reason(tmp_path: Path) -> None:
    """What does not convert is no error: the reason is recorded."""

    class Nameless(GaussianNB):  # type: ignore[misc] # scikit-learn ships no types
        """An estimator skl2onnx has never heard of."""

    result, *_ = export(Nameless(), tmp_path)
    assert result.path is None
    assert result.max_abs_diff is None
    assert result.reason is not None
    assert "cannot be converted" in result.reason
    assert result.to_dict()["kept"] is False


def test_a_graph_that_does_not_run_is_refused(tmp_path: Path) -> None:
    """An encoder that converts to a graph which fails on unknown levels is recorded as such."""
    encoder = OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=1, sparse_output=False)
    encode = ColumnTransformer([("levels", encoder, ["kind"]), ("z", "passthrough", ["z"])])
    result, *_ = export(LogisticRegression(), tmp_path, encode=encode)
    assert result.path is None
    assert result.reason is not None


def test_nan_answers_are_refused(tmp_path: Path) -> None:
    """An output that is no number equals nothing, and is recorded as JSON can hold it."""
    result, *_ = export(Ridge(), tmp_path, (), expected=np.full(100, np.nan))
    assert result.path is None
    assert result.max_abs_diff is None


def test_large_models_are_not_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trees and stored rows beyond the bounds are refused before any work."""
    monkeypatch.setattr(module, "MAX_TREE_NODES", 50)
    monkeypatch.setattr(module, "MAX_STORED_ROWS", 50)
    for estimator, part in (
        (RandomForestClassifier(5), "nodes"),
        (GradientBoostingClassifier(n_estimators=20), "nodes"),
        (HistGradientBoostingClassifier(max_iter=20), "nodes"),
        (KNeighborsClassifier(), "300 training rows"),
    ):
        result, *_ = export(estimator, tmp_path)
        assert part in str(result.reason)


def test_a_repeat_replaces_the_graph(tmp_path: Path) -> None:
    """Exporting twice leaves one file."""
    export(LogisticRegression(), tmp_path)
    result, *_ = export(LogisticRegression(C=0.1), tmp_path)
    assert list(tmp_path.iterdir()) == [result.path]
