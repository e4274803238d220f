"""Register a bundle in MLflow, exactly once per run key."""

from __future__ import annotations

import logging
import posixpath
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Engine

from config.home import user_name
from core.operate.events import model_registered
from store.database import open_database, writing
from store.events import record_event
from store.registry.registrations import BuiltBundle, find_version, record_bundle, versions_of, versions_of_run
from tasks.registry.client import (
    artifact_root,
    artifact_store,
    is_ours,
    mlflow_client,
    mlflow_failures,
    none_if_missing,
)
from tasks.registry.contents import AskedContents, stored_version
from tasks.registry.records import (
    CHAMPION,
    DATA_VERSION,
    MANIFEST,
    PRUNED,
    RUN_KEY,
    TRIGGER,
    adopt_versions,
    built_bundle,
    record_registration,
    recorded_version,
    replaced_registry,
)

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel, Metric, Param

    from config.schema import ModelConfig
    from config.settings import Settings
    from core.references import Lineage
    from store.registry.registrations import RegisteredVersion
    from tasks.registry.bundle import Bundle
    from tasks.registry.contents import Contents
    from tasks.registry.tables import StoredVersion

logger = logging.getLogger("perennial.register")

CHALLENGER = "challenger"
PREVIOUS = "previous"
REPORTS = "reports"

TOLD_WITHIN = timedelta(days=7)
"""Time after its registration in which a version's event is completed; events are kept at least as long."""

# Limits of MLflow 3.17; longer values are truncated here, because MLflow would refuse them.
MAX_NAME = 250
MAX_PARAM = 6_000
MAX_TAG = 8_000
MAX_PER_BATCH = 100


@dataclass(frozen=True)
class Registered:
    """A version of a registered model.

    Parameters
    ----------
    model, version
        Its name in MLflow's registry.
    run_id
        The MLflow run that made it.
    alias
        ``champion``, ``challenger``, ``previous`` or None.
    created
        False if the same run key was registered before.
    manifest
        SHA-256 of the bundle's manifest, from the operational database.
    """

    model: str
    version: int
    run_id: str
    alias: str | None
    created: bool
    manifest: str = ""


def register_bundle(
    bundle: Bundle,
    config: ModelConfig,
    lineage: Lineage,
    metrics: Mapping[str, float],
    params: Mapping[str, Any],
    settings: Settings,
    artifacts: Mapping[str, Path],
) -> Registered:
    """Register a bundle as the next version of the model, or return the version its run key already has.

    The version gets no alias, because the gate decides about the champion. A repeat is harmless: the run has the key
    from its creation on, and everything is logged before the version is created, in one call with its key. So after a
    kill, a version is either absent (the leftovers are marked as killed and removed at the next attempt) or complete
    except for the end of its run and its event, which :func:`complete` adds.

    Parameters
    ----------
    metrics
        Name and value on the holdout; values that are not finite are omitted.
    params
        Parameters of the estimator, shown on the run.
    artifacts
        Name and file or folder, logged on the run under ``reports/``.

    Raises
    ------
    StorageError
        MLflow's database, server or artifact store failed, or the operational database.
    """
    client, engine = mlflow_client(settings), open_database(settings.database_url)
    contents = AskedContents(client, settings)
    adopt_versions(contents, config.model, settings)
    with mlflow_failures(settings):
        version = version_of(contents, engine, config.model, lineage.run_key)
        created = version is None
        if version is None:
            experiment = experiment_of(client, config.model, settings)
            _drop_leftovers(client, experiment, lineage.run_key, settings)
            run_id = _start_run(client, experiment, config, lineage)
            model = _log_model(client, experiment, run_id, bundle, lineage)
            _log_facts(client, run_id, model, metrics, params)
            _log_data(client, run_id, lineage)
            _log_artifacts(client, run_id, artifacts)
            record_bundle(engine, _built(bundle, config, lineage))
            tags = _version_tags(bundle, config, lineage)
            version = _create_version(client, contents, engine, config, model, run_id, tags)
        registered = complete(contents, version, settings, created=created, run_key=lineage.run_key)
    log_registration(registered)
    return registered


