"""Builders of true and of forged bundles."""

from __future__ import annotations

import hashlib
import json
import shutil
import zipfile
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.pipeline import Pipeline

from core.contract import PrepareColumns
from core.feature_contract import FeatureContract
from core.metrics.evaluation import predict_output
from core.metrics.metrics import Floats
from core.model_inputs import prepare
from core.train.pipeline import build_encoder, estimator_need
from core.train.rehearsal import REHEARSAL
from core.train.trust import trusted_types
from serving.bundle.reader import MANIFEST, PIPELINE
from tasks.registry.bundle import Bundle, Document, build_bundle
from tasks.serving.rehearse import rehearsal_table
from tasks.train.onnx_export import export_onnx
from tests.core.samples import task_config
from tests.factories import credit_config
from tests.tasks.registration import FRAME, fit_pipeline, lineage, logistic_pipeline

TRUSTED = trusted_types()
DATED = FRAME.assign(opened=pd.date_range("2024-01-01", periods=len(FRAME), freq="7h").astype("datetime64[us]"))


def make_bundle(
    folder: Path,
    fitted: tuple[Pipeline, FeatureContract] | None = None,
    *,
    graph: bool,
    frame: pd.DataFrame = FRAME,
    key: str = "a",
    output: Floats | None = None,
    model: str = "credit",
    documents: Mapping[str, Document] | None = None,
) -> Bundle:
    """Bundle a pipeline with the rows of its rehearsal, its answers or others, and, where asked for, its graph."""
    pipeline, contract = fitted or logistic_pipeline()
    output = answers((pipeline, contract), frame) if output is None else output
    content: dict[str, Document] = {REHEARSAL: rehearsal_table(frame, output, contract), "plots/roc.svg": "<svg/>"}
    content |= documents or {}
    if graph:
        folder.mkdir(parents=True)
        result = export_onnx(pipeline, contract, prepare(frame, contract), answers((pipeline, contract), frame), folder)
        assert result.path is not None, result.reason
        content |= {"onnx.json": result.to_dict(), "model.onnx": result.path.read_bytes()}
    return build_bundle(folder, pipeline, contract, frame, content, TRUSTED, model=model, lineage=lineage(key))


@cache
def regression() -> tuple[Pipeline, FeatureContract]:
    """Fit a regression that takes every kind of column, once."""
    features = {"numeric": ["income"], "categorical": ["region"], "boolean": ["owner"], "dates": ["opened"]}
    gate = {"metric": "rmse", "floor": 9.0}
    config = credit_config(task="regression", positive=None, gate=gate, features=features)
    return fit_pipeline(HistGradientBoostingRegressor(max_iter=5), config, DATED)


@cache
def multiclass() -> tuple[Pipeline, FeatureContract]:
    """Fit a classifier of three classes, whose names are no numbers, once."""
    contract = FeatureContract.of(task_config("multiclass"), ("good", "fair", "out of \u201cbounds\u201d"))
    levels = pd.cut(FRAME["age"], [0, 38, 58, 100], labels=False).to_numpy()
    classifier = HistGradientBoostingClassifier(max_iter=5)
    encode = build_encoder(contract, prepare(FRAME, contract), estimator_need(classifier))
    steps = [("prepare", PrepareColumns(contract.to_dict())), ("encode", encode), ("model", classifier)]
    return Pipeline(steps).fit(FRAME, levels), contract


def answers(fitted: tuple[Pipeline, FeatureContract], frame: pd.DataFrame) -> Floats:
    """Return what a pipeline says in this process."""
    pipeline, contract = fitted
    return predict_output(pipeline, frame, contract)


def copied(bundle: Bundle, folder: Path) -> Path:
    """Copy a bundle to where it may be spoilt."""
    return Path(shutil.copytree(bundle.folder, folder / "bundle"))


def reseal(folder: Path, **changes: Any) -> str:
    """Write a manifest that fits the files as they are now, as a forger who can sign would; return its hash."""
    manifest = json.loads((folder / MANIFEST).read_text())
    names = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST)
    manifest["files"] = [
        {
            "path": path.relative_to(folder).as_posix(),
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            "size": path.stat().st_size,
        }
        for path in names
    ]
    return write_manifest(folder, json.dumps(manifest | changes))


def write_manifest(folder: Path, text: str) -> str:
    """Put a text in the manifest's place and return its hash."""
    (folder / MANIFEST).write_text(text)
    return hashlib.sha256(text.encode()).hexdigest()


def rewrite_pipeline(
    folder: Path,
    change: Callable[[dict[str, Any]], None] = lambda _: None,
    extra: dict[str, bytes] | None = None,
    compression: int = zipfile.ZIP_STORED,
) -> Path:
    """Change the schema of a stored pipeline, add entries to it, or compress it."""
    path = folder / PIPELINE
    with zipfile.ZipFile(path) as old:
        entries = {name: old.read(name) for name in old.namelist()} | (extra or {})
    schema = json.loads(entries["schema.json"])
    change(schema)
    entries["schema.json"] = json.dumps(schema).encode()
    with zipfile.ZipFile(path, "w", compression) as new:
        for name, content in entries.items():
            new.writestr(name, content)
    return path


def flip(path: Path, place: int) -> None:
    """Flip one bit of a file."""
    content = np.frombuffer(path.read_bytes(), dtype="uint8").copy()
    content[place % len(content)] ^= 1
    path.write_bytes(content.tobytes())
