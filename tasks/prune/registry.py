"""MLflow: runs of drift decisions, runs that a kill left unfinished, and the files of old versions.

Of a version whose files are removed, everything that identifies and describes it stays: the version with its tags, its
run with parameters and metrics, the manifest, the lineage, and the model card and the verdict as text.

MLflow names the folders, and who can write its database could name any other one: a home, the data, the champion's
bundle. So a run's folder must be its own in the folder of artifacts, and a version's must hold the manifest that the
operational database records for it; all others stay.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Collection, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from config.platform import read_platform
from config.settings import RetentionSettings, Settings
from core.retention.items import Item, Kind, Rule
from core.retention.versions import VersionsInUse, needed
from store.database import open_database
from store.registry.registrations import RegisteredVersion, data_versions_of, find_version
from tasks.prune.found import Findings, Found, tree_facts
from tasks.registry.bundle_files import MANIFEST, MAX_MANIFEST_BYTES, bundle_files, is_manifest
from tasks.registry.client import (
    aliases_in_mlflow,
    artifact_root,
    artifact_store,
    is_empty,
    is_ours,
    local_path,
    mlflow_client,
    mlflow_failures,
    pages,
    run_in_mlflow,
    versions_in_mlflow,
)
from tasks.registry.records import DATA_VERSION, PRUNED, REMOVING, RUN_KEY
from tasks.registry.register import REPORTS

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.entities.model_registry import ModelVersion

_log = logging.getLogger("perennial.prune")

DECISION = "perennial.drift"
KIND = "perennial.kind"

KEPT_FILES = frozenset({"manifest.json", "lineage.json", "card.md"})
"""Files of a bundle that stay, so that the version can be explained, and trained again."""

KEPT_REPORTS = frozenset({f"{REPORTS}/gate.json", f"{REPORTS}/card.md"})

UNFINISHED_AFTER = timedelta(days=1)
PAGE = 1000

ELSEWHERE = "its files are not in its own folder of MLflow's artifacts"

_RUN_ID = re.compile(r"[0-9a-f]{32}")


class Registry:
    """What retention looks at in MLflow.

    Parameters
    ----------
    settings
        Names the registry.
    retention
        Numbers and ages.

    Raises
    ------
    StorageError
        MLflow is unavailable.
    """

    def __init__(self, settings: Settings, retention: RetentionSettings) -> None:
        self._settings, self._retention = settings, retention
        self._client = mlflow_client(settings)
        self._store: Any = None

    def of_model(self, model: str, in_use: VersionsInUse) -> list[Findings]:
        """Return the runs and versions of a model that retention looks at."""
        age = timedelta(days=self._retention.decisions_days)
        with mlflow_failures(self._settings):
            return [
                Findings(Rule(age=age), tuple(self._runs("drift runs", model, f"tags.`{KIND}` = 'monitor'", age))),
                Findings(
                    Rule(age=UNFINISHED_AFTER),
                    tuple(self._runs("unfinished runs", model, "attributes.status = 'KILLED'", UNFINISHED_AFTER)),
                ),
                Findings(Rule(self._retention.versions), tuple(self._versions(model, in_use))),
            ]

    def aliased(self, model: str) -> set[int]:
        """Return the versions of a model that an alias names; its own aliases may be out of date."""
        with mlflow_failures(self._settings):
            return set(aliases_in_mlflow(self._client, model).values())

    def data_versions(self, model: str, in_use: Collection[int] = ()) -> set[str]:
        """Return the data versions of a model's versions whose files are kept.

        Parameters
        ----------
        in_use
            Versions that count, whatever MLflow says of them.
        """
        with mlflow_failures(self._settings):
            found = [version for version in versions_in_mlflow(self._client, model) if PRUNED not in version.tags]
        tagged = {version.tags[DATA_VERSION] for version in found if DATA_VERSION in version.tags}
        numbers = {*in_use, *(int(version.version) for version in found)}
        return tagged | data_versions_of(open_database(self._settings.database_url), model, numbers)

    def _runs(self, kind: Kind, model: str, condition: str, age: timedelta) -> Iterator[Found]:
        from mlflow.entities import ViewType

        experiment = self._client.get_experiment_by_name(model)
        if experiment is None:
            return
        before = int((datetime.now(UTC) - age).timestamp() * 1000)
        # Runs of killed registrations are deleted already, in MLflow's sense: they are only marked.
        view = ViewType.DELETED_ONLY if kind == "unfinished runs" else ViewType.ALL
        chosen, where = f"{condition} and attributes.start_time < {before}", [experiment.experiment_id]
        for run in pages(lambda token: self._client.search_runs(where, chosen, view, PAGE, page_token=token)):
            if {DECISION, RUN_KEY} & run.data.tags.keys():
                yield self._run(kind, model, run)

    def _run(self, kind: Kind, model: str, run: Run) -> Found:
        at, uri = datetime.fromtimestamp(run.info.start_time / 1000, UTC), str(run.info.artifact_uri)
        reason = "" if _is_folder_of(run, self._settings) else ELSEWHERE
        if reason:
            _log.warning("run %s of %s stays: %s, but at %s", run.info.run_id, model, reason, uri[:200])
        item = Item(kind, model, run.info.run_id, at, _size(uri, self._settings), needed=reason)
        return Found(item, partial(self._remove_run, run))

    def _remove_run(self, run: Run) -> None:
        """Mark a run as deleted, remove its files, then its rows; where a server is elsewhere, the rows stay marked."""
        with mlflow_failures(self._settings):
            if run.info.lifecycle_stage == "active":
                self._client.delete_run(run.info.run_id)
            uri = str(run.info.artifact_uri)
            artifacts: Any = artifact_store(uri, self._settings)  # not typed
            artifacts.delete_artifacts()
            if (path := local_path(uri)) is not None:
                with suppress(OSError):  # it is not empty, or gone
                    Path(path).parent.rmdir()
            if (store := self._database()) is not None:
                store._hard_delete_run(run.info.run_id)

    def _database(self) -> Any:
        """Return MLflow's own store where its database can be reached from here; its server cannot delete rows."""
        uri = self._settings.mlflow_uri
        platform = read_platform(self._settings.var)
        if platform is not None and platform.mlflow_port is not None and uri == platform.mlflow_uri:
            uri = platform.mlflow_store
        if self._store is None and not uri.startswith("http"):
            from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

            behind = self._settings.model_copy(update={"mlflow_uri": uri})
            self._store = SqlAlchemyStore(uri, str(artifact_root(behind)))  # type: ignore[no-untyped-call] # partly typed
        return self._store

    def _versions(self, model: str, in_use: VersionsInUse) -> Iterator[Found]:
        engine = open_database(self._settings.database_url)
        for version in versions_in_mlflow(self._client, model):
            if version.tags.get(PRUNED, REMOVING) != REMOVING:
                continue
            known, uri = find_version(engine, model, int(version.version)), str(version.source)
            reason = self._needed(version, known, in_use)
            at = datetime.fromtimestamp(version.creation_timestamp / 1000, UTC)
            size = _size(uri, self._settings)
            item = Item("version files", model, f"version {version.version}", at, size, needed=reason)
            yield Found(item, partial(self._remove_files, version))

    def _needed(self, version: ModelVersion, known: RegisteredVersion | None, in_use: VersionsInUse) -> str:
        trigger = known.trigger if known else ""
        reason = needed(int(version.version), trigger, in_use, is_ours=known is not None)
        if reason or known is None:
            return reason
        uri = str(version.source)
        if is_ours(uri, self._settings) and _has_manifest(uri, known.manifest, self._settings):
            return ""
        _log.warning("the files of %s version %s stay: %s, but at %s", version.name, version.version, ELSEWHERE, uri)
        return ELSEWHERE

    def _remove_files(self, version: ModelVersion) -> None:
        """Mark a version, remove its files, and record when; a repeat after a kill removes the rest."""
        client, name, number = self._client, version.name, str(version.version)
        with mlflow_failures(self._settings):
            client.set_model_version_tag(name, number, PRUNED, REMOVING)
            _remove_all(str(version.source), "", KEPT_FILES, self._settings)
            run = run_in_mlflow(client, str(version.run_id))
            if run is not None and _is_folder_of(run, self._settings):
                _remove_all(str(run.info.artifact_uri), REPORTS, KEPT_REPORTS, self._settings)
            client.set_model_version_tag(name, number, PRUNED, datetime.now(UTC).isoformat(timespec="seconds"))


