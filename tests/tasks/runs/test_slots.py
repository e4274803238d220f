"""Missed schedules on a real Prefect server, with a real worker that was away."""

from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial

import pytest

from tasks.runs.slots import superseded
from tests.prefect_server import PrefectServer, await_that, prefect_server

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrefectServer]:
    """Run a server that lets a run ask for its turn again after a second."""
    wait = {"PREFECT_SERVER_DEPLOYMENTS_CONCURRENCY_SLOT_WAIT_SECONDS": "1"}
    with prefect_server(tmp_path_factory.mktemp("slots"), wait) as server:
        yield server


def test_missed_slots_lead_to_one_run_that_works(server: PrefectServer) -> None:
    """Of three late runs one does the work, whether they queue or not; what a person asked for is never left."""
    found = {
        strategy: server.deploy_light(strategy.lower(), strategy=strategy) for strategy in ("ENQUEUE", "CANCEL_NEW")
    }
    for deployment in found.values():
        server.miss_slots(deployment, datetime.now(UTC))
    asked = server.deploy_light("asked", limit=3)
    for _ in range(2):
        server.request("POST", f"/deployments/{asked}/create_flow_run", json={})
    server.start_worker()
    states = {
        name: await_that(partial(_states, server, deployment)) for name, deployment in {**found, "asked": asked}.items()
    }
    assert sorted(states["ENQUEUE"]) == ["Completed", "Skipped", "Skipped"]
    assert states["CANCEL_NEW"].count("Completed") == 1
    assert set(states["CANCEL_NEW"]) <= {"Completed", "Skipped", "Cancelled"}
    assert states["asked"] == ["Completed", "Completed"]


def test_outside_a_scheduled_run_nothing_is_superseded() -> None:
    """A command and a notebook ask no server."""
    assert superseded() is None


def _states(server: PrefectServer, deployment: str) -> list[str] | None:
    """Return the names of the final states of a deployment's runs; None while one of them is not final."""
    final = {"COMPLETED", "CANCELLED", "FAILED", "CRASHED"}
    runs = server.runs(deployment)
    return [run["state_name"] for run in runs] if {run["state_type"] for run in runs} <= final else None
