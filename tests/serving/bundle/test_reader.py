"""A bundle is read only if it is, byte for byte, what was registered, and nothing in it is believed."""

from __future__ import annotations

import json
import os
import shutil
import tracemalloc
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
from serving.bundle.reader import MANIFEST, PIPELINE, load_contract, read_manifest, verified
from tasks.registry.bundle import Bundle
from tests.serving.bundles import (
    DATED,
    TRUSTED,
    answers,
    copied,
    flip,
    make_bundle,
    regression,
    reseal,
    rewrite_pipeline,
    write_manifest,
)
from tests.tasks.registration import FRAME, fit_pipeline, logistic_pipeline

Spoil = Callable[[Path], object]


def _link(folder: Path) -> None:
    """Put a link to the same content in a file's place."""
    original = folder.with_name("elsewhere.md")
    (folder / "lineage.json").rename(original)
    (folder / "lineage.json").symlink_to(original)


def _link_folder(folder: Path) -> None:
    (folder / "plots").rename(folder.with_name("plots"))
    (folder / "plots").symlink_to(folder.with_name("plots"))


def _fifo(folder: Path) -> None:
    (folder / "lineage.json").unlink()
    os.mkfifo(folder / "lineage.json")


def _lengthen(folder: Path) -> None:
    (folder / "MLmodel").write_bytes((folder / "MLmodel").read_bytes() + b"#")


def _truncate(folder: Path) -> None:
    (folder / PIPELINE).write_bytes((folder / PIPELINE).read_bytes()[:-1])


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        pytest.param(_truncate, "model.skops is not what was registered: expected .* bytes", id="truncated"),
        pytest.param(_lengthen, "MLmodel is not what", id="longer"),
        pytest.param(lambda folder: (folder / "code.py").write_text("1"), "does not list: 'code.py'", id="added"),
        pytest.param(lambda folder: (folder / "plots" / "x").write_text(""), "not list: 'plots/x'", id="added below"),
        pytest.param(lambda folder: (folder / "contract.json").unlink(), "lacks 'contract.json'", id="deleted"),
        pytest.param(lambda folder: shutil.rmtree(folder / "plots"), "lacks 'plots/roc.svg'", id="folder deleted"),
        pytest.param(lambda folder: (folder / "MLmodel").rename(folder / "mlmodel"), "lacks 'MLmodel'", id="renamed"),
        pytest.param(_link, "lineage.json' is a link", id="linked"),
        pytest.param(_link_folder, "plots' is a link", id="linked folder"),
        pytest.param(_fifo, "lineage.json' is a link or a device", id="pipe"),
        pytest.param(lambda folder: (folder / MANIFEST).unlink(), "no file manifest.json", id="no manifest"),
        pytest.param(lambda folder: flip(folder / MANIFEST, 40), "not the one that was registered", id="manifest"),
        pytest.param(lambda folder: reseal(folder, model="other"), "not the one that was", id="resealed"),
        pytest.param(shutil.rmtree, "no file manifest.json", id="gone"),
    ],
)
def test_whatever_changed_is_found_and_named(tmp_path: Path, graph_bundle: Bundle, spoil: Spoil, says: str) -> None:
    """Each way to spoil a bundle is refused with the file and the remedy."""
    folder = copied(graph_bundle, tmp_path)
    spoil(folder)
    with pytest.raises(BundleError, match=f"(?s){says}.*train again"):
        load_predictor(folder, graph_bundle.manifest_sha256, TRUSTED)


def test_a_flipped_bit_anywhere_is_found(tmp_path: Path, graph_bundle: Bundle) -> None:
    """In every file, at the start, at the end and at places in between."""
    folder = copied(graph_bundle, tmp_path)
    places = np.random.default_rng(0)
    for name in graph_bundle.files:
        original = (folder / name).read_bytes()
        for place in (0, -1, *places.integers(0, 1 << 30, 8).tolist()):
            flip(folder / name, place)
            with pytest.raises(BundleError, match=r"not (what|the one that) was registered"):
                verified(folder, graph_bundle.manifest_sha256)
            (folder / name).write_bytes(original)
    assert verified(folder, graph_bundle.manifest_sha256).model == "credit"