def version_of(contents: Contents, engine: Engine, model: str, run_key: str) -> StoredVersion | None:
    """Return the version registered under a run key; the lowest if two machines registered it at the same time.

    The operational database says which versions have the key. MLflow is searched only for a version whose training was
    killed before it was recorded, and that version's bundle must be one that was built here. A version whose files
    retention removed does not count: the same run again registers it as a new version.
    """
    recorded = (contents.version(model, number) for number in versions_of_run(engine, model, run_key))
    for version in filter(None, recorded):
        if _has_own_number(engine, version) and PRUNED not in version.tags:
            return version
    ours = (
        version
        for version in contents.tagged(model, RUN_KEY, run_key)
        if PRUNED not in version.tags and built_bundle(engine, version) is not None and _has_own_number(engine, version)
    )
    return next(ours, None)


def _has_own_number(engine: Engine, version: StoredVersion) -> bool:
    """Return whether no other bundle is recorded under a version's number, see :func:`_create_version`."""
    record = find_version(engine, version.name, version.version)
    return record is None or record.manifest == version.tags.get(MANIFEST)


def complete(
    contents: Contents, version: StoredVersion, settings: Settings, *, created: bool, run_key: str | None = None
) -> Registered:
    """Record a version, end its run and write its event to the outbox, unless this was done before.

    Parameters
    ----------
    contents, version
        The registry, and the version as MLflow has it; its tags are not trusted.
    settings
        Names the operational database.
    created
        Whether this call follows the creation of the version.
    run_key
        Key that the version was found by; None if it was found by its number.

    Raises
    ------
    BundleError
        The version was not registered by this project.
    StorageError
        Its number was recorded for another bundle, because the registry was replaced.
    """
    name, number, run_id = version.name, version.version, version.run_id
    record = _record(contents, version, run_key, settings)
    run = contents.run(run_id)
    if run is not None and run.status == "RUNNING":
        with mlflow_failures(settings):
            mlflow_client(settings).set_terminated(run_id, "FINISHED")
    registered_at = datetime.fromtimestamp(version.creation_timestamp / 1000, UTC)
    # Later, retention may have deleted the event, and it would be sent a second time.
    if datetime.now(UTC) - registered_at < TOLD_WITHIN:
        _tell(version, record, registered_at, settings)
    alias = next((wanted for wanted in (CHAMPION, CHALLENGER, PREVIOUS) if wanted in version.aliases), None)
    return Registered(name, number, run_id, alias, created, record.manifest)


def _record(contents: Contents, version: StoredVersion, run_key: str | None, settings: Settings) -> RegisteredVersion:
    engine = open_database(settings.database_url)
    built = built_bundle(engine, version)
    if built is not None and built.run_key == run_key:
        return record_registration(engine, built, version.version)
    return recorded_version(contents, version, settings)


def log_registration(registered: Registered) -> None:
    """Log whether a version was registered now or before."""
    if registered.created:
        logger.info("registered %s version %d", registered.model, registered.version)
    else:
        text = "%s version %d was registered before from the same data, configuration and code"
        logger.info(text, registered.model, registered.version)


def _tell(version: StoredVersion, record: RegisteredVersion, registered_at: datetime, settings: Settings) -> None:
    event = model_registered(
        version.name,
        version.version,
        run_id=version.run_id,
        data_version=record.data_version,
        trigger=record.trigger,
        at=registered_at,
    )
    with writing(open_database(settings.database_url)) as connection:
        record_event(connection, event)


def experiment_of(client: MlflowClient, name: str, settings: Settings) -> str:
    """Return the experiment of a model; create it if there is none."""
    from mlflow.exceptions import MlflowException

    if experiment := client.get_experiment_by_name(name):
        return str(experiment.experiment_id)
    root = artifact_root(settings)
    try:
        return str(client.create_experiment(name, artifact_location=root and f"{root}/{name}"))
    except MlflowException as error:
        if error.error_code == "RESOURCE_ALREADY_EXISTS":  # another machine created it first
            return experiment_of(client, name, settings)
        raise


