"""Deploy the flows of every model to a Prefect server: render ``prefect.yaml`` and call Prefect's own deploy."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ruamel.yaml import YAML

from config.load import load_model_config, model_names
from config.prefect_file import Deployment, PrefectFile, load_prefect_file
from config.settings import PACKAGES, Settings
from core.errors import ConfigError, StorageError
from core.operate.deployments import (
    CLONED_PENDING_SECONDS,
    PENDING_SECONDS,
    TAG,
    DeployedFlow,
    Site,
    automations,
    deployed_flow,
    model_of,
    rendered,
)
from tasks.runs.api import known_api
from tasks.runs.local_server import prefect_environment

if TYPE_CHECKING:
    from uuid import UUID

    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.responses import DeploymentResponse
    from prefect.events.schemas.automations import AutomationCore


PAGE = 200
"""Maximum deployments per response of Prefect's API."""

Known = dict[str, "DeploymentResponse"]


def deploy_models(
    models: Sequence[str],
    settings: Settings,
    *,
    pool: str | None = None,
    repository: str | None = None,
    branch: str | None = None,
    prune: bool = False,
) -> list[DeployedFlow]:
    """Update the server's deployments to those of the model files; a repeat changes nothing.

    Only deployments that differ are deployed: Prefect's deploy would delete a deployment's automation and create it
    again under another id, and events that arrive in between would start nothing.

    Parameters
    ----------
    models
        Names of models; all if empty.
    pool, repository, branch
        Replace the values of the settings.
    prune
        Remove the deployments of models that no longer exist, and their automations.

    Raises
    ------
    ConfigError
        No server is configured or running, ``prefect.yaml`` or a model file is invalid, or Prefect refuses one.
    StorageError
        The server does not answer.
    """
    site = _site(settings, pool, repository, branch)
    file = render(models, settings, site)
    path = _write(file, settings)
    with _server(settings) as client:
        _ensure_pool(client, site.work_pool)
        known = _deployments(client)
        changed = [deployment for deployment in file.deployments if not _is_there(client, deployment, known)]
        if changed:
            _run_prefect(path, changed, settings)
        _drop_schedules(client, file)
        for definition in automations(CLONED_PENDING_SECONDS if site.repository else PENDING_SECONDS):
            _ensure_automation(client, definition)
        now = datetime.now(UTC)
        told = [deployed_flow(deployment, _change(deployment, changed, known), now) for deployment in file.deployments]
        return told + _left_over(client, settings, site, known, prune)


def render(models: Sequence[str], settings: Settings, site: Site) -> PrefectFile:
    """Return the project's ``prefect.yaml``, or that of the package, rendered for models."""
    ours = settings.root / "prefect.yaml"
    pattern = load_prefect_file(ours if ours.is_file() else PACKAGES / "prefect.yaml")
    configs = [load_model_config(settings.root, model) for model in models or model_names(settings.root)]
    if not configs:
        raise ConfigError(
            f"{settings.root} has no model file; create one with 'perennial init --data FILE --target COLUMN'"
        )
    hashes = {deployment.flow: _flow_hash(deployment) for deployment in pattern.deployments}
    return rendered(pattern, configs, site, hashes)


def _site(settings: Settings, pool: str | None, repository: str | None, branch: str | None) -> Site:
    here = {"PERENNIAL_ROOT": str(settings.root), "PERENNIAL_VAR": str(settings.var)}
    cloned = repository or settings.repository
    return Site(
        work_pool=pool or settings.work_pool,
        repository=cloned,
        branch=branch or settings.branch,
        folder=str(PACKAGES),
        # A clone is deleted with its run: what follows a decision on drift must end before.
        environment={"PERENNIAL_FOLLOW_UP": "wait"} if cloned else here,
    )


def _flow_hash(deployment: Deployment) -> str:
    path = PACKAGES / deployment.entrypoint.partition(":")[0]
    if not path.is_file():
        raise ConfigError(
            f"prefect.yaml: the file of the entrypoint {deployment.entrypoint} does not exist in {PACKAGES}"
        )
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _write(file: PrefectFile, settings: Settings) -> Path:
    path = settings.var / "deploy" / "prefect.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = YAML(typ="safe", pure=True)
    writer.default_flow_style = False
    temporary = path.with_suffix(f".{os.getpid()}")
    with temporary.open("w", encoding="utf-8") as output:
        writer.dump(file.to_document(), output)
    temporary.replace(path)
    return path


@contextmanager
def _server(settings: Settings) -> Iterator[SyncPrefectClient]:
    os.environ["PREFECT_API_URL"] = _api_url(settings)
    for name, value in _environment(settings).items():
        os.environ.setdefault(name, value)
    import httpx
    from prefect.client.orchestration import get_client
    from prefect.settings import PREFECT_API_URL, temporary_settings

    with temporary_settings({PREFECT_API_URL: os.environ["PREFECT_API_URL"]}):
        try:
            with get_client(sync_client=True) as client:
                yield client
        except httpx.TransportError as error:
            raise StorageError(
                f"the Prefect server {os.environ['PREFECT_API_URL']} does not answer ({error}); run the command again"
            ) from error