def test_another_version_does_not_pass_for_this_one(tmp_path: Path, graph_bundle: Bundle, plain_bundle: Bundle) -> None:
    """Neither its manifest nor all of its files, sound as they are."""
    folder = copied(graph_bundle, tmp_path)
    shutil.copy(plain_bundle.folder / MANIFEST, folder / MANIFEST)
    with pytest.raises(BundleError, match="not the one that was registered"):
        verified(folder, graph_bundle.manifest_sha256)
    with pytest.raises(BundleError, match=r"lacks|contains files"):
        verified(folder, plain_bundle.manifest_sha256)
    with pytest.raises(BundleError, match="not the one that was registered"):
        verified(plain_bundle.folder, graph_bundle.manifest_sha256)


def test_a_sound_bundle_says_what_it_is(graph_bundle: Bundle) -> None:
    """The manifest names model, run and files; the contract is the pipeline's."""
    manifest = verified(graph_bundle.folder, graph_bundle.manifest_sha256)
    assert (manifest.format, manifest.model, manifest.run_key) == (1, "credit", "a" * 64)
    assert set(manifest.by_path) == set(graph_bundle.files) - {MANIFEST}
    assert load_contract(graph_bundle.folder) == logistic_pipeline()[1]


@pytest.mark.parametrize(
    "path", ["../outside", "/etc/hostname", "plots/../../x", "a//b", "./a", "", "a\0b", "a\\b", "manifest.json", "."]
)
def test_a_path_that_leaves_the_bundle_is_refused(tmp_path: Path, graph_bundle: Bundle, path: str) -> None:
    """Even in a manifest whose hash is the expected one, and before anything is looked at."""
    folder = copied(graph_bundle, tmp_path)
    digest = reseal(folder, files=[{"path": path, "sha256": "0" * 64, "size": 1}])
    with pytest.raises(BundleError, match="paths outside the bundle"):
        verified(folder, digest)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "has a format that this version of Perennial does not read"),
        ("[]", "has a format that this version of Perennial does not read"),
        ("[" * 10_000, "has a format that this version of Perennial does not read"),
        (
            '{"format": 2, "model": "credit", "run_key": "a", "data_version": "d", "files": []}',
            "format: Input should be",
        ),
        ('{"format": 1, "model": "credit", "run_key": "a", "files": []}', "data_version: "),
        ('{"format": 1, "model": "m", "run_key": "a", "data_version": "d", "files": [], "loader": "os"}', "loader: "),
        (
            '{"format": 1, "model": "m", "run_key": "a", "data_version": "d", '
            '"files": [{"path": "a", "sha256": "", "size": 1}, {"path": "a", "sha256": "", "size": 1}]}',
            "names a file twice",
        ),
        (" " * 17_000_000, "at most 16,000,000 bytes"),
    ],
)
def test_a_manifest_that_is_none_is_refused(tmp_path: Path, text: str, says: str) -> None:
    """Whatever its hash, it must be of the format this code reads."""
    with pytest.raises(BundleError, match=says):
        read_manifest(tmp_path, write_manifest(tmp_path, text))


@pytest.mark.parametrize("change", [{"task": 3}, {"numeric": "income"}, {"pickled_model": "../x"}])
def test_a_contract_that_is_none_is_refused(tmp_path: Path, graph_bundle: Bundle, change: dict[str, Any]) -> None:
    """Fields of another kind, and fields nobody knows."""
    folder = copied(graph_bundle, tmp_path)
    content = json.loads((folder / "contract.json").read_text())
    (folder / "contract.json").write_text(json.dumps(content | change))
    with pytest.raises(BundleError, match=r"contract\.json has a format"):
        load_contract(folder)


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
    """Whoever asks without a column is told which one."""
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


