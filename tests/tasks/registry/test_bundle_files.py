"""Files of a version on this machine are listed and copied as MLflow's store does, without MLflow."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from config.settings import Settings
from core.errors import BundleError
from tasks.registry.bundle_files import BundleFiles, LocalFiles, bundle_files, looks_whole
from tasks.registry.client import artifact_store


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with files, folders, an empty one, links, and odd names."""
    root = tmp_path / "größe & #1"
    (root / "plots" / "deep").mkdir(parents=True)
    (root / "empty").mkdir()
    (root / "MLmodel").write_text("a")
    (root / "plots" / "roc.svg").write_text("<svg/>")
    (root / "plots" / "deep" / "a b").write_bytes(b"x" * 1000)
    (root / "linked").symlink_to(root / "MLmodel")
    (root / "again").symlink_to(root / "plots", target_is_directory=True)
    return root


def listed(store: BundleFiles, folder: str | None) -> dict[str, int | None]:
    """Names and sizes."""
    return {file.path: file.file_size for file in store.list_artifacts(folder)}


@pytest.mark.parametrize("below", [None, "plots", "plots/deep", "again", "empty", "MLmodel", "gone"])
def test_a_folder_is_listed_as_mlflow_lists_it(folder: Path, below: str | None, registry: Settings) -> None:
    """Names are below the root, folders have no size, and what is no folder has no content."""
    theirs = artifact_store(folder.as_uri(), registry)
    ours = bundle_files(folder.as_uri(), registry)
    assert isinstance(ours, LocalFiles)
    assert listed(ours, below) == {file.path: file.file_size for file in theirs.list_artifacts(below)}


def test_files_are_copied_without_their_modes(folder: Path, tmp_path: Path, registry: Settings) -> None:
    """The folder that they are copied into stays private."""
    folder.chmod(0o777)
    target = tmp_path / "target"
    target.mkdir(mode=0o700)
    (folder / "again").unlink()
    bundle_files(folder.as_uri(), registry).download_artifacts("", str(target))
    assert target.stat().st_mode & 0o777 == 0o700
    assert (target / "plots" / "deep" / "a b").read_bytes() == b"x" * 1000
    assert (target / "linked").read_text() == "a"
    assert not (target / "linked").is_symlink()
    one = tmp_path / "one"
    one.mkdir()
    bundle_files(folder.as_uri(), registry).download_artifacts("plots/roc.svg", str(one))
    assert [path.name for path in (one / "plots").iterdir()] == ["roc.svg"]


def test_a_folder_that_is_gone_is_an_error_of_the_disk(tmp_path: Path) -> None:
    """It has no files, and none can be copied."""
    store = LocalFiles(tmp_path / "gone")
    assert store.list_artifacts() == []
    with pytest.raises(OSError, match="gone"):
        store.download_artifacts("manifest.json", str(tmp_path))


def test_files_elsewhere_are_not_looked_at() -> None:
    """A run fetches and verifies them."""
    assert looks_whole("s3://bucket/models/m-1/artifacts", "0" * 64)
    assert not looks_whole("/no/such/folder", "0" * 64)


def _bundle(folder: Path) -> str:
    """Write a bundle of two files, and return the hash of its manifest."""
    folder.mkdir()
    (folder / "model.onnx").write_bytes(b"graph")
    (folder / "card.md").write_bytes(b"")
    files = [
        {"path": path.name, "size": path.stat().st_size, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
        for path in sorted(folder.iterdir())
    ]
    content = json.dumps({"files": files}).encode()
    (folder / "manifest.json").write_bytes(content)
    return hashlib.sha256(content).hexdigest()


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _endless(path: Path) -> None:
    path.unlink()
    path.symlink_to("/dev/zero")


def _huge(path: Path) -> None:
    os.truncate(path, 2**40)


@pytest.mark.parametrize("spoil", [_pipe, _endless, _huge])
@pytest.mark.parametrize("name", ["manifest.json", "model.onnx", "card.md"])
def test_a_file_that_never_ends_is_not_read(tmp_path: Path, name: str, spoil: Callable[[Path], None]) -> None:
    """A pipe, a device and a file of a terabyte in the place of a bundle's file are seen without a wait."""
    folder = tmp_path / "bundle"
    sha256 = _bundle(folder)
    assert looks_whole(str(folder), sha256)
    spoil(folder / name)
    assert not looks_whole(str(folder), sha256)


@pytest.mark.parametrize("spoil", [_pipe, _endless])
@pytest.mark.parametrize("chosen", ["", "model.onnx"])
def test_what_is_no_file_is_not_copied(tmp_path: Path, chosen: str, spoil: Callable[[Path], None]) -> None:
    """A device would fill the disk."""
    _bundle(tmp_path / "bundle")
    spoil(tmp_path / "bundle" / "model.onnx")
    target = tmp_path / "target"
    target.mkdir()
    with pytest.raises(BundleError, match="is no regular file"):
        LocalFiles(tmp_path / "bundle").download_artifacts(chosen, str(target))
    assert not (target / "model.onnx").exists()