def open_registry(settings: Settings, retention: RetentionSettings) -> Registry | None:
    """Return the registry; None if nothing was ever registered."""
    return None if is_empty(settings) else Registry(settings, retention)


def _remove_all(uri: str, folder: str, kept: frozenset[str], settings: Settings) -> None:
    store: Any = artifact_store(uri, settings)  # not typed
    for item in store.list_artifacts(folder or None):
        if item.path not in kept:
            store.delete_artifacts(item.path)


def _is_folder_of(run: Run, settings: Settings) -> bool:
    """Return whether a run's folder is the one that MLflow gave it: no other run's and no version's."""
    uri, run_id = str(run.info.artifact_uri), str(run.info.run_id)
    named = PurePosixPath(unquote(urlsplit(uri).path)).parts[-2:]
    return is_ours(uri, settings) and bool(_RUN_ID.fullmatch(run_id)) and named == (run_id, "artifacts")


def _has_manifest(uri: str, sha256: str, settings: Settings) -> bool:
    """Return whether the manifest at an address has this hash; False if there is none."""
    folder = local_path(uri)
    if folder is not None:
        return is_manifest(Path(folder) / MANIFEST, sha256)
    store = bundle_files(uri, settings)
    listed = {item.path: item.file_size for item in store.list_artifacts()}
    if MANIFEST not in listed or (listed[MANIFEST] or 0) > MAX_MANIFEST_BYTES:
        return False
    with TemporaryDirectory() as copies:
        store.download_artifacts(MANIFEST, copies)
        return is_manifest(Path(copies) / MANIFEST, sha256)


def _size(uri: str, settings: Settings) -> int:
    path = local_path(uri) if is_ours(uri, settings) else None
    return tree_facts(Path(path))[1] if path is not None and Path(path).is_dir() else 0
