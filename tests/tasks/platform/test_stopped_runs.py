"""Runs that the platform ends, as Prefect is told them."""

import os
import subprocess
import sys
from typing import Any

import httpx
import pytest

from config.platform import PlatformState
from tasks.platform.processes import MARK
from tasks.platform.stopped_runs import RUN_VARIABLE, flow_runs_in_work, tell_crashed
from tests.busy_api import busy_api
from tests.prefect_server import await_that


def _state(api_url: str) -> PlatformState:
    given = {"id": f"test-{os.getpid()}", "socket": "s", "pool": "p", "runs_at_once": 1, "serving_port": 1}
    given |= {"prefect_api_url": api_url, "mlflow_uri": "m", "mlflow_store": "m", "database_url": "d"}
    return PlatformState.model_validate(given)


def test_runs_are_known_by_the_environment_of_their_processes() -> None:
    """Whoever their parent is now."""
    state = _state("http://127.0.0.1:1/api")
    environment = os.environ | {MARK: state.id, RUN_VARIABLE: "a-run"}
    waits = [sys.executable, "-c", "print('up', flush=True); input()"]
    with subprocess.Popen(waits, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert flow_runs_in_work(state) == {"a-run"}
        process.kill()
    assert flow_runs_in_work(state) == set()


@pytest.mark.e2e
def test_a_run_and_its_subflows_crash_and_what_has_ended_stays(prefect_api: str) -> None:
    """The whole family of a run is told; a run that came to its end is not."""
    with httpx.Client(base_url=prefect_api, trust_env=False, timeout=120) as client:

        def made(path: str, **body: Any) -> str:
            # 503 while another request writes to the server's SQLite database
            answer = await_that(lambda: None if (found := client.post(path, json=body)).status_code == 503 else found)
            return str(answer.raise_for_status().json()["id"])

        def state_of(run: str) -> str:
            return str(client.get(f"/flow_runs/{run}").raise_for_status().json()["state_type"])

        flow = made("/flows/", name="stopped")
        running = {"type": "RUNNING", "name": "Running"}
        parent = made("/flow_runs/", flow_id=flow, state=running)
        task = made("/task_runs/", flow_run_id=parent, task_key="child", dynamic_key="0")
        child = made("/flow_runs/", flow_id=flow, state=running, parent_task_run_id=task)
        ended = made("/flow_runs/", flow_id=flow, state={"type": "COMPLETED", "name": "Completed"})
        other = made("/flow_runs/", flow_id=flow, state=running)
        tell_crashed({parent, ended}, _state(prefect_api))
        assert [state_of(run) for run in (parent, child, ended, other)] == [
            "CRASHED",
            "CRASHED",
            "COMPLETED",
            "RUNNING",
        ]


def test_a_busy_server_is_asked_again() -> None:
    """It answers 503 to a request between whose reading and writing another one wrote."""
    with busy_api({"id": "a", "name": "r", "state_type": "RUNNING"}) as (url, asked):
        tell_crashed({"a"}, _state(url))
    assert asked == ["/flow_runs/filter"] * 4 + ["/flow_runs/a/set_state"] * 2


def test_a_server_that_is_away_is_no_obstacle() -> None:
    """The platform is being stopped all the same."""
    tell_crashed({"00000000-0000-0000-0000-000000000000"}, _state("http://127.0.0.1:1/api"))