def _api_url(settings: Settings) -> str:
    address = known_api(settings)
    if address is None:
        raise ConfigError(
            "no Prefect server to deploy to: set PREFECT_API_URL (and PREFECT_API_KEY for Prefect Cloud), "
            "or start the platform on this machine with 'perennial up'"
        )
    return address


def _environment(settings: Settings) -> dict[str, str]:
    ours = prefect_environment(settings)
    if settings.prefect_api_url:
        # A user who is logged in to a server or to Prefect Cloud keeps the profile.
        del ours["PREFECT_HOME"]
    return ours


def _ensure_pool(client: SyncPrefectClient, name: str) -> None:
    from prefect.client.schemas.actions import WorkPoolCreate
    from prefect.exceptions import ObjectNotFound

    try:
        client.read_work_pool(name)
    except ObjectNotFound:
        client.create_work_pool(WorkPoolCreate(name=name, type="process"))


def _deployments(client: SyncPrefectClient) -> Known:
    """Return the server's deployments with our tag, by name."""
    from prefect.client.schemas.filters import DeploymentFilter

    ours = DeploymentFilter.model_validate({"tags": {"all_": [TAG]}})
    flows: dict[UUID, str] = {}
    found: list[DeploymentResponse] = []
    while page := client.read_deployments(deployment_filter=ours, limit=PAGE, offset=len(found)):
        found += page
    for deployment in found:
        if deployment.flow_id not in flows:
            flows[deployment.flow_id] = client.read_flow(deployment.flow_id).name
    return {f"{flows[deployment.flow_id]}/{deployment.name}": deployment for deployment in found}


def _is_there(client: SyncPrefectClient, deployment: Deployment, known: Known) -> bool:
    found = known.get(deployment.full_name)
    if found is None or found.version != deployment.version or found.work_pool_name != deployment.work_pool.name:
        return False
    wanted = {(schedule.slug, schedule.cron, schedule.timezone) for schedule in deployment.schedules}
    there = {
        (schedule.slug, getattr(schedule.schedule, "cron", None), getattr(schedule.schedule, "timezone", None))
        for schedule in found.schedules
    }
    return wanted <= there and all(
        len(client.read_automations_by_name(trigger.name)) == 1 for trigger in deployment.triggers
    )


def _run_prefect(path: Path, changed: Sequence[Deployment], settings: Settings) -> None:
    """Call Prefect's deploy in the folder of the code; if it fails, the error contains its output."""
    names = [part for deployment in changed for part in ("--name", deployment.full_name)]
    command = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", *names, "--prefect-file", str(path)]
    environment = {**_environment(settings), **os.environ, "PREFECT_API_URL": os.environ["PREFECT_API_URL"]}
    # With PYTHONDONTWRITEBYTECODE, every start would compile Prefect again.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    done = subprocess.run(  # noqa: S603 - fixed arguments, names from the rendered file and our own path
        command, cwd=PACKAGES, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise ConfigError(f"Prefect refused {path}:\n{(done.stdout + done.stderr).strip()[-4000:]}")


def _drop_schedules(client: SyncPrefectClient, file: PrefectFile) -> None:
    """Delete the schedules that are no longer in the model files: Prefect's deploy only adds and changes schedules."""
    known = _deployments(client)
    for deployment in file.deployments:
        wanted = {schedule.slug for schedule in deployment.schedules}
        found = known[deployment.full_name]
        for schedule in found.schedules:
            if schedule.slug not in wanted:
                client.delete_deployment_schedule(found.id, schedule.id)


def _ensure_automation(client: SyncPrefectClient, definition: dict[str, Any]) -> None:
    """Create an automation, or update the one with its name in place."""
    from prefect.events.schemas.automations import AutomationCore

    wanted = AutomationCore.model_validate(definition)
    found = client.read_automations_by_name(wanted.name)
    for surplus in found[1:]:
        client.delete_automation(surplus.id)
    if not found:
        client.create_automation(wanted)
    elif _essence(found[0]) != _essence(wanted):
        client.update_automation(found[0].id, wanted)


def _essence(automation: AutomationCore) -> dict[str, Any]:
    """Return the content without server-side ids and without ``enabled``, which users may change."""
    ours = {"name", "description", "trigger", "actions"}
    return automation.model_dump(include=ours, exclude={"trigger": {"id": True}})


def _change(deployment: Deployment, changed: Sequence[Deployment], known: Known) -> Any:
    if deployment.full_name not in known:
        return "created"
    return "updated" if deployment in changed else "unchanged"


def _left_over(
    client: SyncPrefectClient, settings: Settings, site: Site, known: Known, prune: bool
) -> list[DeployedFlow]:
    """Find the deployments of models that no longer exist; delete them if ``prune``.

    Only deployments with a model in the same work pool count, because another project may use the same server.
    """
    ours = {None, *model_names(settings.root)}
    gone = {
        name: found
        for name, found in known.items()
        if found.work_pool_name == site.work_pool and model_of(found.tags) not in ours
    }
    for found in gone.values() if prune else ():
        # Prefect keeps the automations of a deleted deployment.
        client.delete_resource_owned_automations(f"prefect.deployment.{found.id}")
        client.delete_deployment(found.id)
    return [DeployedFlow(name, "removed" if prune else "left over") for name in sorted(gone)]
