"""Earlier states of batches: in the cache, in remotes of the project and elsewhere, in snapshots."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from config.settings import Settings
from core.errors import DataVersionError
from tasks.versions.snapshots import lay_out_snapshot, snapshot_folders
from tasks.versions.versions import data_history, restore_data
from tests.factories import make_project
from tests.tasks.erasure.projects import KEY, fill, forgotten, numbers, traces, train_on


def named(settings: Settings) -> list[tuple[str, str]]:
    """Forget, and return the copies on remotes that remain."""
    outcome = forgotten(settings)
    return [(one.where, one.why) for one in outcome.remaining if one.what == "remote object"]


def test_snapshots_with_the_rows_go_and_those_of_trainings_stay(tmp_path: Path) -> None:
    """A training's snapshot has no row of the entity here; the other is laid out again from what is left."""
    settings = make_project(tmp_path)
    held = fill(settings)
    for data in (held.trained, held.newest):
        lay_out_snapshot("credit", data.version, settings)
    half = settings.var / "snapshots" / "credit" / ".removed-0123"
    shutil.copytree(snapshot_folders("credit", settings)[0], half)
    assert numbers(forgotten(settings))["snapshots"] == 2
    assert [folder.name for folder in snapshot_folders("credit", settings)] == [held.trained.version[:32]]
    assert not half.exists()
    newest = data_history("credit", settings).versions[-1]
    assert lay_out_snapshot("credit", newest.version, settings).n_rows == 68
    with pytest.raises(DataVersionError, match="cannot be restored"):
        restore_data("credit", held.newest.version, settings)


def test_a_remote_elsewhere_is_named_and_not_touched(tmp_path: Path) -> None:
    """A folder is read; the object is named until it is deleted there."""
    settings = make_project(tmp_path).model_copy(update={"data_remote": str(tmp_path / "elsewhere")})
    fill(settings)
    ((where, why),) = named(settings)
    assert where.startswith(str(tmp_path / "elsewhere" / "files" / "md5"))
    assert "delete it there" in why
    assert traces(settings) == []
    assert named(settings) == [(where, why)]
    Path(where).unlink()
    assert named(settings) == []


def test_objects_that_were_removed_from_the_cache_are_found_on_the_remote(tmp_path: Path) -> None:
    """Retention removes what the remote has."""
    settings = make_project(tmp_path)
    fill(settings)
    shutil.rmtree(settings.root / ".dvc" / "cache")
    restore_data("credit", "latest", settings)
    shutil.rmtree(settings.root / ".dvc" / "cache" / "files")
    outcome = forgotten(settings)
    assert numbers(outcome)["remote objects"] == 1
    assert traces(settings) == []


def test_batches_of_a_database_that_was_lost_are_found(tmp_path: Path) -> None:
    """The trees of data/ in the cache name them; versions that were trained are then not on record."""
    settings = make_project(tmp_path)
    fill(settings)
    forgotten(settings, "k41")
    for path in settings.var.glob("perennial.db*"):
        path.unlink()
    outcome = forgotten(settings)
    assert numbers(outcome)["cache objects"] == 1
    assert [name for name in traces(settings) if "scores" not in name] == []


def test_a_version_whose_data_is_lost_is_named(tmp_path: Path) -> None:
    """What it was trained on cannot be told."""
    settings = make_project(tmp_path)
    held = fill(settings)
    train_on(settings, held.newest.__class__("credit", f"{'0' * 32}.dir", 1, 1, 1, ""), version=9)
    outcome = forgotten(settings)
    assert [one.where for one in outcome.remaining if one.what == "version"] == ["version 9"]
    assert KEY not in str(outcome)