def _drop_leftovers(client: MlflowClient, experiment: str, run_key: str, settings: Settings) -> None:
    """Mark the runs of killed attempts as killed, and delete them with the models they logged."""
    same_key = f"tags.`{RUN_KEY}` = '{run_key}'"
    runs = client.search_runs([experiment], f"{same_key} and attributes.status = 'RUNNING'")
    models = client.search_logged_models([experiment], same_key) if runs else []
    for run in runs:
        logger.info(
            "an earlier attempt was killed while registering; its run %s is marked as killed and deleted",
            run.info.run_id,
        )
        for model in models:
            if model.source_run_id == run.info.run_id:
                _delete_files(model.artifact_location, settings)
                client.delete_logged_model(model.model_id)
        client.set_terminated(run.info.run_id, "KILLED")
        client.delete_run(run.info.run_id)


def _delete_files(location: str, settings: Settings) -> None:
    # MLflow names the folder, and who can write MLflow's database could name any other.
    if not is_ours(location, settings):
        logger.warning("%s is not in the folder of MLflow's artifacts; its files are left there", location)
        return
    store: Any = artifact_store(location, settings)  # not typed
    store.delete_artifacts()


def _start_run(client: MlflowClient, experiment: str, config: ModelConfig, lineage: Lineage) -> str:
    # MLflow creates the run and its tags in one transaction, so that no run is without its key.
    name = f"{config.model}-{lineage.trigger[:100]}-{lineage.run_key[:8]}"
    return str(client.create_run(experiment, tags=_run_tags(config, lineage), run_name=name).info.run_id)


def _run_tags(config: ModelConfig, lineage: Lineage) -> dict[str, str]:
    tags = {
        **_lineage_tags(lineage),
        "perennial.task": config.task,
        "perennial.estimator": config.training.estimator,
        "mlflow.user": user_name(),
        "mlflow.source.name": "perennial train",
        "mlflow.source.type": "LOCAL",
        "mlflow.source.git.commit": lineage.git_commit,
    }
    return {name: value[:MAX_TAG] for name, value in tags.items() if value}


def _lineage_tags(lineage: Lineage) -> dict[str, str]:
    return {
        RUN_KEY: lineage.run_key,
        DATA_VERSION: lineage.data_version,
        "perennial.config_hash": lineage.config_hash,
        "perennial.code_version": lineage.code_version,
        "perennial.lock_hash": lineage.lock_hash,
        TRIGGER: lineage.trigger,
        "git.commit": lineage.git_commit,
        "git.dirty": str(lineage.git_dirty).lower(),
    }


def _log_model(client: MlflowClient, experiment: str, run_id: str, bundle: Bundle, lineage: Lineage) -> LoggedModel:
    from mlflow.entities import LoggedModelOutput

    model = client.create_logged_model(experiment, "model", run_id, tags={RUN_KEY: lineage.run_key})
    client.log_outputs(run_id, [LoggedModelOutput(model.model_id, step=0)])
    client.log_model_artifacts(model.model_id, str(bundle.folder))
    return client.finalize_logged_model(model.model_id, "READY")


def _log_facts(
    client: MlflowClient, run_id: str, model: LoggedModel, metrics: Mapping[str, float], params: Mapping[str, Any]
) -> None:
    from mlflow.entities import Metric, Param

    now = int(time.time() * 1000)
    measured = [
        Metric(name, value, now, step=0, model_id=model.model_id, run_id=run_id)
        for name, value in named_for_mlflow(metrics).items()
        if value is not None and abs(value) < float("inf")
    ]
    given = [Param(name, str(value)[:MAX_PARAM]) for name, value in named_for_mlflow(params).items()]
    for part in _batches(measured, given):
        client.log_batch(run_id, metrics=part[0], params=part[1])


