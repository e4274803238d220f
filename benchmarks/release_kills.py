"""Kills of the platform's processes, and stops of PostgreSQL, in the middle of releases under traffic.

``python -m benchmarks.release_kills [--releases N] [--kills N] [--seconds N]``. The whole platform runs on this machine
with PostgreSQL and two service workers, and clients ask the model without a pause, each time about another entity. A
version is approved; while the relay asks for looks and the worker makes them, processes are killed at random moments,
and PostgreSQL stops once. Counted for each release: its steps, what clients saw, and whether the log has each answer
once. Then the table is printed.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import threading
import time
import urllib.error
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, select

from store.champions import champion_history
from store.database import open_database, reading
from store.releases.records import ReleaseState
from store.releases.releases import newest_release
from store.tables import EventRow, PredictionRequestRow
from tests.e2e.chaos import Killer
from tests.e2e.stage import COLUMNS, Stage, add_model, await_value, loans, platform
from tests.factories import make_project
from tests.postgres import PostgresServer, postgres_server

MODEL = "loans"
STEPS = [10, 50, 100]
SPAN_SECONDS = 40.0
END_SECONDS = 600.0
CLIENTS = 2

PLAN: dict[str, Any] = {
    "mode": "staged",
    "steps": STEPS,
    "shadow": {"requests": 150, "hours": 2},
    "min_requests": 150,
    "max_wait_hours": 2,
    "bake_hours": 0.002,
    "look_seconds": 2,
    # The trial is about the platform; latencies of a service whose workers are killed show nothing.
    "guardrails": {"error_rate": 0.2, "latency_ratio": None, "prediction_psi": 10.0, "performance_loss": None},
}
EXPECTED = ["started", "advanced", "advanced", "promoted", "completed"]


@dataclass
class Traffic:
    """What clients saw: statuses, 0 without an answer; and the entities of the answers of status 200."""

    statuses: Counter[int] = field(default_factory=Counter)
    answered: set[str] = field(default_factory=set)
    sent: int = 0


@contextmanager
def traffic(stage: Stage, name: str) -> Iterator[Traffic]:
    """Ask without a pause until the block ends; ``name`` begins the keys."""
    row = stage.ask(f"/v1/models/{MODEL}/example")["rows"][0]
    found, over, lock = Traffic(), threading.Event(), threading.Lock()

    def run() -> None:
        while not over.is_set():
            with lock:
                found.sent += 1
                key = f"{name}-{found.sent}"
            status = _asked(stage, {"rows": [{**row, COLUMNS[2]: key}]})
            with lock:
                found.statuses[status] += 1
                if status == 200:
                    found.answered.add(key)

    threads = [threading.Thread(target=run) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    try:
        yield found
    finally:
        over.set()
        for thread in threads:
            thread.join()


def _asked(stage: Stage, body: Any) -> int:
    try:
        stage.ask(f"/v1/models/{MODEL}/predict", body)
    except urllib.error.HTTPError as error:
        return error.code
    except (OSError, ValueError):
        time.sleep(0.05)
        return 0
    return 200


@dataclass
class Round:
    """A release: its state at the end, who was killed, what clients saw, and the seconds after the last disturbance."""

    state: ReleaseState
    killed: Counter[str]
    traffic: Traffic
    seconds: float


def main() -> None:
    """Release under kills, count, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--releases", type=int, default=3)
    parser.add_argument("--kills", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=5.0, help="that PostgreSQL is away")
    given = parser.parse_args()
    linear = {"estimator": "sklearn.linear_model.LogisticRegression", "params": {"C": 0.1}, "cv": 0}
    with tempfile.TemporaryDirectory() as folder, postgres_server() as postgres:
        variables = {"PERENNIAL_SERVE_WORKERS": "2"}
        stage = Stage(make_project(Path(folder)), postgres.address, variables)
        add_model(stage, MODEL, loans(8), release=PLAN, training=linear, gate={"mode": "manual"})
        with platform(stage):
            stage.run("train", MODEL, "--wait", "120", expected=(0, 3))
            stage.run("approve", f"{MODEL}@1", "--override", "--reason", "the first one")
            await_value(lambda: stage.ask("/v1/models")["models"], 120, "version 1 answers")
            rounds = [_round(stage, postgres, number, given) for number in range(given.releases)]
            print(_table(open_database(stage.state.database_url), rounds))


def _round(stage: Stage, postgres: PostgresServer, number: int, given: argparse.Namespace) -> Round:
    version, engine = number + 2, open_database(stage.state.database_url)
    with traffic(stage, f"r{number}") as seen:
        await_value(lambda: seen.answered, 120, "requests are answered")
        stage.run("train", MODEL, "--set", f"training.params.C={0.2 + 0.1 * number:.1f}", expected=(0, 3))
        stage.run("approve", f"{MODEL}@{version}", "--override", "--reason", "a trial")
        killer = Killer(stage, given.kills, SPAN_SECONDS, seed=number)
        killer.start()
        time.sleep(random.Random(number).uniform(0, SPAN_SECONDS))  # noqa: S311 - no secret
        postgres.stop()
        time.sleep(given.seconds)
        postgres.start()
        killer.join()
        began = time.monotonic()
        state = await_value(lambda: _over(engine, version), END_SECONDS, "the release is over", pause=1)
    found = Round(state, killer.killed, seen, time.monotonic() - began)
    print(f"release {number + 1}: {[step.action for step in state.steps]}, {dict(found.killed)}", flush=True)
    return found


def _over(engine: Engine, version: int) -> ReleaseState | None:
    found = newest_release(engine, MODEL)
    return found if found is not None and found.release.version == version and found.is_over else None


def _table(engine: Engine, rounds: list[Round]) -> str:
    killed, statuses = Counter[str](), Counter[int]()
    for one in rounds:
        killed += one.killed
        statuses += one.traffic.statuses
    logged = _logged(engine)
    answered = set().union(*(one.traffic.answered for one in rounds))
    shares = {step.share for one in rounds for step in one.state.steps}
    right = sum([step.action for step in one.state.steps] == EXPECTED for one in rounds)
    with reading(engine) as connection:
        events = Counter(connection.scalars(select(EventRow.name)).all())
    told = [f"{name.rpartition('.')[2]} {n}" for name, n in sorted(events.items()) if ".release." in name]
    rows = [
        ("releases", len(rounds)),
        ("kills", f"{sum(killed.values())}: {', '.join(f'{name} {n}' for name, n in sorted(killed.items()))}"),
        ("stops of PostgreSQL", len(rounds)),
        ("releases that took each step once, in order, and completed", right),
        ("shares that were recorded", ", ".join(str(share) for share in sorted(shares))),
        ("champions, in order", ", ".join(str(entry.version) for entry in champion_history(engine, MODEL))),
        ("events", ", ".join(told)),
        ("requests, by status (0: no answer)", ", ".join(f"{status}: {n:,}" for status, n in sorted(statuses.items()))),
        ("answers of status 200 that the log does not have", len(answered - logged.keys())),
        ("requests that the log has twice", sum(n > 1 for n in logged.values())),
        ("s from the last kill to the end of the release", ", ".join(f"{one.seconds:.0f}" for one in rounds)),
    ]
    return "\n".join(["", "| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows)])


def _logged(engine: Engine) -> Counter[str]:
    row = PredictionRequestRow
    chosen = select(row.entity_keys).where(row.variant != "shadow", row.failure.is_(None))
    with reading(engine) as connection:
        return Counter(json.loads(keys)[0] for keys in connection.scalars(chosen) if keys is not None)


if __name__ == "__main__":
    main()
