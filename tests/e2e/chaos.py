"""Triggers delivered while processes of the platform are killed: what came of each, counted at Prefect and MLflow."""

from __future__ import annotations

import random
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import psutil

from config.settings import HookKey, HookSettings
from core.operate.trigger import Trigger
from store.database import open_database
from tasks.platform.process_manager import Supervisor
from tasks.serving.test_delivery import new_secret, signed_delivery
from tests.e2e.stage import Stage, ask, await_value, land
from tests.factories import add_credit_model, credit_rows
from tests.store.trigger_samples import find_trigger

MODEL = "credit"
SENDER = "ci"
ROWS_A_ROUND = 60

VICTIMS = {
    "receiver": ("serving.processes.worker", False),
    "receiver's supervisor": ("cli serve", False),
    "relay": ("cli relay", False),
    "flow run": ("prefect.engine", False),
    "worker and its runs": ("worker start", True),
    "Prefect server": ("tasks.platform.prefect_server", True),
    "MLflow server": ("tasks.registry.server", True),
}
"""What is killed, what its command line holds, and whether all below it dies with it."""


def hook_secrets() -> dict[str, str]:
    """Return the variables that give a sender its key, without a bound on how often it may send."""
    return {"PERENNIAL_HOOKS_STANDARD": f"{SENDER}={new_secret()}", "PERENNIAL_HOOKS_PER_MINUTE": "100000"}


def add_small_model(stage: Stage, **sections: Any) -> None:
    """Add a model that is trained in a second; every retraining has new rows and registers a version."""
    training = {"estimator": "sklearn.linear_model.LogisticRegression", "cv": 0}
    quick = {"training": training, "evaluation": {"resamples": 50}, "gate": {"resamples": 200}}
    pace = {"retrain": {"cooldown_hours": 0, "per_week": 10_000}}
    add_credit_model(stage.settings, credit_rows(600), **(quick | pace | sections))


def grow(stage: Stage, number: int) -> None:
    """Let new labelled rows land."""
    path = stage.settings.root / "rows.csv"
    land(pd.concat([pd.read_csv(path), credit_rows(ROWS_A_ROUND, seed=1000 + number)]), path)


@dataclass
class Sender:
    """Delivers signed webhooks, and again until it is told that they are kept, as Standard Webhooks asks of senders.

    Parameters
    ----------
    stage
        Whom to deliver to.
    key
        To sign with.
    """

    stage: Stage
    key: HookKey
    answers: Counter[int] = field(default_factory=Counter)

    @classmethod
    def of(cls, stage: Stage) -> Sender:
        """Return the sender whose secret the platform was given."""
        settings = HookSettings(standard=stage.secrets["PERENNIAL_HOOKS_STANDARD"])
        return cls(stage, settings.keys[0])

    def deliver(self, delivery_id: str, seconds: float = 120, model: str = MODEL) -> None:
        """Deliver until it is answered 202."""
        await_value(lambda: self.once(delivery_id, model) == 202, seconds, f"{delivery_id} is taken", pause=0.3)

    def once(self, delivery_id: str, model: str = MODEL) -> int:
        """Deliver and return the status; 0 where there was no answer."""
        delivery = signed_delivery(self.key, model, delivery_id, "rows have landed", datetime.now(UTC))
        url = f"http://127.0.0.1:{self.stage.state.serving_port}/v1/hooks/{model}/retrain"
        request = urllib.request.Request(url, delivery.body, {"content-type": "application/json", **delivery.headers})
        try:
            with urllib.request.urlopen(request, timeout=15) as answer:  # noqa: S310 - our own service
                status = int(answer.status)
        except urllib.error.HTTPError as error:
            error.close()  # it holds the answer's connection
            status = error.code
        except OSError:
            status = 0
        self.answers[status] += 1
        return status

    def replay(self, ids: list[str], times: int, at_once: int = 50) -> None:
        """Deliver each id many times, many at once."""
        with ThreadPoolExecutor(at_once) as pool:
            list(pool.map(self.once, ids * times))


