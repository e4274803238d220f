"""What a stored pipeline would cost to read is known from its bytes."""

from __future__ import annotations

import json
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import skops.io
from sklearn.ensemble import RandomForestClassifier

from serving.bundle import archive
from serving.bundle.archive import refuse_bomb
from serving.bundle.reader import PIPELINE
from tasks.registry.bundle import Bundle
from tests.serving.bundles import copied, rewrite_pipeline
from tests.serving.forgeries import Node, as_attribute, listed, node, plain
from tests.tasks.registration import fit_pipeline


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
    tmp_path: Path, plain_bundle: Bundle, bomb: Callable[[Path], object]
) -> None:
    """Refused before it is unpacked: the memory stays, whether entries are compressed, repeated or on one another."""
    folder = copied(plain_bundle, tmp_path)
    bomb(folder)
    assert (folder / PIPELINE).stat().st_size < 400_000
    refuse_bomb(plain_bundle.folder / PIPELINE)  # imports are not what is measured
    tracemalloc.start()
    with pytest.raises(ValueError, match=r"it has .* bytes and"):
        refuse_bomb(folder / PIPELINE)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 3_000_000


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (lambda: node("BytearrayNode", "builtins.bytearray", file="b"), "a BytearrayNode, which takes nine times"),
        (lambda: node("CachedNode", "builtins.int"), "a CachedNode, which no version of skops writes"),
        (
            lambda: node("ObjectNode", "sklearn.feature_extraction.text.CountVectorizer"),
            "a CountVectorizer, which can open files that are named in rows",
        ),
        (lambda: node("NdArrayNode", "numpy.void", type="numpy", file="b"), "an array of the class void"),
        (lambda: listed(plain(1) | {"__id__": 7}, plain("longer") | {"__id__": 7}), "two different nodes with one"),
    ],
)
def test_a_part_that_is_known_for_its_cost_is_named(
    tmp_path: Path, plain_bundle: Bundle, value: Callable[[], Node], says: str
) -> None:
    """Wherever in the pipeline it stands."""
    folder = copied(plain_bundle, tmp_path)
    as_attribute(value)(folder)
    with pytest.raises(ValueError, match=says):
        refuse_bomb(folder / PIPELINE)


def test_the_size_of_a_file_is_bounded(tmp_path: Path, plain_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    """To the byte, before it is opened."""
    path = copied(plain_bundle, tmp_path) / PIPELINE
    monkeypatch.setattr(archive, "MAX_PIPELINE_BYTES", path.stat().st_size)
    refuse_bomb(path)
    with path.open("ab") as file:
        file.write(b"x")
    with pytest.raises(ValueError, match=r"at most [\d,]+ bytes"):
        refuse_bomb(path)


@pytest.mark.parametrize("content", [b"", b"PK", b"no archive" * 100])
def test_what_is_no_archive_is_refused(tmp_path: Path, content: bytes) -> None:
    """By the error of the archive's reader."""
    (tmp_path / PIPELINE).write_bytes(content)
    with pytest.raises(zipfile.BadZipFile):
        refuse_bomb(tmp_path / PIPELINE)


def test_an_archive_without_a_schema_is_refused(tmp_path: Path) -> None:
    """There is nothing that skops could read."""
    with zipfile.ZipFile(tmp_path / PIPELINE, "w") as file:
        file.writestr("other.json", json.dumps({}))
    with pytest.raises(KeyError, match=r"schema\.json"):
        refuse_bomb(tmp_path / PIPELINE)


def test_a_large_forest_is_no_bomb(tmp_path: Path) -> None:
    """Many small trees make the most of the schema, and stay below what is refused."""
    pipeline, _ = fit_pipeline(RandomForestClassifier(500, max_depth=1, random_state=0))
    skops.io.dump(pipeline, tmp_path / "model.skops")
    refuse_bomb(tmp_path / "model.skops")
