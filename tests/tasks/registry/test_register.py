"""Registration happens exactly once per run key, whatever dies."""

from __future__ import annotations

import json
import multiprocessing
import signal
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pytest
from mlflow import MlflowClient

from config.settings import Settings
from core.errors import StorageError
from store.database import open_database
from store.events import unsent_events
from tasks.registry.client import mlflow_client
from tasks.registry.register import register_bundle
from tasks.registry.versions import find_registered
from tests.factories import make_project
from tests.tasks.registration import (
    CONFIG,
    FRAME,
    bundle,
    lineage,
    logistic_pipeline,
    make_database_and_die,
    predictions,
    register,
    register_and_die,
)

POINTS = [
    ("create_run", "after"),
    ("create_logged_model", "after"),
    ("log_model_artifacts", "before"),
    ("log_model_artifacts", "after"),
    ("finalize_logged_model", "after"),
    ("log_batch", "after"),
    ("log_inputs", "after"),
    ("log_artifact", "after"),
    ("log_artifacts", "after"),
    ("create_registered_model", "after"),
    ("create_model_version", "before"),
    ("create_model_version", "after"),
    ("set_terminated", "after"),
]


def killed(target: Callable[..., None], *arguments: Any) -> bool:
    """Run a function in a process of its own; whether SIGKILL ended it."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.tasks.registration"])
    process = context.Process(target=target, args=arguments)
    process.start()
    process.join()
    return process.exitcode == -signal.SIGKILL


def all_runs(client: MlflowClient) -> list[Any]:
    """List the runs of the model, deleted ones too."""
    experiment = client.get_experiment_by_name("credit")
    view = mlflow.entities.ViewType.ALL
    return list(client.search_runs([experiment.experiment_id], run_view_type=view)) if experiment else []


def test_a_registered_version_has_no_alias_and_no_verdict(registry: Settings, client: MlflowClient) -> None:
    """Who is champion is the gate's to say, after the registration."""
    given = [register(registry, key) for key in "ab"]
    assert [(registered.version, registered.alias) for registered in given] == [(1, None), (2, None)]
    assert client.get_registered_model("credit").aliases == {}
    assert "perennial.gate" not in client.get_model_version("credit", "1").tags


def test_a_registration_is_told_once_it_is_complete(registry: Settings) -> None:
    """Once, when MLflow has everything; a repeat after a kill makes up for it and keeps MLflow's own moment."""
    assert killed(register_and_die, registry, "create_model_version", "after")
    assert told(registry) == []
    found = find_registered("credit", "a" * 64, registry)
    assert found is not None
    [event] = told(registry)
    register(registry)
    assert told(registry) == [event]
    register(registry, "b")
    assert [event["payload"]["version"] for event in told(registry)] == [1, 2]
    assert event["payload"]["run_id"] == found.run_id
    assert event["related"][1]["prefect.resource.id"] == f"perennial.data-version.credit.{lineage().data_version}"


def told(settings: Settings) -> list[dict[str, Any]]:
    """Return the registrations in the outbox."""
    found = unsent_events(open_database(settings.database_url))
    return [event for event in found if event["event"] == "perennial.model.registered"]


def test_the_same_key_gives_the_same_version(registry: Settings, client: MlflowClient) -> None:
    """A repeat of an old key makes no run and no version."""
    first, _, _ = (register(registry, key) for key in "abc")
    again = register(registry, "a")
    assert (again.version, again.created, again.manifest) == (1, False, first.manifest)
    assert len(all_runs(client)) == 3


def test_the_number_of_a_deleted_version_stays_unused(registry: Settings, client: MlflowClient) -> None:
    """MLflow gives the newest number again; what is recorded under it was another bundle, of the same key or not."""
    register(registry, "a")
    register(registry, "b")
    client.delete_model_version("credit", "2")
    again, other = register(registry, "b"), register(registry, "c")
    assert ((again.version, again.created), (other.version, other.created)) == ((3, True), (4, True))
    client.delete_model_version("credit", "4")
    assert register(registry, "d").version == 5
    assert sorted(int(one.version) for one in client.search_model_versions("name = 'credit'")) == [1, 3, 5]
    assert [register(registry, key).version for key in "abd"] == [1, 3, 5]
    assert register(registry, "c").version == 6


