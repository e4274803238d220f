"""Bytes of batches from DVC's cache and remote: sound, or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from config.settings import Settings
from core.errors import DataVersionError
from store.database import open_database
from tasks.versions.bring_back import bring_back, bring_back_missing, make_sound
from tasks.versions.dvc_stores import DvcStores, open_stores
from tasks.versions.versions import version_data, write_batch
from tests.factories import credit_config
from tests.tasks.versions.staging import batch_files, credit_rows, stage

CREDIT = credit_config()


@pytest.fixture
def version(project: Settings, tmp_path: Path) -> str:
    """Return a data version of two batches, in cache and remote."""
    write_batch(stage(credit_rows(0, 5), tmp_path), CREDIT, project)
    write_batch(stage(credit_rows(5, 9), tmp_path), CREDIT, project)
    return version_data(CREDIT, project).version


@pytest.fixture
def stores(project: Settings, version: str) -> DvcStores:
    """Return the project's cache and remote."""
    assert version
    return open_stores(project, open_database(project.database_url))


def _spoil(path: Path) -> None:
    path.chmod(0o644)
    path.write_bytes(b"spoilt")


def _files(stores: DvcStores, version: str) -> dict[str, str]:
    files = stores.tree(version)
    assert files
    return dict(files)


def _remote_path(project: Settings, md5: str) -> Path:
    return project.var / "dvc-remote" / "files" / "md5" / md5[:2] / md5[2:]


def test_a_damaged_object_is_fetched_again(project: Settings, stores: DvcStores, version: str, tmp_path: Path) -> None:
    """And then copied out as it was registered, beside nothing else."""
    files, before = _files(stores, version), batch_files(project)
    _spoil(stores.cached(next(iter(files.values()))))
    make_sound(stores, files, version)
    bring_back(stores, files, tmp_path / "out")
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before


def test_what_is_damaged_on_both_sides_is_never_brought_back(
    project: Settings, stores: DvcStores, version: str
) -> None:
    """The message names batch and remote, and the cache keeps nothing that is wrong."""
    files = _files(stores, version)
    name, md5 = next(iter(files.items()))
    _spoil(stores.cached(md5))
    _spoil(_remote_path(project, md5))
    with pytest.raises(DataVersionError, match=rf"of its 2 batches, 1 \({name}\) is missing or damaged .*'local'"):
        make_sound(stores, files, version)
    assert not stores.cached(md5).exists()


def test_a_working_copy_without_batches_gets_those_that_are_named(project: Settings, version: str) -> None:
    """One that has a batch is left as it is."""
    assert version
    before = batch_files(project)
    folder = project.root / "data" / "credit"
    for path in folder.iterdir():
        path.unlink()
    bring_back_missing("credit", project)
    assert batch_files(project) == before
    first, second = sorted(folder.iterdir())
    second.unlink()
    bring_back_missing("credit", project)
    assert list(folder.iterdir()) == [first]


def test_a_model_that_the_version_does_not_name_gets_nothing(project: Settings, version: str) -> None:
    """Another model's data is not its own."""
    assert version
    bring_back_missing("churn", project)
    assert not (project.root / "data" / "churn").exists()
