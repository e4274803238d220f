"""What is removed of MLflow, what stays, and what is said about a version without files."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from mlflow import MlflowClient
from mlflow.entities import ViewType

from config.settings import RetentionSettings, Settings
from core.errors import BundleError, PromotionError
from core.retention.items import expired
from core.retention.versions import VersionsInUse
from tasks.champions.approvals import approve, rollback
from tasks.monitor.mlflow_run import log_verdict
from tasks.prune.registry import Registry, open_registry
from tasks.registry.fetch import fetched
from tasks.registry.records import PRUNED, REMOVING
from tasks.registry.versions import show_model
from tests.core.retention.test_documents import VERDICT
from tests.tasks.registration import judged, lineage, register

RETENTION = RetentionSettings().model_copy(update={"versions": 2, "decisions_days": 0.0})
UNUSED = VersionsInUse(None, None)


def removed(settings: Settings, in_use: VersionsInUse = UNUSED, retention: RetentionSettings = RETENTION) -> set[str]:
    """Remove what may go, and return ``kind/name`` of it."""
    registry = open_registry(settings, retention)
    assert registry is not None
    gone = set()
    for findings in registry.of_model("credit", in_use):
        items = expired((found.item for found in findings.found), findings.rule, datetime.now(UTC))
        for found in findings.found:
            if found.item in items:
                found.remove()
                gone.add(f"{found.item.kind}/{found.item.name}")
    return gone


def files(client: MlflowClient, version: int) -> set[str]:
    """Names of a version's files, in its bundle and in its run's reports."""
    found = client.get_model_version("credit", str(version))
    places = [str(found.source), str(client.get_run(str(found.run_id)).info.artifact_uri)]
    folders = [Path(unquote(urlsplit(place).path)) for place in places]
    return {str(path.relative_to(folder)) for folder in folders for path in folder.rglob("*") if path.is_file()}


def test_an_empty_registry_is_not_even_opened(registry: Settings) -> None:
    """A project that was never trained has no database of MLflow, and gets none."""
    (registry.var / "mlflow.db").unlink()
    assert open_registry(registry, RETENTION) is None
    assert not (registry.var / "mlflow.db").exists()


def test_old_versions_keep_what_explains_them(registry: Settings, client: MlflowClient) -> None:
    """The newest two and those in use keep all files; of the others the bundle and the reports go."""
    for key in "abcde":
        judged(registry, key)
    whole = files(client, 1)
    in_use = VersionsInUse(champion=1, challenger=None)
    assert removed(registry, in_use) == {"version files/version 2", "version files/version 3"}
    assert removed(registry, in_use) == set()
    assert files(client, 1) == files(client, 5) == whole
    assert {"model.skops", "reports/drift.html", "reports/plots/roc.svg"} < whole
    assert files(client, 2) == {"manifest.json", "lineage.json", "card.md", "reports/gate.json", "reports/card.md"}
    version = client.get_model_version("credit", "2")
    assert datetime.fromisoformat(version.tags[PRUNED]).tzinfo is not None
    assert version.tags["perennial.run_key"] == "b" * 64
    run = client.get_run(str(version.run_id))
    assert run.data.metrics["roc_auc"] == 0.8
    assert run.data.params["C"] == "1.0"
    detail = show_model("credit", "2", registry)
    assert detail.lineage["data_version"] == lineage("b").data_version
    assert detail.lineage["pruned"] == version.tags[PRUNED]


def test_a_version_with_a_persons_alias_is_found(registry: Settings, client: MlflowClient) -> None:
    """Retention knows what an alias of MLflow means as little as anybody else, so it keeps what is named."""
    register(registry, "a")
    client.set_registered_model_alias("credit", "audited", "1")
    found = Registry(registry, RETENTION)
    assert found.aliased("credit") == {1}
    assert found.aliased("other") == set()


def test_a_removal_that_was_killed_is_completed(registry: Settings, client: MlflowClient) -> None:
    """A version that is only marked is found again, and its rest removed."""
    for key in "abc":
        register(registry, key)
    client.set_model_version_tag("credit", "1", PRUNED, REMOVING)
    assert removed(registry) == {"version files/version 1"}
    assert "model.skops" not in files(client, 1)
    assert client.get_model_version("credit", "1").tags[PRUNED] != REMOVING
    assert removed(registry) == set()


def test_the_same_run_again_is_a_new_version(registry: Settings) -> None:
    """A model whose files are gone is trained again from its data version; one that has its files is not."""
    for key in "abc":
        register(registry, key)
    removed(registry)
    again = register(registry, "a")
    assert (again.version, again.created) == (4, True)
    assert register(registry, "a").version == 4
    assert register(registry, "b").version == 2


def test_what_retention_removed_is_not_loaded_approved_or_returned_to(registry: Settings) -> None:
    """The message says what happened and how to train the version again."""
    for key in "abc":
        judged(registry, key)
    approve("credit", "2", "better", registry, override=True)
    approve("credit", "3", "better still", registry, override=True)
    removed(registry, VersionsInUse(3, None), RETENTION.model_copy(update={"versions": 1}))
    message = rf"removed the files of 'credit' version 1.*train credit --data-version {'d' * 32}$"
    with pytest.raises(BundleError, match=message), fetched("credit", 1, registry):
        pass
    with pytest.raises(PromotionError, match=message):
        approve("credit", "1", "again", registry, override=True)
    way_out = r"removed the files of 'credit' version 2.*To make another version champion .*approve credit@VERSION"
    with pytest.raises(PromotionError, match=way_out):
        rollback("credit", "complaints", registry)


def test_runs_of_decisions_are_deleted_for_good(registry: Settings, client: MlflowClient) -> None:
    """Their rows and files go; runs that made versions stay, whatever their age."""
    register(registry, "a")
    page = registry.var / "drift.html"
    page.write_text("<p>drift</p>")
    run_id = log_verdict(VERDICT, {"drift.html": page}, registry)
    folder = Path(unquote(urlsplit(str(client.get_run(run_id).info.artifact_uri)).path))
    assert removed(registry, retention=RETENTION.model_copy(update={"decisions_days": 1.0})) == set()
    assert removed(registry) == {f"drift runs/{run_id}"}
    assert not folder.parent.exists()
    experiment: Any = client.get_experiment_by_name("credit")
    left = client.search_runs([experiment.experiment_id], run_view_type=ViewType.ALL)
    assert [run.data.tags["perennial.run_key"] for run in left] == ["a" * 64]
    again = log_verdict(VERDICT, {"drift.html": page}, registry)
    client.delete_run(again)  # a removal that was killed after its first step
    assert removed(registry) == {f"drift runs/{again}"}


def test_data_versions_of_versions_with_files_are_needed(registry: Settings) -> None:
    """DVC's cache keeps the rows from which a loadable version was trained."""
    for key in "abc":
        register(registry, key)
    found = Registry(registry, RETENTION)
    assert found.data_versions("credit") == {lineage().data_version}
    removed(registry, retention=RETENTION.model_copy(update={"versions": 0}))
    assert found.data_versions("credit") == set()


