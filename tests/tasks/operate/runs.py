"""Flow runs that the relay asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.objects import FlowRun


def runs_of(client: SyncPrefectClient, model: str) -> list[FlowRun]:
    """Return the runs of all deployments that have the name of a model."""
    from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterName

    chosen = DeploymentFilter(name=DeploymentFilterName(any_=[model]))
    return client.read_flow_runs(deployment_filter=chosen)
