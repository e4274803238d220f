"""How soon runs whose process was killed are marked as crashed, by the automation that ``perennial deploy`` makes.

Runs that began some seconds apart are killed at once, with their worker: so they died at as many moments between two
heartbeats. One run goes on, on another worker: it must not be marked.
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import psutil

from core.operate.deployments import HEARTBEAT_SECONDS, automations
from tests.prefect_server import PrefectServer, await_that, kill_group, prefect_server


def main() -> None:
    """Print one Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=6)
    parser.add_argument("--database", help="Of the Prefect server; SQLite without.")
    given = parser.parse_args()
    url = {"PREFECT_SERVER_DATABASE_CONNECTION_URL": given.database} if given.database else {}
    with tempfile.TemporaryDirectory() as folder, prefect_server(Path(folder), url) as server:
        seconds, survivor, slots = _measured(server, given.runs)
    print("| runs killed | marked as crashed after, s | bound, s | run that lived | slots held then |")
    print("|---|---|---|---|---|")
    told = ", ".join(f"{second:.0f}" for second in sorted(seconds))
    print(f"| {len(seconds)} | {told} | {3 * HEARTBEAT_SECONDS} | {survivor} | {slots} |")


def _measured(server: PrefectServer, number: int) -> tuple[list[float], str, int]:
    beat = {"PREFECT_FLOWS_HEARTBEAT_FREQUENCY": str(HEARTBEAT_SECONDS)}
    deployment = server.deploy_light("zombie", limit=number + 1, environment=beat)
    for automation in automations():
        server.request("POST", "/automations/", json=automation)
    doomed = server.start_worker()
    victims = [_started(server, deployment, HEARTBEAT_SECONDS / number) for _ in range(number)]
    doomed.send_signal(signal.SIGSTOP)  # takes no more runs
    server.start_worker()
    survivor = _started(server, deployment, 0)
    killed_at = _kill(doomed)
    marked: dict[str, float] = {}
    while len(marked) < number and time.monotonic() - killed_at < 6 * HEARTBEAT_SECONDS:
        states = {run["id"]: run["state_type"] for run in server.runs(deployment)}
        for victim in set(victims) - set(marked):
            if states[victim] == "CRASHED":
                marked[victim] = time.monotonic() - killed_at
        time.sleep(0.2)
    limit = server.request("GET", f"/deployments/{deployment}")["global_concurrency_limit"]
    alive = server.request("GET", f"/flow_runs/{survivor}")["state_name"]
    return list(marked.values()), alive, limit["active_slots"]


def _started(server: PrefectServer, deployment: str, pause: float) -> str:
    run = server.request("POST", f"/deployments/{deployment}/create_flow_run", json={"parameters": {"seconds": 600}})[
        "id"
    ]
    await_that(lambda: server.request("GET", f"/flow_runs/{run}")["state_type"] == "RUNNING")
    time.sleep(pause)
    return str(run)


def _kill(worker: subprocess.Popen[bytes]) -> float:
    """Kill a worker and the processes of its runs; return the moment on the monotonic clock."""
    below = psutil.Process(worker.pid).children(recursive=True)
    kill_group(worker)
    for process in below:
        if process.is_running():
            process.kill()
    return time.monotonic()


if __name__ == "__main__":
    main()
