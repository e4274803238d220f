"""Small bundles that would take gigabytes or hours are refused after little work, in less than 32 MiB."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from core.errors import BundleError
from serving.bundle.reader import MANIFEST, read_manifest
from tasks.registry.bundle import Bundle
from tests.serving.bombs import DOCUMENTS, GRAPHS, PIPELINES
from tests.serving.bundles import copied, reseal, write_manifest
from tests.serving.forgeries import Forge

ROOT = Path(__file__).resolve().parents[3]
MAX_WORK = 30.0
"""In the units of :mod:`tests.work`: about a second of a processor of 2024."""

MAX_MIB = 32.0

Load = Callable[[Path, str], dict[str, Any]]


@pytest.fixture(scope="module")
def load(graph_bundle: Bundle, plain_bundle: Bundle) -> Iterator[Load]:
    """Return what loads a bundle in a process of its own and measures it."""
    sound = [text for bundle in (graph_bundle, plain_bundle) for text in (str(bundle.folder), bundle.manifest_sha256)]
    command = [sys.executable, "-m", "tests.serving.measured_load", *sound]
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    process = subprocess.Popen(
        command, cwd=ROOT, env=os.environ | threads, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )

    def ask(folder: Path, manifest: str) -> dict[str, Any]:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps({"folder": str(folder), "manifest": manifest}) + "\n")
        process.stdin.flush()
        answer: dict[str, Any] = json.loads(process.stdout.readline())
        return answer

    with process:
        yield ask


def _refused(load: Load, bundle: Bundle, tmp_path: Path, forge: Forge) -> None:
    folder = copied(bundle, tmp_path)
    forge(folder)
    manifest = reseal(folder)
    answer = load(folder, manifest)
    assert answer["end"] == "refused", answer
    assert answer["work"] < MAX_WORK, answer
    assert answer["mib"] < MAX_MIB, answer


def test_sound_bundles_load(load: Load, graph_bundle: Bundle, plain_bundle: Bundle) -> None:
    """What measures the bombs loads what is none."""
    for bundle in (graph_bundle, plain_bundle):
        assert load(bundle.folder, bundle.manifest_sha256)["end"] == "loaded"


@pytest.mark.parametrize("name", PIPELINES)
def test_a_pipeline_that_would_grow_is_refused(load: Load, plain_bundle: Bundle, tmp_path: Path, name: str) -> None:
    """By its archive, by its schema, or by what it would have types make that are trusted."""
    _refused(load, plain_bundle, tmp_path, PIPELINES[name])


@pytest.mark.parametrize("name", GRAPHS)
def test_a_graph_that_would_grow_is_refused(load: Load, graph_bundle: Bundle, tmp_path: Path, name: str) -> None:
    """By its operators, by its parts, or by the row it was tried with."""
    _refused(load, graph_bundle, tmp_path, GRAPHS[name])


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_document_that_would_grow_is_refused(load: Load, graph_bundle: Bundle, tmp_path: Path, name: str) -> None:
    """Before it is read, by its bytes."""
    _refused(load, graph_bundle, tmp_path, DOCUMENTS[name])


def test_a_manifest_of_more_than_a_disk_holds_is_refused(tmp_path: Path, graph_bundle: Bundle) -> None:
    """Before a byte of what it names is fetched or hashed."""
    folder = copied(graph_bundle, tmp_path)
    content = json.loads((folder / MANIFEST).read_text())
    content["files"].append({"path": "hole", "sha256": "0" * 64, "size": 1 << 40})
    with pytest.raises(BundleError, match="at most 8,000,000,000 bytes"):
        read_manifest(folder, write_manifest(folder, json.dumps(content)))