def test_the_data_of_versions_in_use_is_needed_whatever_mlflow_says(registry: Settings, client: MlflowClient) -> None:
    """Tags that were changed or removed in MLflow, and a version that was deleted there, lose no champion's rows."""
    for key in "ab":
        register(registry, key)
    client.set_model_version_tag("credit", "1", PRUNED, "2026-01-01T00:00:00+00:00")
    client.delete_model_version("credit", "2")
    found = Registry(registry, RETENTION)
    assert found.data_versions("credit") == set()
    assert found.data_versions("credit", {1}) == found.data_versions("credit", {2}) == {lineage().data_version}


def _repointed(settings: Settings, table: str, column: str, key: str, value: str, address: str) -> None:
    with closing(sqlite3.connect(settings.mlflow_uri.removeprefix("sqlite:///"))) as connection, connection:
        changed = connection.execute(f"UPDATE {table} SET {column} = ? WHERE {key} = ?", (address, value))  # noqa: S608 - our own names
        assert changed.rowcount == 1


def _elsewhere(settings: Settings, client: MlflowClient, tmp_path: Path) -> list[str]:
    """Addresses that someone who can write MLflow's database could give: of a home, the project, the champion."""
    (tmp_path / "home" / "sub").mkdir(parents=True)
    (tmp_path / "home" / "sub" / "thesis.txt").write_text("years of work")
    (settings.root / "data").mkdir(exist_ok=True)
    (settings.root / "data" / "rows.parquet").write_text("rows")
    champion, root = client.get_model_version("credit", "3"), (settings.var / "mlruns").resolve()
    (root / "link").symlink_to(tmp_path / "home")
    run = client.get_run(str(champion.run_id))
    return [
        (tmp_path / "home").as_uri(),
        str(tmp_path / "home"),
        (root / "link").as_uri(),
        f"{root.as_uri()}/credit/../../../home",
        (settings.root / "data").resolve().as_uri(),
        root.as_uri(),
        str(champion.source),
        str(run.info.artifact_uri),
        "s3://bucket/prefix",
    ]


def _content(*folders: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for folder in folders for path in folder.rglob("*") if path.is_file()}


def test_no_file_is_removed_where_mlflow_names_another_folder(
    registry: Settings, client: MlflowClient, tmp_path: Path
) -> None:
    """Rows of MLflow's database that were changed remove no home, no data, and no champion's bundle."""
    for key in "abc":
        judged(registry, key)
    page = registry.var / "drift.html"
    page.write_text("<p>drift</p>")
    decision = log_verdict(VERDICT, {"drift.html": page}, registry)
    places = _elsewhere(registry, client, tmp_path)
    before = _content(tmp_path / "home", registry.root / "data", registry.var / "mlruns")
    retention = RETENTION.model_copy(update={"versions": 0})
    for address in places:
        _repointed(registry, "model_versions", "source", "version", "1", address)
        _repointed(registry, "runs", "artifact_uri", "run_uuid", decision, address)
        assert removed(registry, VersionsInUse(3, None, (2,)), retention) == set(), address
        assert before.items() <= _content(tmp_path / "home", registry.root / "data", registry.var / "mlruns").items()


def test_reports_stay_where_mlflow_names_another_folder(registry: Settings, client: MlflowClient) -> None:
    """A version's run that was changed to name another's reports costs the version its own files alone."""
    for key in "ab":
        judged(registry, key)
    run_id = str(client.get_model_version("credit", "1").run_id)
    theirs = str(client.get_run(str(client.get_model_version("credit", "2").run_id)).info.artifact_uri)
    _repointed(registry, "runs", "artifact_uri", "run_uuid", run_id, theirs)
    before = _content(Path(unquote(urlsplit(theirs).path)))
    assert removed(registry, VersionsInUse(2, None), RETENTION.model_copy(update={"versions": 0})) == {
        "version files/version 1"
    }
    assert _content(Path(unquote(urlsplit(theirs).path))) == before
