"""A loaded bundle answers whole frames, and builds no type that is not on our list."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from copy import copy
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from core.errors import BundleError, SchemaError
from core.train.trust import TRUSTED_TYPES
from serving.bundle.predictor import load_pipeline, load_predictor
from serving.bundle.reader import PIPELINE
from tasks.registry.bundle import Bundle
from tests.serving.bundles import (
    DATED,
    TRUSTED,
    answers,
    copied,
    make_bundle,
    regression,
    reseal,
    rewrite_pipeline,
)
from tests.tasks.registration import FRAME, fit_pipeline, logistic_pipeline


def test_a_classifier_answers_by_its_graph(graph_bundle: Bundle) -> None:
    """Where there is a graph, ONNX Runtime gives the pipeline's probabilities, in any number of rows."""
    predictor = load_predictor(graph_bundle.folder, graph_bundle.manifest_sha256, TRUSTED)
    assert predictor.kind == "onnx"
    rows = pd.concat([FRAME] * 8, ignore_index=True)
    found = predictor.predict(rows)
    assert (found.shape, found.dtype) == ((2400, 2), np.dtype("float64"))
    np.testing.assert_allclose(found, answers(logistic_pipeline(), rows), atol=1e-6)
    # Sums over a batch are blocked in another order than over one row, and their last bits differ.
    np.testing.assert_allclose(predictor.predict(FRAME.iloc[[7]]), found[[7]], rtol=1e-6)
    assert predictor.predict(FRAME.iloc[:0]).shape == (0, 2)


def test_a_classifier_without_a_graph_answers_by_its_pipeline(plain_bundle: Bundle) -> None:
    """The stored pipeline is what training had in memory."""
    predictor = load_predictor(plain_bundle.folder, plain_bundle.manifest_sha256, TRUSTED)
    assert predictor.kind == "skops"
    np.testing.assert_array_equal(predictor.predict(FRAME), answers(logistic_pipeline(), FRAME))
    assert predictor.predict(FRAME.iloc[:0]).shape == (0, 2)


def test_a_regression_answers_numbers(regression_bundle: Bundle) -> None:
    """One value per row, dates included, by graph and by pipeline."""
    predictor = load_predictor(regression_bundle.folder, regression_bundle.manifest_sha256, TRUSTED)
    expected = answers(regression(), DATED)
    assert (predictor.kind, predictor.predict(DATED).shape) == ("onnx", (300,))
    np.testing.assert_allclose(predictor.predict(DATED), expected, rtol=1e-5)
    np.testing.assert_array_equal(load_pipeline(regression_bundle.folder, TRUSTED).predict(DATED), expected)


def test_rows_without_a_column_are_refused(graph_bundle: Bundle) -> None:
    """The message names the columns that are missing."""
    predictor = load_predictor(graph_bundle.folder, graph_bundle.manifest_sha256, TRUSTED)
    with pytest.raises(SchemaError, match="region, owner"):
        predictor.predict(FRAME[["income", "age"]])


def test_answers_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    """A pipeline that answers NaN is no model, by whichever way it is asked."""
    pipeline, contract = fit_pipeline(LogisticRegression())
    bundle = make_bundle(tmp_path / "bundle", (pipeline, contract), graph=True)
    output = answers((pipeline, contract), FRAME)
    plain = make_bundle(tmp_path / "plain", (_with_nan(pipeline), contract), graph=False, output=output)
    with pytest.raises(BundleError, match="NaN or infinity in 300 of 300 rows"):
        load_predictor(plain.folder, plain.manifest_sha256, TRUSTED).predict(FRAME)
    (bundle.folder / "model.onnx").write_bytes(_nan_graph((bundle.folder / "model.onnx").read_bytes()))
    with pytest.raises(BundleError, match="NaN or infinity in 300 of 300 rows"):
        load_predictor(bundle.folder, reseal(bundle.folder), TRUSTED).predict(FRAME)


def _with_nan(pipeline: Any) -> Any:
    spoilt = copy(pipeline)
    model = copy(pipeline.steps[-1][1])
    model.coef_ = np.full_like(model.coef_, np.nan)
    spoilt.steps = [*pipeline.steps[:-1], ("model", model)]
    return spoilt


def _nan_graph(content: bytes) -> bytes:
    import onnx

    graph = onnx.load_model_from_string(content)
    for node in graph.graph.node:
        for attribute in node.attribute:
            if attribute.name == "coefficients":
                attribute.floats[:] = [float("nan")] * len(attribute.floats)
    spoilt: bytes = graph.SerializeToString()
    return spoilt


