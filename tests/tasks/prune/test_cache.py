"""Objects of DVC's cache that the remote has and nothing needs."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from config.settings import RetentionSettings, Settings
from core.data.version import tree_version
from core.references import DataVersion
from core.retention.items import expired
from store.database import open_database
from tasks.prune.cache import Needs, old_objects
from tasks.versions.versions import lay_out_snapshot, restore_data, version_data, write_batch
from tests.factories import credit_config, make_project
from tests.tasks.prune.files import age
from tests.tasks.versions.staging import batch_files, credit_rows, stage

CREDIT = credit_config()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Make an empty project."""
    return make_project(tmp_path)


@pytest.fixture
def versions(settings: Settings, tmp_path: Path) -> list[DataVersion]:
    """Version four deliveries whose objects are 50 days old."""
    found = []
    for last in (50, 60, 70, 80):
        write_batch(stage(credit_rows(0, last), tmp_path), CREDIT, settings)
        found.append(version_data(CREDIT, settings))
    for path in cached(settings):
        age(path, 50)
    return found


def cached(settings: Settings) -> list[Path]:
    """Objects of the cache."""
    return sorted(path for path in (settings.root / ".dvc" / "cache").rglob("*") if path.is_file())


def removed(settings: Settings, *needed: str, days: float = 30) -> int:
    """Remove what may go, and return how many objects it was."""
    needs = Needs(frozenset(needed), ("credit",))
    retention = RetentionSettings().model_copy(update={"cache_days": days})
    findings = old_objects(needs, settings, open_database(settings.database_url), retention)
    gone = set(expired((found.item for found in findings.found), findings.rule, datetime.now(UTC)))
    for found in findings.found:
        if found.item in gone:
            found.remove()
    return len(gone)


def test_old_trees_go_and_what_the_newest_version_has_stays(settings: Settings, versions: list[DataVersion]) -> None:
    """Batches are shared by all later versions; each old version has a tree of its own, and one for ``data/``."""
    before = len(cached(settings))
    assert removed(settings, days=60) == 0
    assert removed(settings) == 6
    assert removed(settings) == 0
    assert len(cached(settings)) == before - 6
    snapshot = lay_out_snapshot("credit", versions[-1].version, settings)
    assert snapshot.n_batches == 4


def test_a_needed_version_stays(settings: Settings, versions: list[DataVersion]) -> None:
    """That of a champion, and one that is laid out."""
    lay_out_snapshot("credit", versions[1].version, settings)
    assert removed(settings, versions[0].version) == 4
    names = {path.parent.name + path.name for path in cached(settings)}
    assert {versions[0].version, versions[1].version, versions[3].version} <= names
    assert versions[2].version not in names


def test_a_removed_version_comes_back_from_the_remote(settings: Settings, versions: list[DataVersion]) -> None:
    """Nothing is lost: the remote is never touched."""
    remote = sorted(path for path in (settings.var / "dvc-remote").rglob("*") if path.is_file())
    assert removed(settings) == 6
    assert remote == sorted(path for path in (settings.var / "dvc-remote").rglob("*") if path.is_file())
    restore_data("credit", versions[0].version, settings)
    (content,) = batch_files(settings).values()
    assert tree_version({f"{path.name}": _md5(content) for path in _batches(settings)}) == versions[0].version


def test_what_the_remote_lacks_stays(settings: Settings, versions: list[DataVersion]) -> None:
    """Also an object of another size, which was cut."""
    for number, name in enumerate((versions[0].version, versions[1].version)):
        path = settings.var / "dvc-remote" / "files" / "md5" / name[:2] / name[2:]
        path.chmod(0o644)
        os.truncate(path, 3) if number else path.unlink()
    assert removed(settings) == 4


def test_objects_of_others_stay(settings: Settings, versions: list[DataVersion]) -> None:
    """The project may use DVC for files of its own, which only ``dvc gc`` may remove."""
    assert versions
    other = settings.root / ".dvc" / "cache" / "files" / "md5" / "ab" / ("c" * 30)
    other.parent.mkdir(exist_ok=True)
    other.write_text("mine")
    age(other, 500)
    removed(settings)
    assert other.exists()


def _batches(settings: Settings) -> list[Path]:
    return list((settings.root / "data" / "credit").glob("*.parquet"))


def _md5(content: bytes) -> str:
    import hashlib

    return hashlib.md5(content, usedforsecurity=False).hexdigest()
