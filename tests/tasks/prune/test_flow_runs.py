"""Ended flow runs on a real Prefect server."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

from config.settings import RetentionSettings, Settings
from core.retention.items import expired
from tasks.prune.flow_runs import ended_runs

NOW_ENDED = RetentionSettings().model_copy(update={"prefect_days": 0.0})


@pytest.fixture
def client(prefect_api: str) -> Iterator[Any]:
    """Return a client of the test server."""
    assert prefect_api
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        yield client


@pytest.fixture
def settings(project: Settings, prefect_api: str) -> Settings:
    """Return a project whose Prefect server others use too."""
    return project.model_copy(update={"prefect_api_url": prefect_api})


def start(client: Any, state: str, *tags: str) -> str:
    """Create a flow run in a state and return its id."""
    from prefect import flow
    from prefect.client.schemas.objects import State

    @flow(name=f"f{uuid4().hex}")
    def nothing() -> None:
        """Do nothing."""

    run = client.create_flow_run(nothing, tags=tags)
    client.set_flow_run_state(run.id, State.model_validate({"type": state}), force=True)
    return str(run.id)


def removed(settings: Settings, retention: RetentionSettings, *in_progress: str) -> int:
    """Remove what may go, and return the number of runs."""
    findings = ended_runs(settings, retention, in_progress)
    gone = set(expired((found.item for found in findings.found), findings.rule, datetime.now(UTC)))
    for found in findings.found:
        if found.item in gone:
            found.remove()
            found.remove()  # another pruning was first
    return sum(item.count for item in gone)


def is_there(client: Any, run_id: str) -> bool:
    """Whether the server has a run."""
    from prefect.client.schemas.filters import FlowRunFilter

    return bool(client.read_flow_runs(flow_run_filter=FlowRunFilter.model_validate({"id": {"any_": [run_id]}})))


def test_only_ended_runs_of_ours_that_nothing_waits_for_go(client: Any, settings: Settings) -> None:
    """A crashed run of an open trigger is started again; a run of others on the same server is not ours."""
    ended = [start(client, state, "perennial") for state in ("COMPLETED", "FAILED", "CANCELLED")]
    kept = [
        start(client, "CRASHED", "perennial"),
        start(client, "RUNNING", "perennial"),
        start(client, "SCHEDULED", "perennial"),
        start(client, "COMPLETED"),
    ]
    assert removed(settings, RetentionSettings()) == 0
    assert removed(settings, NOW_ENDED, kept[0]) >= len(ended)
    assert [is_there(client, run) for run in (*ended, *kept)] == [False] * 3 + [True] * 4


def test_without_a_server_nothing_is_looked_at(project: Settings) -> None:
    """The project's local server stops when it is idle; its runs wait for the next pruning."""
    assert ended_runs(project, NOW_ENDED, ()).found == ()