def test_a_pipeline_of_another_contract_is_refused(tmp_path: Path, plain_bundle: Bundle) -> None:
    """Its columns would be taken for others."""
    folder = copied(plain_bundle, tmp_path)
    content = json.loads((folder / "contract.json").read_text())
    (folder / "contract.json").write_text(json.dumps(content | {"numeric": ["age", "income"]}))
    with pytest.raises(BundleError, match="trained with another contract"):
        load_predictor(folder, reseal(folder), TRUSTED)


@pytest.mark.parametrize(
    ("module", "name"),
    [("os", "system"), ("builtins", "eval"), ("tests.serving.bundle.marker", "Marker"), ("subprocess", "Popen")],
)
def test_foreign_types_are_named_and_never_touched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, plain_bundle: Bundle, module: str, name: str
) -> None:
    """A forged pipeline neither builds nor imports anything that is not on our list, whatever the bundle lists."""
    folder = copied(plain_bundle, tmp_path)
    marker = tmp_path / "marker"
    monkeypatch.setenv("PERENNIAL_TEST_MARKER", str(marker))

    def change(schema: dict[str, Any]) -> None:
        schema["__module__"], schema["__class__"] = module, name

    rewrite_pipeline(folder, change)
    flavor = folder / "MLmodel"
    flavor.write_text(
        flavor.read_text().replace("skops_trusted_types:", f"skops_trusted_types:\n    - {module}.{name}")
    )
    with pytest.raises(
        BundleError, match=rf"not on the list of trusted types: .*{module}\.{name}.*training.trusted_types"
    ):
        load_predictor(folder, reseal(folder), TRUSTED)
    assert not marker.exists()


def test_a_type_loads_once_it_is_trusted(tmp_path: Path) -> None:
    """The list is the caller's: without trees on it no forest loads."""
    bundle = make_bundle(tmp_path / "bundle", fit_pipeline(RandomForestClassifier(3)), graph=False)
    without = [name for name in TRUSTED_TYPES if name != "sklearn.tree._tree.Tree"]
    with pytest.raises(BundleError, match=r"sklearn\.tree\._tree\.Tree"):
        load_pipeline(bundle.folder, without)
    assert load_pipeline(bundle.folder, TRUSTED).predict_proba(FRAME).shape == (300, 2)


@pytest.mark.parametrize(
    ("value", "says"),
    [({"a": 1}, "found a dict"), (LogisticRegression(), "found a LogisticRegression")],
)
def test_what_is_no_pipeline_of_ours_is_refused(tmp_path: Path, value: object, says: str) -> None:
    """Much that skops loads answers nothing."""
    skops.io.dump(value, tmp_path / PIPELINE)
    with pytest.raises(BundleError, match=says):
        load_pipeline(tmp_path, TRUSTED)


def _steps(schema: dict[str, Any]) -> dict[str, Any]:
    steps: dict[str, Any] = schema["content"]["content"]["steps"]
    return steps


def _endless(folder: Path) -> None:
    with zipfile.ZipFile(folder / PIPELINE, "w") as archive:
        archive.writestr("schema.json", b"[" * 100_000)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda folder: (folder / PIPELINE).unlink(),
        lambda folder: (folder / PIPELINE).write_bytes(b""),
        lambda folder: (folder / PIPELINE).write_bytes((folder / PIPELINE).read_bytes()[:-1]),
        lambda folder: rewrite_pipeline(folder, lambda schema: schema.pop("__class__")),
        lambda folder: rewrite_pipeline(folder, lambda schema: schema.update(protocol=99)),
        lambda folder: rewrite_pipeline(folder, lambda schema: schema.update(__loader__="PickleNode")),
        lambda folder: rewrite_pipeline(folder, lambda schema: _steps(schema).update(content=[])),
        lambda folder: rewrite_pipeline(folder, lambda schema: _steps(schema).update(content=3)),
        _endless,
    ],
)
def test_a_file_that_skops_cannot_read_is_an_error_of_the_bundle(
    tmp_path: Path, plain_bundle: Bundle, spoil: Callable[[Path], object]
) -> None:
    """Whatever skops stumbles over, the caller gets one kind of error."""
    folder = copied(plain_bundle, tmp_path)
    spoil(folder)
    with pytest.raises(BundleError, match=r"model\.skops cannot be loaded|in .*model\.skops, found"):
        load_pipeline(folder, TRUSTED)
