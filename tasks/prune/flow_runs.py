"""Prefect: flow runs that ended long ago, with their task runs and logs."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
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
AT_MOST = 2_000
"""Most runs that one pruning looks at; the next one continues."""

AT_ONCE = 100
"""Most runs that are deleted over one connection."""

RETRIES = 4
"""Repetitions of a call that finds Prefect's SQLite database busy, in half a minute."""

ENDED = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")


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
    with prefect_client(settings, retries=RETRIES) as client:
        ended = _ended(client, before, shared=not _is_own(settings))
        runs = [run for run in ended if str(run.id) not in in_progress]
    parts = [runs[start : start + AT_ONCE] for start in range(0, len(runs), AT_ONCE)]
    return Findings(rule, tuple(_found(part, settings) for part in parts))


def _is_own(settings: Settings) -> bool:
    """Return whether the server is the project's own, so that all runs are of this project."""
    address, local, platform = known_api(settings), running_server(settings), read_platform(settings.var)
    if local is not None and address == local.api_url:
        return True
    return platform is not None and platform.prefect_port is not None and address == platform.prefect_api_url


def _found(runs: Sequence[FlowRun], settings: Settings) -> Found:
    """Return one item for several runs, because a connection for each would take longer than its deletion."""
    at = max((run.end_time for run in runs if run.end_time is not None), default=datetime.now(UTC))
    item = Item("flow runs", "", f"{len(runs)} until {at:%Y-%m-%d %H:%M:%S}", at, count=len(runs))
    return Found(item, partial(_remove, [run.id for run in runs], settings))


def _ended(client: SyncPrefectClient, before: datetime, *, shared: bool) -> Iterator[FlowRun]:
    from prefect.client.schemas.filters import FlowRunFilter

    asked: dict[str, Any] = {"state": {"type": {"any_": list(ENDED)}}, "end_time": {"before_": before}}
    if shared:
        asked["tags"] = {"all_": [TAG]}
    chosen, seen = FlowRunFilter.model_validate(asked), 0
    while seen < AT_MOST and (page := client.read_flow_runs(flow_run_filter=chosen, limit=PAGE, offset=seen)):
        yield from page
        seen += len(page)


def _remove(run_ids: Sequence[Any], settings: Settings) -> None:
    from prefect.exceptions import ObjectNotFound

    with prefect_client(settings, retries=RETRIES) as client:
        for run_id in run_ids:
            with suppress(ObjectNotFound):  # another pruning was first
                client.delete_flow_run(run_id)
