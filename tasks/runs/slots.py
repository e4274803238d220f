"""Skip a scheduled run if a newer run of the same schedule is due."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeVar, cast

from core.operate.slots import newer_slot

if TYPE_CHECKING:
    from prefect.client.schemas.objects import FlowRun

STATES_THAT_COUNT = ("SCHEDULED", "PENDING", "RUNNING", "COMPLETED")
Outcome = TypeVar("Outcome")

MANY = 200
"""Maximum runs per response of Prefect's API."""


def superseded() -> str | None:
    """Return why the present flow run is skipped; None if it is not.

    After a time without a worker, there is a waiting run for every slot that passed. The newest run does the work of
    all, because each would read the same newest rows. Only runs of a schedule are skipped, and only before their first
    start: a run that is restarted after a crash continues.
    """
    run = _scheduled_run()
    if run is None or run.expected_start_time is None:
        return None
    now = datetime.now(UTC)
    due = _due_runs(run, now)
    if any(other.id == run.id and other.run_count > 1 for other in due):
        return None
    slots = [other.expected_start_time for other in due if other.auto_scheduled and other.expected_start_time]
    newer = newer_slot(run.expected_start_time, slots, now)
    return (
        None
        if newer is None
        else f"a newer run of this schedule, for {newer:%Y-%m-%d %H:%M:%S %Z}, is due and does the same work"
    )


def skipped(reason: str, in_place_of: type[Outcome]) -> Outcome:  # noqa: ARG001 - gives the return type
    """Return the result of a skipped flow run: a final state, which Prefect's pages show as *Skipped*.

    Parameters
    ----------
    in_place_of
        Type that the flow otherwise returns. Only runs of deployments are skipped, and their result is not used.
    """
    from prefect.states import Completed

    return cast(Outcome, Completed(name="Skipped", message=reason))


def _scheduled_run() -> FlowRun | None:
    from prefect.context import FlowRunContext

    context = FlowRunContext.get()
    run = context.flow_run if context else None
    return run if run and run.auto_scheduled and run.deployment_id else None


def _due_runs(run: FlowRun, now: datetime) -> list[FlowRun]:
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import DeploymentFilter, FlowRunFilter
    from prefect.client.schemas.sorting import FlowRunSort

    wanted = {
        "state": {"type": {"any_": list(STATES_THAT_COUNT)}},
        "expected_start_time": {"after_": run.expected_start_time, "before_": now},
    }
    with get_client(sync_client=True) as client:
        return client.read_flow_runs(
            deployment_filter=DeploymentFilter.model_validate({"id": {"any_": [run.deployment_id]}}),
            flow_run_filter=FlowRunFilter.model_validate(wanted),
            sort=FlowRunSort.EXPECTED_START_TIME_DESC,
            limit=MANY,
        )