class Killer(threading.Thread):
    """Kills processes of the platform at random moments until it is told to stop.

    Parameters
    ----------
    stage
        Whose processes.
    kills
        How many.
    span
        Seconds within which they are killed.
    seed
        Of the choice.
    """

    def __init__(self, stage: Stage, kills: int, span: float, seed: int) -> None:
        super().__init__(daemon=True)
        self._stage = stage
        draw = random.Random(seed)  # noqa: S311 - which process dies is no secret
        self._moments = sorted(draw.uniform(0, span) for _ in range(kills))
        self._draw = draw
        self._stop_now = threading.Event()
        self.killed: Counter[str] = Counter()

    def run(self) -> None:
        """Kill at each moment; where the chosen victim does not live just now, another one dies."""
        began = time.monotonic()
        for moment in self._moments:
            if self._stop_now.wait(max(0.0, began + moment - time.monotonic())):
                return
            self._kill_one()

    def end(self) -> None:
        """Kill no more."""
        self._stop_now.set()
        self.join()

    def _kill_one(self) -> None:
        for name in self._draw.sample(sorted(VICTIMS), len(VICTIMS)):
            text, tree = VICTIMS[name]
            found = self._stage.processes(text)
            if found and self._stage.kill(self._draw.choice(found), tree=tree):
                self.killed[name] += 1
                return


def trigger_id(delivery_id: str) -> str:
    """Return the id under which a delivery is in the inbox."""
    return f"standard:{SENDER}:{MODEL}:{delivery_id}"


def await_answer(stage: Stage, delivery_id: str, seconds: float) -> Trigger:
    """Wait until a trigger is answered."""
    engine = open_database(stage.state.database_url)

    def answered() -> Trigger | None:
        found = find_trigger(engine, MODEL, trigger_id(delivery_id))
        return found if found is not None and found.status in ("answered", "failed") else None

    return await_value(answered, seconds, f"{delivery_id} is answered", pause=0.5)


@dataclass(frozen=True)
class Tally:
    """What there is of a delivery: flow runs at Prefect, versions in MLflow."""

    runs: int
    versions: int


def tally(stage: Stage, ids: list[str]) -> dict[str, Tally]:
    """Count the runs and versions of each delivery."""
    runs: Counter[str] = Counter(run["parameters"].get("trigger_id", "") for run in _runs(stage))
    versions: Counter[str] = Counter(
        tag["value"] for version in _versions(stage) for tag in version["tags"] if tag["key"] == "perennial.trigger"
    )
    return {one: Tally(runs[trigger_id(one)], versions[trigger_id(one)]) for one in ids}


def all_runs(stage: Stage) -> int:
    """Count all runs of the deployment."""
    return len(_runs(stage))


def _runs(stage: Stage) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    while True:
        asked = {"deployments": {"name": {"any_": [MODEL]}}, "flows": {"name": {"any_": ["retrain"]}}}
        page = stage.prefect("/flow_runs/filter", {**asked, "limit": 200, "offset": len(found)})
        found += page
        if len(page) < 200:
            return found


def _versions(stage: Stage) -> list[dict[str, Any]]:
    url = f"{stage.state.mlflow_uri}/api/2.0/mlflow/model-versions/search?max_results=1000&filter=name%3D%27{MODEL}%27"
    return list(ask(url).get("model_versions", []))


def stop_service(stage: Stage, name: str) -> None:
    """Stop a process of the platform, and leave it so."""
    Supervisor(stage.state.socket).stop(name)


def start_service(stage: Stage, name: str) -> None:
    """Start it again."""
    Supervisor(stage.state.socket).start(name)


def memory_mib(stage: Stage) -> float:
    """Resident memory of all processes of the platform, MiB."""
    total = 0
    for process in stage.processes(""):
        try:
            total += process.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total / 2**20


def logs(stage: Stage) -> Path:
    """Folder of the platform's logs."""
    return stage.settings.var / "log"