@pytest.mark.parametrize(
    ("name", "change", "says"),
    [
        ("onnx.json", {"kept": False}, "onnx.json has a format"),
        ("onnx.json", {"inputs": ["age", "income", "region", "owner"]}, "other inputs or outputs"),
        ("onnx.json", {"output": "label"}, "other inputs or outputs"),
        ("contract.json", {"boolean": []}, "one per column of contract.json"),
        ("contract.json", {"classes": ["0", "1", "2"]}, r"expected answers of shape \(300, 3\)"),
    ],
)
def test_documents_that_do_not_fit_the_graph_are_found(
    tmp_path: Path, graph_bundle: Bundle, name: str, change: dict[str, Any], says: str
) -> None:
    """A graph fed with the wrong columns would answer something."""
    folder = copied(graph_bundle, tmp_path)
    (folder / name).write_text(json.dumps(json.loads((folder / name).read_text()) | change))
    with pytest.raises(BundleError, match=says):
        load_predictor(folder, reseal(folder), TRUSTED).predict(FRAME)


@pytest.mark.parametrize("content", [b"", b"no graph", b"\x08\x0a\x3a\x00"])
def test_what_is_no_graph_is_refused(tmp_path: Path, graph_bundle: Bundle, content: bytes) -> None:
    """ONNX Runtime's refusal is an error of the bundle."""
    folder = copied(graph_bundle, tmp_path)
    (folder / "model.onnx").write_bytes(content)
    with pytest.raises(BundleError, match="graph"):
        load_predictor(folder, reseal(folder), TRUSTED)


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


def _deflated(folder: Path) -> None:
    rewrite_pipeline(folder, extra={"zeros.npy": bytes(64_000_000)}, compression=zipfile.ZIP_DEFLATED)


def _deflated_and_silent_about_it(folder: Path) -> None:
    _deflated(folder)
    with zipfile.ZipFile(folder / PIPELINE, "a") as archive:
        archive.writestr("more", b"")
        for entry in archive.filelist:
            entry.file_size = 1


def _named_again_and_again(folder: Path) -> None:
    def change(schema: dict[str, Any]) -> None:
        schema["more"] = [{"file": "zeros.npy"}] * 1000

    rewrite_pipeline(folder, change, extra={"zeros.npy": bytes(100_000)})


def _overlapping(folder: Path) -> None:
    with zipfile.ZipFile(folder / PIPELINE, "a") as archive:
        archive.writestr("zeros.npy", bytes(100_000))
        archive.filelist.extend([archive.getinfo("zeros.npy")] * 1000)


@pytest.mark.parametrize("bomb", [_deflated, _deflated_and_silent_about_it, _named_again_and_again, _overlapping])
def test_an_archive_that_unpacks_to_more_than_it_is_costs_nothing(
    tmp_path: Path, plain_bundle: Bundle, bomb: Spoil
) -> None:
    """Refused before it is unpacked: the memory stays, whether entries are compressed, repeated or on one another."""
    folder = copied(plain_bundle, tmp_path)
    bomb(folder)
    assert (folder / PIPELINE).stat().st_size < 300_000
    load_pipeline(plain_bundle.folder, TRUSTED)  # imports are not what is measured
    tracemalloc.start()
    with pytest.raises(BundleError, match=r"cannot be loaded: ValueError: it has .* bytes and"):
        load_pipeline(folder, TRUSTED)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 3_000_000


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
        _truncate,
        lambda folder: rewrite_pipeline(folder, lambda schema: schema.pop("__class__")),
        lambda folder: rewrite_pipeline(folder, lambda schema: schema.update(protocol=99)),
        lambda folder: rewrite_pipeline(folder, lambda schema: schema.update(__loader__="PickleNode")),
        lambda folder: rewrite_pipeline(folder, lambda schema: _steps(schema).update(content=[])),
        lambda folder: rewrite_pipeline(folder, lambda schema: _steps(schema).update(content=3)),
        _endless,
    ],
)
def test_a_file_that_skops_cannot_read_is_an_error_of_the_bundle(
    tmp_path: Path, plain_bundle: Bundle, spoil: Spoil
) -> None:
    """Whatever skops stumbles over, the caller gets one kind of error."""
    folder = copied(plain_bundle, tmp_path)
    spoil(folder)
    with pytest.raises(BundleError, match=r"model\.skops cannot be loaded|in .*model\.skops, found"):
        load_pipeline(folder, TRUSTED)
