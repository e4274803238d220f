"""List models and describe versions: what MLflow shows, and what the operational database records."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from config.load import load_model_config, model_names, model_path
from config.names import is_model_name
from config.settings import Settings
from config.similar_names import closest_text
from core.errors import ConfigError, ModelNotFoundError
from store.champions import current_champion, find_verdict, standing
from store.database import open_database
from store.registry.registrations import (
    RegisteredVersion,
    adopted_champion,
    find_version,
    knows_model,
    versions_of_trigger,
)
from store.releases.releases import running_release
from tasks.registry.client import address, artifact_root, is_empty, local_path, mlflow_client
from tasks.registry.contents import Contents, registered_files, registry_contents
from tasks.registry.records import (
    CHAMPION,
    DATA_VERSION,
    GATE_WORDS,
    PRUNED,
    RUN_KEY,
    TRIGGER,
    adopt_versions,
    champion_before_history,
    recorded_version,
)
from tasks.registry.register import (
    CHALLENGER,
    PREVIOUS,
    REPORTS,
    Registered,
    complete,
    log_registration,
    version_of,
)

if TYPE_CHECKING:
    from tasks.registry.tables import StoredRun, StoredVersion

LINEAGE = (
    RUN_KEY,
    DATA_VERSION,
    "perennial.config_hash",
    "perennial.code_version",
    "perennial.lock_hash",
    TRIGGER,
    "git.commit",
    "git.dirty",
    PRUNED,
)


@dataclass(frozen=True)
class RunningRelease:
    """The running release of a model.

    Parameters
    ----------
    number, version
        The release, and the version that is released.
    stage, share
        ``shadow``, ``step`` or ``bake``; percent of the requests that the version answers.
    paused
        Whether a person stopped it from moving on.
    """

    number: int
    version: int
    stage: str
    share: int
    paused: bool


@dataclass(frozen=True)
class ModelSummary:
    """Summary of a model, one line of ``perennial models``.

    Parameters
    ----------
    model
        Its name.
    n_versions
        Registered versions; 0 for a model file that was never trained.
    champion, challenger
        The versions with these aliases, or None.
    newest
        The highest version, or None.
    metric, value
        The gate's metric and its holdout value, for the champion, or for the newest version if there is none.
    created_at
        When the newest version was registered, ISO 8601 in UTC.
    problem
        Why its model file cannot be loaded; None if it can, or there is none.
    release
        Its running release; None if none runs.
    """

    model: str
    n_versions: int
    champion: int | None = None
    challenger: int | None = None
    newest: int | None = None
    metric: str | None = None
    value: float | None = None
    created_at: str | None = None
    problem: str | None = None
    release: RunningRelease | None = None

    def to_dict(self) -> dict[str, Any]:
        """Content that JSON can hold."""
        return asdict(self)


@dataclass(frozen=True)
class VersionDetail:
    """Description of one version.

    Parameters
    ----------
    model, version, aliases
        Its name, number and aliases.
    run_id
        The MLflow run that made it.
    created_at
        ISO 8601 in UTC.
    data_version, gate
        The data version it was trained on; ``passed``, ``refused``, ``undecided`` or ``not judged``.
    gate_metric, gate_value, gate_floor, reasons
        The gate's metric, its value and floor, and the verdict's reasons.
    metrics, params
        As logged on the run; MLflow's word, which nothing is decided by.
    lineage
        Names of tags without their ``perennial.`` prefix; run key, data version and trigger are from the operational
        database, the others MLflow's.
    files
        Names in the bundle.
    links
        Title and path (or address) of its pages.
    release
        The running release of its model, of this version or another; None if none runs.
    """

    model: str
    version: int
    aliases: tuple[str, ...]
    run_id: str
    created_at: str
    data_version: str
    gate: str
    gate_metric: str
    gate_value: float | None
    gate_floor: float | None
    reasons: tuple[str, ...]
    metrics: dict[str, float] = field(repr=False)
    params: dict[str, str] = field(repr=False)
    lineage: dict[str, str] = field(repr=False)
    files: tuple[str, ...] = field(repr=False)
    links: dict[str, str] = field(repr=False)
    release: RunningRelease | None = None

    def to_dict(self) -> dict[str, Any]:
        """Content that JSON can hold."""
        return asdict(self)


def find_registered(model: str, run_key: str, settings: Settings) -> Registered | None:
    """Return the version of a run key, if any; end its run if a killed registration did not."""
    if is_empty(settings):
        return None
    contents = registry_contents(settings)
    adopt_versions(contents, model, settings)
    version = version_of(contents, open_database(settings.database_url), model, run_key)
    if version is None:
        return None
    registered = complete(contents, version, settings, created=False, run_key=run_key)
    log_registration(registered)
    return registered


def list_models(settings: Settings) -> list[ModelSummary]:
    """Summarise every model with a model file or a registered version, sorted by name."""
    known = {name: ModelSummary(name, 0) for name in model_names(settings.root)}
    if not is_empty(settings):
        contents = registry_contents(settings)
        known.update({name: _summary(contents, name, settings) for name in _registered_names(contents)})
    return [replace(known[name], problem=_problem(name, settings)) for name in sorted(known)]


def _problem(model: str, settings: Settings) -> str | None:
    if not model_path(settings.root, model).is_file():
        return None
    try:
        load_model_config(settings.root, model)
    except ConfigError as error:
        return str(error)
    return None


def show_model(model: str, selector: str | None, settings: Settings) -> VersionDetail:
    """Describe one version.

    Parameters
    ----------
    selector
        A version number, ``champion`` or ``challenger``; None for the champion, or for the newest version if there is
        none.

    Raises
    ------
    ModelNotFoundError
        No such model, version or alias; the message lists the existing ones.
    """
    contents = _contents_for(model, settings)
    versions, aliases = _versions(contents, model, settings)
    number = _selected(model, selector, list(versions), aliases)
    return _detail(contents, versions[number], aliases, settings)


def version_number(model: str, selector: str, settings: Settings) -> int:
    """Return the version number for a number or an alias.

    Raises
    ------
    ModelNotFoundError
        No such model, version or alias; the message lists the existing ones.
    """
    versions, aliases = _versions(_contents_for(model, settings), model, settings)
    return _selected(model, selector, list(versions), aliases)


def registered_version(model: str, version: int, settings: Settings) -> Registered:
    """Return a registered version; end its run if a killed registration did not.

    Raises
    ------
    ModelNotFoundError
        Nothing is registered yet.
    """
    contents = _contents_for(model, settings)
    return complete(contents, registered_in_mlflow(contents, model, version), settings, created=False)


def data_version_of(model: str, version: int, settings: Settings) -> str:
    """Return the data version that a version was trained on, see :func:`version_record`."""
    return version_record(model, version, settings).data_version


def version_record(model: str, version: int, settings: Settings) -> RegisteredVersion:
    """Return what the operational database records about a version; MLflow is asked only if it has no record.

    Raises
    ------
    ModelNotFoundError
        The version is not recorded, and MLflow no longer has it.
    BundleError
        This project did not register it.
    StorageError
        MLflow or the database is unavailable.
    """
    known = find_version(open_database(settings.database_url), model, version)
    if known is not None:
        return known
    contents = _contents_for(model, settings)
    return recorded_version(contents, registered_in_mlflow(contents, model, version), settings)


def champion_record(model: str, settings: Settings) -> RegisteredVersion:
    """Return what is recorded about a model's champion, see :func:`version_record`.

    Raises
    ------
    ModelNotFoundError
        There is no champion.
    """
    entry = current_champion(open_database(settings.database_url), model)
    version = entry.version if entry else champion_before_history(model, settings)
    if version is None:
        raise ModelNotFoundError(f"{model!r} has no champion yet; train one with: perennial train {model}")
    return version_record(model, version, settings)


def registered_in_mlflow(contents: Contents, model: str, version: int) -> StoredVersion:
    """Return a version as MLflow has it; nothing in it is to be trusted.

    Raises
    ------
    ModelNotFoundError
        There is no such version.
    """
    found = contents.version(model, version)
    if found is not None:
        return found
    raise ModelNotFoundError(f"{model!r} has no version {version}; 'perennial models' lists the versions")


def versions_made_for(model: str, trigger: str, settings: Settings) -> list[int]:
    """Return the versions that were registered for a trigger, ascending."""
    return versions_of_trigger(open_database(settings.database_url), model, trigger)


def serve_mlflow(settings: Settings, port: int) -> None:
    """Serve MLflow's pages on this machine until interrupted.

    Raises
    ------
    ConfigError
        MLflow's address is that of a running server.
    """
    if settings.mlflow_uri.startswith("http"):
        raise ConfigError(f"MLflow's server is already running: open {address(settings)}")
    mlflow_client(settings)  # creates the database if there is none
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", settings.mlflow_uri, "--default-artifact-root", str(artifact_root(settings))]
    # MLflow's jobs execute code for any client; this server is only for its pages.
    environment = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    subprocess.run(command, env=environment, check=False)  # noqa: S603 - our own interpreter, our own settings


def _registered_names(contents: Contents) -> list[str]:
    # Models with names that Perennial does not allow were registered by other tools.
    return [name for name in contents.models() if is_model_name(name)]


def _contents_for(model: str, settings: Settings) -> Contents:
    if is_empty(settings):
        raise ModelNotFoundError(_not_trained(model, settings))
    return registry_contents(settings)


def _versions(contents: Contents, model: str, settings: Settings) -> tuple[dict[int, StoredVersion], dict[str, int]]:
    """Versions of a model by number, ascending, and its aliases."""
    names = _registered_names(contents)
    versions = {version.version: version for version in contents.versions(model)} if model in names else {}
    if not versions:
        raise ModelNotFoundError(_not_trained(model, settings, names))
    return versions, _aliases(contents, model, settings)


def _aliases(contents: Contents, model: str, settings: Settings) -> dict[str, int]:
    """Return a model's aliases: ours from the database, because other tools can move MLflow's; others from MLflow."""
    held = contents.aliases(model)
    engine = open_database(settings.database_url)
    known = standing(engine, model)
    ours = {CHALLENGER: known.challenger} if known.sequence or known.challenger else {}
    if known.sequence:
        ours |= {CHAMPION: known.champion, PREVIOUS: known.previous}
    elif knows_model(engine, model):  # otherwise only MLflow has its champion, from before the history
        ours |= {CHAMPION: adopted_champion(engine, model), PREVIOUS: None, CHALLENGER: known.challenger}
    others = {name: number for name, number in held.items() if name not in ours}
    return others | {name: number for name, number in ours.items() if number is not None}


def _summary(contents: Contents, model: str, settings: Settings) -> ModelSummary:
    aliases = _aliases(contents, model, settings)
    versions = {version.version: version for version in contents.versions(model)}
    if not versions:
        return ModelSummary(model, 0)
    newest = max(versions)
    shown = versions.get(aliases.get(CHAMPION, newest), versions[newest])
    gate = _gate(model, shown.version, settings)
    return ModelSummary(
        model=model,
        n_versions=len(versions),
        champion=aliases.get(CHAMPION),
        challenger=aliases.get(CHALLENGER),
        newest=newest,
        metric=gate.get("metric"),
        value=gate.get("value"),
        created_at=_moment(versions[newest].creation_timestamp),
        release=_running(model, settings),
    )


def _running(model: str, settings: Settings) -> RunningRelease | None:
    state = running_release(open_database(settings.database_url), model)
    if state is None:
        return None
    newest = state.newest
    return RunningRelease(state.release.number, state.release.version, newest.stage, newest.share, state.is_paused)


def _selected(model: str, selector: str | None, versions: Sequence[int], aliases: Mapping[str, int]) -> int:
    if selector is None:
        return aliases.get(CHAMPION, versions[-1])
    number = int(selector) if selector.isdecimal() else aliases.get(selector)
    if number is not None and number in versions:
        return number
    held = ", ".join(f"{model}@{alias} (version {number})" for alias, number in sorted(aliases.items()))
    numbers = ", ".join(map(str, versions)) if len(versions) <= 10 else f"{versions[0]} to {versions[-1]}"
    close = closest_text(selector, aliases)
    raise ModelNotFoundError(
        f"{model!r} has no version or alias {selector!r}{f' ({close})' if close else ''}; it has versions {numbers}; "
        f"{held or 'no aliases'}"
    )


def _not_trained(model: str, settings: Settings, registered: Sequence[str] = ()) -> str:
    if model in model_names(settings.root):
        return f"{model!r} has no registered version yet; train it with 'perennial train {model}'"
    others = ", ".join(sorted({*registered, *model_names(settings.root)})) or "none yet"
    return f"there is no model {model!r}; models here: {others}"


def _detail(
    contents: Contents, version: StoredVersion, aliases: Mapping[str, int], settings: Settings
) -> VersionDetail:
    run, tags, number = contents.run(version.run_id), version.tags, version.version
    model_id = tags.get("perennial.model_id", "")
    files = tuple(registered_files(contents, model_id, settings)) if model_id else ()
    known = find_version(open_database(settings.database_url), version.name, number)
    gate = _gate(version.name, number, settings)
    lineage = {name: tags[name] for name in LINEAGE if tags.get(name)}
    lineage |= {RUN_KEY: known.run_key, DATA_VERSION: known.data_version, TRIGGER: known.trigger} if known else {}
    return VersionDetail(
        model=version.name,
        version=number,
        aliases=tuple(sorted(alias for alias, held in aliases.items() if held == number)),
        run_id=version.run_id,
        created_at=_moment(version.creation_timestamp),
        data_version=lineage.get(DATA_VERSION, ""),
        gate=GATE_WORDS[gate["decision"]] if gate else "not judged",
        gate_metric=gate.get("metric", ""),
        gate_value=gate.get("value"),
        gate_floor=gate.get("floor"),
        reasons=tuple(gate.get("reasons", ())),
        metrics=dict(sorted(run.metrics.items())) if run else {},
        params=dict(sorted(run.params.items())) if run else {},
        lineage={name.removeprefix("perennial."): text for name, text in lineage.items() if text},
        files=files,
        links=_links(version, run, files, settings),
        release=_running(version.name, settings),
    )


def _gate(model: str, version: int, settings: Settings) -> dict[str, Any]:
    """Return the last verdict as the operational database records it; empty if there is none."""
    verdict = find_verdict(open_database(settings.database_url), model, version)
    return {} if verdict is None else dict(json.loads(verdict.document))


def _links(version: StoredVersion, run: StoredRun | None, files: Sequence[str], settings: Settings) -> dict[str, str]:
    links = {"bundle": _place(version.source)}
    if "card.html" in files:
        links = {"model card": f"{links['bundle']}/card.html", **links}
    if run is not None:
        links["reports"] = f"{_place(run.artifact_uri)}/{REPORTS}"
        if "perennial.gate" in version.tags:  # the card in the reports includes the verdict
            links["model card"] = f"{links['reports']}/card.html"
    if settings.mlflow_uri.startswith("http"):
        links["MLflow"] = f"{address(settings).rstrip('/')}/#/models/{version.name}/versions/{version.version}"
    else:
        links["MLflow"] = "perennial ui"
    return links


def _place(uri: str) -> str:
    """Return a path if the files are on this machine, else the address."""
    path = local_path(uri)
    return uri if path is None else path


def _moment(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="seconds")
