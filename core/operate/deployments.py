"""The deployments of every model, from ``prefect.yaml`` and the model files."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal
from zoneinfo import ZoneInfo

from cronsim import CronSim

from config.prefect_file import CronSchedule, Deployment, PrefectFile
from config.schema import ModelConfig

TAG = "perennial"
"""Tag of every deployment of Perennial, and so of every run of one."""

HEARTBEAT_SECONDS = 30
"""Prefect's shortest interval between two heartbeats of a run."""

ZOMBIE_SECONDS = 80
"""Time without a heartbeat after which a run counts as dead. The server checks every 5 s and needs a moment to act,
so a run is marked within three heartbeats of its death, wherever in the interval between two it died."""

RECALL_SECONDS = HEARTBEAT_SECONDS + 5
"""How long after a run was marked a heartbeat may still arrive. A restart waits longer, or the run runs twice."""

PENDING_SECONDS = 120
"""How long the process of a run may take to begin, when the code is in a folder on its worker's machine."""

CLONED_PENDING_SECONDS = 900
"""The same, where the run first clones, installs, and waits for another run that holds the model."""

SILENT = "CrashedSilently"
"""Name of the state, of type *crashed*, of a run whose heartbeats stopped."""

MODEL_PLACE = "$PERENNIAL_MODEL"
"""Placeholder of the model's name in ``prefect.yaml``."""

HEARTBEAT = "prefect.flow-run.heartbeat"

_FINAL = ("Completed", "Failed", "Cancelled", "Crashed", SILENT, "Skipped")

_OF_OUR_RUNS = {
    "match": {"prefect.resource.id": "prefect.flow-run.*"},
    "match_related": {"prefect.resource.id": f"prefect.tag.{TAG}", "prefect.resource.role": "tag"},
    "for_each": ["prefect.resource.id"],
}

Change = Literal["created", "updated", "unchanged", "removed", "left over"]


@dataclass(frozen=True)
class Site:
    """Where runs find code and data.

    Parameters
    ----------
    work_pool
        Name of the pool whose workers take the runs.
    repository, branch
        Cloned by every run; None where the code is in a folder on the worker's machine.
    folder
        That folder, with the code.
    environment
        Variables in addition to those of ``prefect.yaml``.
    """

    work_pool: str
    repository: str | None
    branch: str | None
    folder: str
    environment: Mapping[str, str]


