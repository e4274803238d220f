"""Earlier states of batches: in the cache, in remotes of the project and elsewhere, in snapshots."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from config.settings import Settings
from core.errors import DataVersionError
from tasks.erasure.forget import ForgetRequest, forget
from tasks.versions.snapshots import lay_out_snapshot, snapshot_folders
from tasks.versions.versions import data_history, restore_data, version_data, write_batch
from tasks.versions.working_copy import file_md5
from tests.factories import credit_config, make_project
from tests.tasks.erasure.projects import KEY, fill, forgotten, numbers, traces, train_on
from tests.tasks.versions.staging import credit_rows, stage

MODELS = ("credit", "churn")


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


def test_an_object_that_another_model_needs_stays(tmp_path: Path) -> None:
    """Two models read the same source; each forgets for itself, and with the second one the last copy goes."""
    settings = make_project(tmp_path)
    fill(settings)
    add_churn(settings)
    outcome = forgotten(settings)
    assert "cache objects" not in numbers(outcome)
    assert [one.n for one in outcome.remaining if one.what == "data object"] == [2]
    shutil.rmtree(settings.root / "data" / "churn")
    assert len(restore_data("churn", "latest", settings)) == 1
    again = forget(ForgetRequest("churn", KEY), settings)
    assert {"rows of batches": 2, "cache objects": 1, "remote objects": 1}.items() <= numbers(again).items()
    assert traces(settings) == []


def add_churn(settings: Settings) -> None:
    """Add a model over the rows of the second batch of the first one."""
    churn = credit_config(model="churn")
    content = churn.model_dump(mode="json", exclude_none=True)
    (settings.root / "config" / "models" / "churn.yaml").write_text(json.dumps(content))
    staged = stage([*credit_rows(40, 60), *credit_rows(60, 62, id=KEY), *credit_rows(62, 70)], settings.var)
    write_batch(staged, churn, settings)
    staged.path.unlink()
    batches = [next((settings.root / "data" / name).glob(f"*-{staged.fingerprint[:12]}.parquet")) for name in MODELS]
    assert file_md5(batches[0]) == file_md5(batches[1])
    version_data(churn, settings)