def _batches(metrics: list[Metric], params: list[Param]) -> Iterator[tuple[list[Metric], list[Param]]]:
    """Split metrics and parameters into calls of at most 100 parameters; most models need one call."""
    starts = range(0, max(len(metrics), len(params)), MAX_PER_BATCH)
    for start in starts:
        yield metrics[start : start + MAX_PER_BATCH], params[start : start + MAX_PER_BATCH]


def named_for_mlflow(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values under names MLflow accepts; names of slices and parameters may contain any character."""
    clean = {posixpath.normpath(re.sub(r"[^\w.\-/ ]", "_", name)).lstrip("./")[:MAX_NAME]: name for name in values}
    return {name or "_": values[original] for name, original in clean.items()}


def _log_data(client: MlflowClient, run_id: str, lineage: Lineage) -> None:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    # Built directly, because MLflow's own digest covers only a sample of the rows and misses changes.
    source = f'{{"data_version": "{lineage.data_version}"}}'
    data = Dataset(name="training rows", digest=lineage.data_version, source_type="dvc", source=source)
    client.log_inputs(run_id, [DatasetInput(data, [InputTag("mlflow.data.context", "training")])])


def _log_artifacts(client: MlflowClient, run_id: str, artifacts: Mapping[str, Path]) -> None:
    for name, path in artifacts.items():
        if path.is_dir():
            client.log_artifacts(run_id, str(path), f"{REPORTS}/{name}")
        else:
            client.log_artifact(run_id, str(path), REPORTS)


def _version_tags(bundle: Bundle, config: ModelConfig, lineage: Lineage) -> dict[str, str]:
    return {**_lineage_tags(lineage), MANIFEST: bundle.manifest_sha256, "perennial.task": config.task}


def _built(bundle: Bundle, config: ModelConfig, lineage: Lineage) -> BuiltBundle:
    return BuiltBundle(
        model=config.model,
        run_key=lineage.run_key,
        manifest=bundle.manifest_sha256,
        data_version=lineage.data_version,
        trigger=lineage.trigger,
        built_at=datetime.now(UTC),
    )


def _create_version(
    client: MlflowClient,
    contents: Contents,
    engine: Engine,
    config: ModelConfig,
    model: LoggedModel,
    run_id: str,
    tags: dict[str, str],
) -> StoredVersion:
    _refuse_replaced(contents, engine, config.model)
    if none_if_missing(lambda: client.get_registered_model(config.model)) is None:
        _create_registered_model(client, config)
    # The path of the files, not models:/<id>: without a server, MLflow resolves an id at its process-wide address.
    create = partial(
        client.create_model_version,
        config.model,
        model.artifact_location,
        run_id,
        tags={**tags, "perennial.model_id": model.model_id},
        model_id=model.model_id,
        await_creation_for=0,
    )
    created, used = stored_version(create()), []
    while not _has_own_number(engine, created):
        # MLflow gives the number of a newest version that was deleted once more.
        logger.warning("version %s of %r was deleted in MLflow; its number stays unused", created.version, config.model)
        used.append(created)
        created = stored_version(create())
    for version in used:
        client.delete_model_version(config.model, str(version.version))
    return _only(client, contents, engine, created, tags[RUN_KEY])


def _refuse_replaced(contents: Contents, engine: Engine, model: str) -> None:
    """Refuse a registry that has none of the recorded versions: its next numbers would be theirs."""
    recorded = versions_of(engine, model)
    if recorded and not {version.version for version in contents.versions(model)} & set(recorded):
        raise replaced_registry(model, recorded[0])


def _create_registered_model(client: MlflowClient, config: ModelConfig) -> None:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(config.model, tags={"perennial.task": config.task})
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":  # another machine created it first
            raise


def _only(
    client: MlflowClient, contents: Contents, engine: Engine, created: StoredVersion, run_key: str
) -> StoredVersion:
    """Keep the lowest version of a key, so that two machines that train it at the same time end with one version."""
    lowest = version_of(contents, engine, created.name, run_key)
    if lowest is None or lowest.version == created.version:
        return created
    client.delete_model_version(created.name, str(created.version))
    client.set_terminated(created.run_id, "KILLED")
    return lowest