def test_the_version_answers_raw_rows_and_holds_the_bundle(
    registry: Settings, client: MlflowClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MLflow's loaders work on the version, and its files are those of the bundle."""
    registered = register(registry)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", registry.mlflow_uri)
    expected = predictions(*logistic_pipeline())
    np.testing.assert_array_equal(mlflow.pyfunc.load_model("models:/credit/1").predict(FRAME), expected)
    np.testing.assert_array_equal(mlflow.sklearn.load_model("models:/credit/1").predict_proba(FRAME), expected)
    folder = Path(mlflow.artifacts.download_artifacts("models:/credit/1", dst_path=str(tmp_path / "down")))
    manifest = json.loads((folder / "manifest.json").read_text())
    assert {entry["path"] for entry in manifest["files"]} >= {"MLmodel", "model.skops", "card.md", "lineage.json"}
    assert registered.run_id == client.get_model_version("credit", "1").run_id


def test_the_run_and_the_version_tell_what_they_are_made_from(registry: Settings, client: MlflowClient) -> None:
    """Lineage, metrics, parameters, data and reports are on the run; lineage on the version too."""
    registered = register(registry)
    run = client.get_run(registered.run_id)
    version = client.get_model_version("credit", "1")
    for tags in (run.data.tags, version.tags):
        assert tags["perennial.run_key"] == "a" * 64
        assert tags["perennial.data_version"] == lineage().data_version
        assert tags["perennial.config_hash"] == lineage().config_hash
        assert tags["perennial.lock_hash"] == lineage().lock_hash
        assert tags["perennial.trigger"] == "manual"
        assert (tags["git.commit"], tags["git.dirty"]) == ("1" * 40, "true")
    assert run.info.status == "FINISHED"
    assert run.data.metrics == {"roc_auc": 0.8, "roc_auc/region__b_": 0.7}
    assert run.data.params["C"] == "1.0"
    assert len(run.data.params["long"]) == 6000
    assert run.inputs is not None
    assert run.inputs.dataset_inputs[0].dataset.digest == lineage().data_version
    assert {item.path for item in client.list_artifacts(registered.run_id, "reports")} == {
        "reports/drift.html",
        "reports/plots",
    }
    model = client.get_logged_model(version.tags["perennial.model_id"])
    assert {metric.key for metric in model.metrics or []} == {"roc_auc", "roc_auc/region__b_"}


def test_many_parameters_and_odd_names_are_logged(registry: Settings, client: MlflowClient) -> None:
    """More than MLflow takes in one call, and names it refuses."""
    params = {f"p{number}": number for number in range(230)} | {"../up": 1, "a:b": 2, "x" * 300: 3}
    run = client.get_run(register(registry, params=params).run_id)
    assert len(run.data.params) == 233
    assert run.data.params["p229"] == "229"


@pytest.mark.parametrize(("method", "when"), POINTS)
@pytest.mark.slow
def test_killed_anywhere_and_run_again(registry: Settings, client: MlflowClient, method: str, when: str) -> None:
    """After SIGKILL at any point the same call ends with one version and no run left running."""
    assert killed(register_and_die, registry, method, when)
    registered = register(registry)
    assert registered.version == 1
    assert len(client.search_model_versions("name = 'credit'")) == 1
    runs = all_runs(client)
    finished = [run for run in runs if run.info.status == "FINISHED" and run.info.lifecycle_stage == "active"]
    assert [run.info.run_id for run in finished] == [registered.run_id]
    assert all(run.info.status == "KILLED" for run in runs if run not in finished)
    experiment = finished[0].info.experiment_id
    models = client.search_logged_models([experiment])
    assert [model.source_run_id for model in models] == [registered.run_id]
    stored = list((registry.var / "mlruns" / "credit" / "models").glob("*/artifacts/MLmodel"))
    assert len(stored) == 1


def test_what_a_killed_registration_left_is_finished_when_found(registry: Settings, client: MlflowClient) -> None:
    """Looking the key up ends the version's run, without training again."""
    assert killed(register_and_die, registry, "create_model_version", "after")
    found = find_registered("credit", "a" * 64, registry)
    assert found is not None
    assert (found.version, found.created) == (1, False)
    assert client.get_run(found.run_id).info.status == "FINISHED"


def test_killed_while_the_database_is_made(tmp_path: Path) -> None:
    """A half migrated database never gets the database's name; the next call makes a whole one."""
    registry = make_project(tmp_path)
    assert killed(make_database_and_die, registry)
    assert not (registry.var / "mlflow.db").exists()
    assert mlflow_client(registry).search_registered_models() == []
    assert sorted(path.name for path in registry.var.iterdir() if path.name.startswith("mlflow.db")) == [
        "mlflow.db",
        "mlflow.db.lock",
    ]


def test_a_second_version_made_at_once_gives_way(
    registry: Settings, client: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two machines that register the same key at the same moment end with the lower version."""
    create = MlflowClient.create_model_version

    def after_another(self: MlflowClient, *args: Any, **given: Any) -> Any:
        create(self, *args, **given)
        return create(self, *args, **given)

    monkeypatch.setattr(MlflowClient, "create_model_version", after_another)
    assert register(registry).version == 1
    assert [int(version.version) for version in client.search_model_versions("name = 'credit'")] == [1]


def test_a_registry_that_is_away_is_named_without_its_password(
    registry: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error says which address failed and what to do, and shows no secret."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    away = registry.model_copy(update={"mlflow_uri": "http://user:secret@127.0.0.1:9"})
    with pytest.raises(StorageError, match=r"http://\*\*\*@127.0.0.1:9 failed") as caught:
        find_registered("credit", "a", away)
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_file_that_is_no_database_is_named(registry: Settings) -> None:
    """A damaged database is an error at once, not after MLflow's hundred seconds of tries."""
    (registry.var / "mlflow.db").write_text("no database" * 1000)
    with pytest.raises(StorageError, match="not a database"):
        find_registered("credit", "a", registry)


def test_artifacts_that_cannot_be_written_are_named(registry: Settings) -> None:
    """An artifact store that takes nothing is an error people can repair, and a rerun completes."""
    (registry.var / "mlruns").write_text("a file where a folder should be")
    with pytest.raises(StorageError, match="MLflow at sqlite"):
        register(registry)
    (registry.var / "mlruns").unlink()
    assert register(registry).version == 1


def test_nothing_is_written_to_the_working_directory(
    registry: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """MLflow leaves no folder where the command was started, and says nothing."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    register(registry)
    assert list(elsewhere.iterdir()) == []
    assert capfd.readouterr() == ("", "")


def test_a_run_someone_removed_does_not_hide_its_version(registry: Settings, client: MlflowClient) -> None:
    """The version of a deleted run is still found under its key."""
    client.delete_run(register(registry).run_id)
    found = find_registered("credit", "a" * 64, registry)
    assert found is not None
    assert found.version == 1


def test_lineage_without_git_is_registered(registry: Settings, client: MlflowClient) -> None:
    """Outside a git repository the tags that would be empty are left out of the run."""
    bare = replace(lineage(), git_commit="", lock_hash="")
    built = bundle(registry.var / "work" / "bundle")
    registered = register_bundle(built, CONFIG, bare, {}, {}, registry, {})
    assert "git.commit" not in client.get_run(registered.run_id).data.tags


def test_only_files_in_our_folder_are_deleted(registry: Settings, tmp_path: Path) -> None:
    """Where MLflow's database names another folder as that of a killed attempt, its files stay."""
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "thesis.txt").write_text("words")
    assert killed(register_and_die, registry, "finalize_logged_model", "after")
    with closing(sqlite3.connect(registry.var / "mlflow.db")) as connection, connection:
        connection.execute("UPDATE logged_models SET artifact_location = ?", (precious.as_uri(),))
    assert register(registry).version == 1
    assert (precious / "thesis.txt").read_text() == "words"
