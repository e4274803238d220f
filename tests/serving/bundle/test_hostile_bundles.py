"""Whoever spoils a bundle gets nothing loaded, and the version before goes on answering."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from core.errors import BundleError
from serving.bundle.reader import GRAPH_FACTS
from serving.model.served import EXAMPLE, PROFILE, load_model
from serving.telemetry.metrics import Metrics, ModelMetrics
from tasks.registry.bundle import Bundle
from tests.serving.bundles import TRUSTED, copied, make_bundle, reseal, rewrite_pipeline
from tests.serving.forgeries import (
    CALCULATIONS,
    GRAPHS,
    HARMLESS,
    MARKER_VARIABLE,
    PIPELINES,
    Forge,
    as_attribute,
    node,
)
from tests.serving.mutations import (
    MUTATIONS,
    Draw,
    bundle_of_other,
    changed_somewhere,
    flip_bit,
    link_file,
    pipe_for_file,
    truncate,
)
from tests.serving.running import credit_example, model_state, running
from tests.work import unit_seconds

ROOT = Path(__file__).resolve().parents[3]
N_MUTATIONS = 500
MAX_WORK = 30.0
"""To refuse one, in the units of :mod:`tests.work`: about a second of a processor of 2024."""


@pytest.fixture(scope="module")
def bundles(graph_bundle: Bundle, plain_bundle: Bundle, regression_bundle: Bundle) -> tuple[Bundle, ...]:
    """Return bundles of three kinds."""
    return (graph_bundle, plain_bundle, regression_bundle)


def _load(folder: Path, manifest: str) -> object:
    return load_model(folder, manifest, TRUSTED, name="credit", version=1)


def test_of_500_spoilt_bundles_none_loads(tmp_path: Path, bundles: tuple[Bundle, ...]) -> None:
    """Each is refused with the one kind of error that the service knows, and at once, whatever stands in its place."""
    for bundle in bundles:
        _load(copied(bundle, tmp_path / bundle.manifest_sha256[:8]), bundle.manifest_sha256)
    tried: Counter[str] = Counter()
    unit = unit_seconds()
    for number in range(N_MUTATIONS):
        bundle = bundles[number % len(bundles)]
        others = [other for other in bundles if other is not bundle]
        draw = Draw(np.random.default_rng(number), copied(bundle, tmp_path / str(number)), others)
        mutate = MUTATIONS[(number // len(bundles)) % len(MUTATIONS)]
        mutate(draw)
        began = time.process_time()
        with pytest.raises(BundleError, match=r"train again|roll back"):
            pytest.fail(f"mutation {number}, {mutate.__name__}: {_load(draw.folder, bundle.manifest_sha256)}")
        assert time.process_time() - began < MAX_WORK * unit, f"mutation {number}, {mutate.__name__}"
        tried[mutate.__name__] += 1
        shutil.rmtree(tmp_path / str(number))
    assert (tried.total(), len(tried)) == (N_MUTATIONS, len(set(MUTATIONS)))


@pytest.mark.parametrize("mutate", [flip_bit, truncate, link_file, pipe_for_file, bundle_of_other])
def test_a_spoilt_version_leaves_the_one_before(tmp_path: Path, plain_bundle: Bundle, mutate: object) -> None:
    """The service answers as before, says which version does, and counts what it refused."""
    example = credit_example(tmp_path / "built")
    newer = make_bundle(tmp_path / "newer", graph=True, key="c")
    assert callable(mutate)
    mutate(Draw(np.random.default_rng(0), newer.folder, [plain_bundle]))
    with running(tmp_path, [example.state]) as service:
        before = service.predict("credit", example.rows(3))
        assert before.status_code == 200
        service.publish([model_state(newer, "credit", version=2)])
        after = service.predict("credit", example.rows(3))
        assert (after.status_code, after.json()["version"]) == (200, 1)
        assert _probabilities(after) == _probabilities(before)
        assert service.request("GET", "/health/ready").status_code == 200
        counted = service.samples()
    refused = ("perennial_model_loads_total", (("model", "credit"), ("result", "refused")))
    assert counted[refused] == 1


def _probabilities(response: httpx.Response) -> list[dict[str, float]]:
    return [answer["probabilities"] for answer in response.json()["predictions"]]


def _forged(bundle: Bundle, tmp_path: Path, forge: Forge, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, str, Path]:
    """Forge a copy of a bundle, seal it, and return it with its manifest's hash and the marker it may not make."""
    marker = tmp_path / "marker"
    monkeypatch.setenv(MARKER_VARIABLE, str(marker))
    folder = copied(bundle, tmp_path)
    forge(folder)
    return folder, reseal(folder), marker


@pytest.mark.parametrize("name", PIPELINES)
def test_code_in_a_sealed_pipeline_does_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, plain_bundle: Bundle, name: str
) -> None:
    """Whatever node it hides behind, it is refused before anything is built or imported."""
    folder, manifest, marker = _forged(plain_bundle, tmp_path, PIPELINES[name], monkeypatch)
    with pytest.raises(BundleError):
        _load(folder, manifest)
    assert not marker.exists()


