"""A bundle is read only if it is, byte for byte, what was registered, and nothing in it is believed."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.errors import BundleError
from serving.bundle.predictor import load_predictor
from serving.bundle.reader import MANIFEST, PIPELINE, load_contract, read_manifest, verified
from tasks.registry.bundle import Bundle
from tests.serving.bundles import (
    TRUSTED,
    copied,
    flip,
    reseal,
    write_manifest,
)
from tests.tasks.registration import FRAME, logistic_pipeline

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
    with pytest.raises(BundleError, match=f"(?s){says}.*roll back"):
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
