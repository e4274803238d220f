"""Prefect: flow runs that ended long ago, with their task runs and logs."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from config.platform import read_platform
from config.settings import RetentionSettings, Settings
from core.operate.deployments import TAG
from core.retention.items import Item, Rule
from tasks.prune.found import Findings, Found
from tasks.runs.api import known_api, prefect_client
from tasks.runs.local_server import running_server

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.objects import FlowRun

PAGE = 200
AT_ONCE = 2_000
"""Most runs that one pruning looks at; the next one continues."""

ENDED = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")
IN_PROGRESS = "a trigger in progress waits for it"


def ended_runs(settings: Settings, retention: RetentionSettings, in_progress: Collection[str]) -> Findings:
    """Return the flow runs that ended long ago; of a server that others use too, only those of Perennial.

    Parameters
    ----------
    in_progress
        Ids of the runs of triggers without an answer, which may be started again.

    Raises
    ------
    StorageError
        Prefect does not answer.
    """
    rule = Rule(age=timedelta(days=retention.prefect_days))
    if known_api(settings) is None:
        return Findings(rule, ())
    before = datetime.now(UTC) - rule.age
    with prefect_client(settings) as client:
        runs = list(_ended(client, before, shared=not _is_own(settings)))
    return Findings(rule, tuple(_found(run, settings, in_progress) for run in runs))


def _is_own(settings: Settings) -> bool:
    """Return whether the server is the project's own, with runs of nobody else."""
    address, local, platform = known_api(settings), running_server(settings), read_platform(settings.var)
    if local is not None and address == local.api_url:
        return True
    return platform is not None and platform.prefect_port is not None and address == platform.prefect_api_url


def _found(run: FlowRun, settings: Settings, in_progress: Collection[str]) -> Found:
    needed = IN_PROGRESS if str(run.id) in in_progress else ""
    item = Item("flow runs", "", str(run.id), run.end_time or datetime.now(UTC), needed=needed)
    return Found(item, partial(_remove, run.id, settings))


def _ended(client: SyncPrefectClient, before: datetime, *, shared: bool) -> Iterator[FlowRun]:
    from prefect.client.schemas.filters import FlowRunFilter

    asked: dict[str, Any] = {"state": {"type": {"any_": list(ENDED)}}, "end_time": {"before_": before}}
    if shared:
        asked["tags"] = {"all_": [TAG]}
    chosen, seen = FlowRunFilter.model_validate(asked), 0
    while seen < AT_ONCE and (page := client.read_flow_runs(flow_run_filter=chosen, limit=PAGE, offset=seen)):
        yield from page
        seen += len(page)


def _remove(run_id: Any, settings: Settings) -> None:
    from prefect.exceptions import ObjectNotFound

    with prefect_client(settings) as client:
        try:
            client.delete_flow_run(run_id)
        except ObjectNotFound:  # another pruning was first
            return