@pytest.mark.parametrize("name", GRAPHS)
def test_code_in_a_sealed_graph_does_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, graph_bundle: Bundle, name: str
) -> None:
    """Nor is a file read that the graph names, or waited for."""
    folder, manifest, marker = _forged(graph_bundle, tmp_path, GRAPHS[name], monkeypatch)
    with pytest.raises(BundleError):
        _load(folder, manifest)
    assert not marker.exists()


@pytest.mark.parametrize("name", CALCULATIONS)
def test_what_a_trusted_function_calculates_is_all_it_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, plain_bundle: Bundle, name: str
) -> None:
    """A forger who can sign may have a model answer anything, by weights or by a function of NumPy's."""
    folder, manifest, marker = _forged(plain_bundle, tmp_path, CALCULATIONS[name], monkeypatch)
    _load(folder, manifest)
    assert not marker.exists()


@pytest.mark.parametrize("name", HARMLESS)
def test_code_beside_the_model_does_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bundles: tuple[Bundle, ...], name: str
) -> None:
    """A bundle that is sealed with it loads, for nothing of it is ever read, and answers as before."""
    for number, bundle in enumerate(bundles):
        (tmp_path / str(number)).mkdir()
        folder, manifest, marker = _forged(bundle, tmp_path / str(number), HARMLESS[name], monkeypatch)
        _load(folder, manifest)
        assert not marker.exists()


def test_another_model_with_a_valid_seal_does_not_load(graph_bundle: Bundle) -> None:
    """The manifest says whose bundle it is."""
    with pytest.raises(BundleError, match="expected a bundle of 'fraud'"):
        load_model(graph_bundle.folder, graph_bundle.manifest_sha256, TRUSTED, name="fraud", version=1)


def test_nothing_is_unpickled(bundles: tuple[Bundle, ...]) -> None:
    """From the first import to the last answer, pickle is asked for no name; the hook would tell."""
    arguments = [text for bundle in bundles for text in (str(bundle.folder), bundle.manifest_sha256)]
    command = [sys.executable, "-m", "tests.serving.audited_load", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout == "[0, 1]", done.stderr


@pytest.mark.parametrize("name", ["contract.json", PROFILE, EXAMPLE, GRAPH_FACTS])
def test_a_sealed_document_of_anything_is_an_error_of_the_bundle(
    tmp_path: Path, graph_bundle: Bundle, name: str
) -> None:
    """Whatever stands in a document's fields, the service gets the error it knows, or a model it can count."""
    folder = copied(graph_bundle, tmp_path)
    original = json.loads((folder / name).read_text()) if (folder / name).exists() else {"prediction": {"edges": [1]}}
    for number in range(150):
        changed = changed_somewhere(original, np.random.default_rng(number))
        (folder / name).write_text(json.dumps(changed))
        manifest = reseal(folder)
        with suppress(BundleError):
            model = load_model(folder, manifest, TRUSTED, name="credit", version=1)
            ModelMetrics(Metrics(), model)


@pytest.mark.parametrize(
    "header",
    [b"{'descr': '<f8', 'fortran_order': False, 'shape': (3,", b"{'descr': '<f8'}", b"  \n x", b"\xff" * 50],
)
def test_an_array_without_a_true_head_is_an_error_of_the_bundle(
    tmp_path: Path, plain_bundle: Bundle, header: bytes
) -> None:
    """NumPy reads it as Python's tokens, and stumbles in Python's own ways."""
    content = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header
    forge = as_attribute(
        lambda: node("NdArrayNode", "numpy.ndarray", type="numpy", file="array"), array=lambda: content
    )
    folder = copied(plain_bundle, tmp_path)
    forge(folder)
    with pytest.raises(BundleError, match=r"model\.skops cannot be loaded"):
        _load(folder, reseal(folder))


@pytest.mark.parametrize("steps", [1, 0])
def test_a_pipeline_of_too_few_steps_is_refused(tmp_path: Path, plain_bundle: Bundle, steps: int) -> None:
    """It is of trusted types, and answers nothing."""

    def change(schema: dict[str, Any]) -> None:
        content = schema["content"]["content"]["steps"]
        content["content"] = content["content"][:steps]

    folder = copied(plain_bundle, tmp_path)
    rewrite_pipeline(folder, change)
    with pytest.raises(BundleError):
        _load(folder, reseal(folder))


def test_a_bundle_without_an_example_is_refused(tmp_path: Path, graph_bundle: Bundle) -> None:
    """Nothing would show that it answers."""
    folder = copied(graph_bundle, tmp_path)
    (folder / EXAMPLE).unlink()
    with pytest.raises(BundleError, match=r"has no input_example\.json"):
        _load(folder, reseal(folder))
