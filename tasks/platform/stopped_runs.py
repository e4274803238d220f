"""Flow runs whose processes the platform ends: Prefect is told that they crashed, because nobody else tells it.

A worker that is told to stop leaves its runs ``Running``, and a run that is told leaves the telling to its worker. Both
would hold their slots until the missing heartbeat is noticed, and the relay starts again only what it sees ended.
"""

from __future__ import annotations

import logging
from typing import Any

from config.platform import PlatformState
from tasks.platform.http import ask, prefect_headers
from tasks.platform.processes import MARK

_logger = logging.getLogger("perennial.platform")

RUN_VARIABLE = "PREFECT__FLOW_RUN_ID"
"""Variable that Prefect gives the process of a flow run: its id."""

SECONDS = 10.0
MESSAGE = "the platform was stopped"
UNFINISHED = ("PENDING", "RUNNING", "CANCELLING")


def flow_runs_in_work(state: PlatformState) -> set[str]:
    """Return the ids of the flow runs that have a process of the platform."""
    import psutil

    found = set()
    for process in psutil.process_iter():
        try:
            environment = process.environ()
        except (psutil.Error, OSError):  # it ended, or is another user's
            continue
        if environment.get(MARK) == state.id and RUN_VARIABLE in environment:
            found.add(environment[RUN_VARIABLE])
    return found


def tell_crashed(runs: set[str], state: PlatformState) -> None:
    """Set runs and their subflows to Crashed where they have not ended; to be called once their processes are gone."""
    family, newest = set(runs), set(runs)
    while newest:
        children = _find({"parent_flow_run_id": {"any_": sorted(newest)}}, state)
        newest = {run["id"] for run in children} - family
        family |= newest
    for run in _find({"id": {"any_": sorted(family)}}, state) if family else []:
        if run["state_type"] in UNFINISHED:
            body = {"state": {"type": "CRASHED", "name": "Crashed", "message": MESSAGE}, "force": True}
            _post(f"flow_runs/{run['id']}/set_state", body, state)
            _logger.info("run %s was in work and is ended: %s", run["name"], MESSAGE)


def _find(chosen: dict[str, Any], state: PlatformState) -> list[dict[str, Any]]:
    return _post("flow_runs/filter", {"flow_runs": chosen}, state) or []


def _post(path: str, body: dict[str, Any], state: PlatformState) -> Any:
    answer = ask(f"{state.prefect_api_url}/{path}", body=body, headers=prefect_headers(), seconds=SECONDS)
    return answer.json() if answer is not None and answer.status < 300 else None
