"""Report flow runs as crashed to Prefect when the platform ends their processes.

A worker that is stopped leaves its runs ``Running``, and a run that is stopped relies on its worker to report it. Such
runs would hold their slots until the missing heartbeat is detected, and the relay restarts only runs that have ended.
"""

from __future__ import annotations

import logging
import time
from http import HTTPStatus
from typing import Any

from config.platform import PlatformState
from tasks.platform.http import ask, prefect_headers
from tasks.platform.processes import MARK

_logger = logging.getLogger("perennial.platform")

RUN_VARIABLE = "PREFECT__FLOW_RUN_ID"
"""Environment variable in which Prefect passes the flow run's id to its process."""

SECONDS = 10.0
BUSY_SECONDS = (0.1, 0.2, 0.4, 0.8, 1.6)
"""Pauses before a request is repeated. With SQLite, Prefect answers 503 if another request wrote in between."""

MESSAGE = "the platform was stopped"
UNFINISHED = ("PENDING", "RUNNING", "CANCELLING")


def flow_runs_in_work(state: PlatformState) -> set[str]:
    """Return the ids of the flow runs that run in a process of the platform."""
    import psutil

    found = set()
    for process in psutil.process_iter():
        try:
            environment = process.environ()
        except (psutil.Error, OSError):  # it ended, or belongs to another user
            continue
        if environment.get(MARK) == state.id and RUN_VARIABLE in environment:
            found.add(environment[RUN_VARIABLE])
    return found


def tell_crashed(runs: set[str], state: PlatformState) -> None:
    """Set runs and their subflows to Crashed unless they have ended; call this after their processes have ended."""
    family, newest = set(runs), set(runs)
    while newest:
        children = _find({"parent_flow_run_id": {"any_": sorted(newest)}}, state)
        newest = {run["id"] for run in children} - family
        family |= newest
    for run in _find({"id": {"any_": sorted(family)}}, state) if family else []:
        if run["state_type"] in UNFINISHED:
            body = {"state": {"type": "CRASHED", "name": "Crashed", "message": MESSAGE}, "force": True}
            _post(f"flow_runs/{run['id']}/set_state", body, state)
            _logger.info("run %s was running and is set to Crashed: %s", run["name"], MESSAGE)


def _find(chosen: dict[str, Any], state: PlatformState) -> list[dict[str, Any]]:
    return _post("flow_runs/filter", {"flow_runs": chosen}, state) or []


def _post(path: str, body: dict[str, Any], state: PlatformState) -> Any:
    url, headers = f"{state.prefect_api_url}/{path}", prefect_headers()
    for pause in (0.0, *BUSY_SECONDS):
        time.sleep(pause)
        answer = ask(url, body=body, headers=headers, seconds=SECONDS)
        if answer is None or answer.status != HTTPStatus.SERVICE_UNAVAILABLE:
            break
    return answer.json() if answer is not None and answer.status < 300 else None