@dataclass(frozen=True)
class DeployedFlow:
    """The change made to one deployment.

    Parameters
    ----------
    name
        ``flow/model``.
    change
        ``left over`` is a deployment of a model that no longer exists; ``perennial deploy --prune`` removes it.
    schedule
        Cron expression and time zone; None where the deployment has no schedule.
    next_run
        The schedule's next slot.
    """

    name: str
    change: Change
    schedule: str | None = None
    next_run: datetime | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as values that JSON can hold."""
        return {**asdict(self), "next_run": self.next_run.isoformat() if self.next_run else None}


def rendered(
    pattern: PrefectFile, models: Sequence[ModelConfig], site: Site, flow_hashes: Mapping[str, str]
) -> PrefectFile:
    """Return the deployments of every model, with their schedules, and those of the whole project.

    A deployment whose name does not name the model is one of the whole project: it is rendered once, with the
    schedules of ``prefect.yaml``.

    Parameters
    ----------
    pattern
        The project's ``prefect.yaml``.
    models
        The model files.
    site
        Where runs find code and data.
    flow_hashes
        Hash of the file by flow name. It is part of a deployment's version, because the server stores the flow's
        signature.
    """
    deployments = []
    for config in models:
        for deployment in pattern.deployments:
            if MODEL_PLACE in deployment.name:
                schedules = _schedules(config, deployment.flow)
                deployments.append(_document(deployment, pattern, site, _values(config, site), schedules))
    shared = [deployment for deployment in pattern.deployments if MODEL_PLACE not in deployment.name]
    deployments += [_document(deployment, pattern, site, _site_values(site)) for deployment in shared]
    for document in deployments:
        flow = str(document["entrypoint"]).partition(":")[2]
        document["version"] = _version(document, flow_hashes[flow])
    content = {**pattern.to_document(), "deployments": deployments}
    content.pop("pull", None)
    return PrefectFile.model_validate(content)


def _document(
    deployment: Deployment,
    pattern: PrefectFile,
    site: Site,
    values: Mapping[str, str],
    schedules: list[dict[str, Any]] | None = None,
) -> dict[str, Any]:
    """Return a deployment with its placeholders filled in; without ``schedules``, with those of ``prefect.yaml``."""
    document: dict[str, Any] = _filled(deployment.model_dump(mode="json", exclude_unset=True), values)
    # Steps about the rows of a model have no place in a deployment of the whole project.
    steps = [step for step in pattern.pull if "PERENNIAL_MODEL" in values or MODEL_PLACE not in json.dumps(step)]
    document["pull"] = _filled(steps, values) if site.repository else _stay(site)
    document["work_pool"]["job_variables"]["env"] |= site.environment
    if schedules is not None:
        document["schedules"] = schedules
    return document


def next_run(schedule: CronSchedule, now: datetime) -> datetime:
    """Return the first slot of a schedule after a moment.

    Examples
    --------
    >>> from datetime import UTC
    >>> schedule = CronSchedule(slug="monitor", cron="0 6 * * *", timezone="Europe/Berlin")
    >>> next_run(schedule, datetime(2026, 7, 1, 12, tzinfo=UTC)).isoformat()
    '2026-07-02T06:00:00+02:00'
    """
    return next(CronSim(schedule.cron, now.astimezone(ZoneInfo(schedule.timezone))))


def deployed_flow(deployment: Deployment, change: Change, now: datetime) -> DeployedFlow:
    """Describe a deployment of the rendered file.

    Parameters
    ----------
    deployment
        With its schedules.
    change
        What was done with it on the server.
    now
        Aware moment after which the next slot is looked for.
    """
    if not deployment.schedules:
        return DeployedFlow(deployment.full_name, change)
    schedule = deployment.schedules[0]
    return DeployedFlow(deployment.full_name, change, f"{schedule.cron} ({schedule.timezone})", next_run(schedule, now))


def model_of(tags: Sequence[str]) -> str | None:
    """Return the model in a deployment's tags; None where there is none.

    Examples
    --------
    >>> model_of(["perennial", "model:credit", "ingest"]), model_of(["other"])
    ('credit', None)
    """
    return next((tag.removeprefix("model:") for tag in tags if tag.startswith("model:")), None)


def automations(pending_seconds: int = PENDING_SECONDS) -> list[dict[str, Any]]:
    """Return the automations that belong to no single deployment, in the format of Prefect's API.

    Their names differ in their beginning from those of the automations whose failures cause alerts: a run of a second
    or two ends before its first heartbeat arrives, the action then changes nothing, and Prefect reports it as failed.
    """
    return [_crash_silent_runs(), _crash_runs_that_never_began(pending_seconds), _recall_living_runs()]


def _crash_silent_runs() -> dict[str, Any]:
    """Mark runs whose process died as crashed.

    A heartbeat both satisfies the expected event and starts the next wait. Besides heartbeats, only states without a
    process are expected events: after any other state, a run that died before its next heartbeat would never be
    found. Runs in a final state are not touched; Prefect refuses to change them.
    """
    return {
        "name": "perennial crashes silent runs",
        "description": f"A run that has sent no heartbeat for {ZOMBIE_SECONDS} s has no process any more.",
        "enabled": True,
        "trigger": {
            "type": "event",
            "posture": "Proactive",
            **_OF_OUR_RUNS,
            "after": [HEARTBEAT],
            "expect": [HEARTBEAT, *_states(*_FINAL)],
            "threshold": 1,
            "within": ZOMBIE_SECONDS,
        },
        "actions": [_crash(f"No heartbeat for {ZOMBIE_SECONDS} s: the run's process is gone")],
    }


def _crash_runs_that_never_began(seconds: int) -> dict[str, Any]:
    """Mark runs whose worker died before their process began as crashed: they have no heartbeat yet."""
    began = ("Running", "Retrying", "Scheduled", "Late", "AwaitingRetry", "AwaitingConcurrencySlot", "Cancelling")
    return {
        "name": "perennial crashes runs that never began",
        "description": f"A run that a worker has taken begins within {seconds} s, or its worker has died.",
        "enabled": True,
        "trigger": {
            "type": "event",
            "posture": "Proactive",
            **_OF_OUR_RUNS,
            "after": _states("Pending"),
            "expect": _states(*began, *_FINAL),
            "threshold": 1,
            "within": seconds,
        },
        "actions": [_crash(f"Not begun {seconds} s after a worker took it: the worker is gone")],
    }


def _recall_living_runs() -> dict[str, Any]:
    """Undo a wrong mark: a server that was down counts runs as silent before their delayed heartbeats arrive.

    A living run sends its next heartbeat within one interval.
    """
    return {
        "name": "perennial recalls living runs",
        "description": "A run that sends a heartbeat has a process, so it is not crashed.",
        "enabled": True,
        "trigger": {
            "type": "event",
            "posture": "Reactive",
            **_OF_OUR_RUNS,
            "after": _states(SILENT),
            "expect": [HEARTBEAT],
            "threshold": 1,
            "within": RECALL_SECONDS,
        },
        "actions": [
            {
                "type": "change-flow-run-state",
                "state": "RUNNING",
                "message": "The run has sent a heartbeat: its process lives",
                "force": True,
            }
        ],
    }


def _states(*names: str) -> list[str]:
    return [f"prefect.flow-run.{name}" for name in names]


def _crash(message: str) -> dict[str, Any]:
    return {"type": "change-flow-run-state", "name": SILENT, "state": "CRASHED", "message": message}


def _values(config: ModelConfig, site: Site) -> dict[str, str]:
    return {"PERENNIAL_MODEL": config.model, **_site_values(site)}


def _site_values(site: Site) -> dict[str, str]:
    return {
        "PERENNIAL_WORK_POOL": site.work_pool,
        "PERENNIAL_REPOSITORY": site.repository or "",
        "PERENNIAL_BRANCH": site.branch or "",
    }


def _filled(node: Any, values: Mapping[str, str]) -> Any:
    """Replace the placeholders ``{{ $NAME }}``; other placeholders are Prefect's."""
    if isinstance(node, str):
        return re.sub(r"{{\s*\$(\w+)\s*}}", lambda found: values.get(found[1], found[0]), node)
    if isinstance(node, dict):
        return {key: _filled(value, values) for key, value in node.items()}
    if isinstance(node, list):
        return [_filled(value, values) for value in node]
    return node


def _stay(site: Site) -> list[dict[str, Any]]:
    return [{"prefect.deployments.steps.set_working_directory": {"directory": site.folder}}]


def _schedules(config: ModelConfig, flow: str) -> list[dict[str, Any]]:
    cron = getattr(config.schedule, flow, None)
    if cron is None:
        return []
    zone = config.schedule.timezone
    return [{"slug": flow, "cron": cron, "timezone": zone, "parameters": {"trigger": "schedule"}}]


def _version(document: Mapping[str, Any], flow_hash: str) -> str:
    content = json.dumps([document, flow_hash], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:12]
