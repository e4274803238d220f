"""The bundle: one folder with everything that is registered as one unit."""

from __future__ import annotations

import hashlib
import json
import zipfile
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.preprocessing import FunctionTransformer

from core.errors import StorageError, TrainingError
from core.feature_contract import FeatureContract
from core.train.trust import trusted_types
from tasks.registry.bundle import MANIFEST, Document, build_bundle
from tests.factories import credit_config
from tests.tasks.registration import FRAME, bundle, fit_pipeline, lineage, logistic_pipeline, predictions


class OwnBayes(GaussianNB):  # type: ignore[misc] # scikit-learn ships no types
    """An estimator of a user."""


def build(folder: Path, estimator: Any, trusted: tuple[str, ...] = (), **documents: Any) -> Path:
    """Bundle the pipeline of an estimator."""
    pipeline, contract = fit_pipeline(estimator)
    types = trusted_types(trusted)
    return build_bundle(folder, pipeline, contract, FRAME, documents, types, model="credit", lineage=lineage()).folder


def test_the_manifest_names_every_file_and_what_the_bundle_is(tmp_path: Path) -> None:
    """Each file's hash and size, the model, the run key and the data version stand in the manifest."""
    built = bundle(tmp_path / "bundle", documents={"plots/roc.svg": b"<svg/>"})
    manifest = json.loads((built.folder / MANIFEST).read_text())
    assert {name: manifest[name] for name in ("format", "model", "run_key", "data_version")} == {
        "format": 1,
        "model": "credit",
        "run_key": "a" * 64,
        "data_version": "d" * 32 + ".dir",
    }
    found = {path.relative_to(built.folder).as_posix() for path in built.folder.rglob("*") if path.is_file()}
    assert set(built.files) == found
    assert {entry["path"] for entry in manifest["files"]} == found - {MANIFEST}
    for entry in manifest["files"]:
        content = (built.folder / entry["path"]).read_bytes()
        assert (hashlib.sha256(content).hexdigest(), len(content)) == (entry["sha256"], entry["size"])
    assert built.manifest_sha256 == hashlib.sha256((built.folder / MANIFEST).read_bytes()).hexdigest()


def test_documents_are_written_as_what_they_are(tmp_path: Path) -> None:
    """Values become strict JSON, text and bytes stay, files are copied; contract and lineage come by themselves."""
    graph = tmp_path / "graph"
    graph.write_bytes(b"onnx")
    documents: dict[str, Document] = {"a.json": {"n": np.int64(1), "x": [np.nan]}, "model.onnx": graph}
    folder = bundle(tmp_path / "bundle", documents=documents).folder
    assert json.loads((folder / "a.json").read_text()) == {"n": 1, "x": [None]}
    assert (folder / "card.md").read_text() == "# credit"
    assert (folder / "model.onnx").read_bytes() == b"onnx"
    _, contract = logistic_pipeline()
    assert FeatureContract.from_dict(json.loads((folder / "contract.json").read_text())) == contract
    assert json.loads((folder / "lineage.json").read_text())["data_pointer"] == lineage().data_pointer


def test_a_classifier_answers_probabilities_of_raw_rows(tmp_path: Path) -> None:
    """MLflow loads the folder as it lies and answers raw rows, with gaps, bit for bit like the pipeline."""
    folder = bundle(tmp_path / "bundle").folder
    pipeline, contract = logistic_pipeline()
    expected = predictions(pipeline, contract)
    np.testing.assert_array_equal(mlflow.pyfunc.load_model(str(folder)).predict(FRAME), expected)
    np.testing.assert_array_equal(mlflow.sklearn.load_model(str(folder)).predict_proba(FRAME), expected)


def test_a_regression_answers_numbers_of_raw_rows(tmp_path: Path) -> None:
    """The same for a regression, dates included."""
    features = {"numeric": ["income"], "categorical": ["region"], "boolean": ["owner"], "dates": ["opened"]}
    gate = {"metric": "rmse", "floor": 9.0}
    config = credit_config(task="regression", positive=None, gate=gate, features=features)
    frame = FRAME.assign(opened=pd.Timestamp("2024-05-01T10:00:00").as_unit("us"))
    pipeline, contract = fit_pipeline(HistGradientBoostingRegressor(max_iter=3), config, frame)
    built = build_bundle(
        tmp_path / "bundle", pipeline, contract, frame, {}, trusted_types(), model="credit", lineage=lineage()
    )
    loaded = mlflow.pyfunc.load_model(str(built.folder))
    np.testing.assert_array_equal(loaded.predict(frame), pipeline.predict(frame))
    assert [column.type.name for column in loaded.metadata.signature.inputs] == [
        "double",
        "string",
        "boolean",
        "datetime",
    ]


def test_a_missing_column_is_refused_by_the_signature(tmp_path: Path) -> None:
    """Whoever asks without a column is told which one."""
    loaded = mlflow.pyfunc.load_model(str(bundle(tmp_path / "bundle").folder))
    with pytest.raises(mlflow.MlflowException, match="region"):
        loaded.predict(FRAME.drop(columns="region"))


def test_nothing_is_pickled_and_requirements_are_pinned(tmp_path: Path) -> None:
    """The forest is a skops file, its needs are the installed versions, and nothing is a pickle."""
    folder = build(tmp_path / "bundle", RandomForestClassifier(3))
    assert zipfile.is_zipfile(folder / "model.skops")
    assert not [path for path in folder.iterdir() if path.suffix in {".pkl", ".joblib"}]
    pins = (folder / "requirements.txt").read_text().split()
    assert {pin.partition("==")[0] for pin in pins} >= {"mlflow", "scikit-learn", "skops", "numpy", "pandas"}
    assert all("==" in pin for pin in pins)


def test_the_example_prefers_complete_rows(tmp_path: Path) -> None:
    """Five rows, without gaps where there are such rows."""
    example = json.loads((bundle(tmp_path / "bundle").folder / "input_example.json").read_text())
    assert example["columns"] == ["income", "age", "region", "owner"]
    assert len(example["data"]) == 5
    assert all(value is not None and value == value for row in example["data"] for value in row)


def test_types_outside_the_list_are_named(tmp_path: Path) -> None:
    """A user's own estimator is refused with its type, leaving nothing, until the model file trusts it."""
    name = f"{OwnBayes.__module__}.OwnBayes"
    with pytest.raises(TrainingError, match=rf"trusted_types: \[{name}\]"):
        build(tmp_path / "bundle", OwnBayes())
    assert not (tmp_path / "bundle").exists()
    folder = build(tmp_path / "bundle", OwnBayes(), (name,))
    assert isinstance(mlflow.sklearn.load_model(str(folder)).steps[-1][1], OwnBayes)


def test_what_cannot_be_stored_without_pickle_says_so(tmp_path: Path) -> None:
    """A pipeline that holds a lambda is refused with the reason."""
    pipeline, contract = fit_pipeline(RandomForestClassifier(2))
    pipeline.steps.insert(2, ("own", FunctionTransformer(lambda X: X)))
    with pytest.raises(TrainingError, match="without pickle"):
        build_bundle(tmp_path / "b", pipeline, contract, FRAME, {}, trusted_types(), model="credit", lineage=lineage())


def test_a_repeat_replaces_the_folder(tmp_path: Path) -> None:
    """Files of an earlier attempt, finished or not, are gone."""
    for name in ("bundle", "bundle.part"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "stale").write_text("")
    bundle(tmp_path / "bundle")
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]
    assert not (tmp_path / "bundle" / "stale").exists()


def test_a_disk_that_does_not_take_it_is_named(tmp_path: Path) -> None:
    """A folder that cannot be written is an error people can repair."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot be written"):
        bundle(tmp_path / "file" / "bundle")
