"""A release on the whole platform: the relay asks for looks, the worker makes them, and the service divides traffic."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Engine

from store.champions import current_champion
from store.database import open_database
from store.releases.records import ReleaseState
from store.releases.releases import newest_release
from tests.e2e.stage import Stage, add_model, await_value, loans, platform
from tests.factories import make_project
from tests.postgres import PostgresServer

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(2700)]

MODEL = "loans"
PLAN = {
    "mode": "staged",
    "steps": [50, 100],
    "shadow": {"requests": 40, "hours": 1},
    "min_requests": 40,
    "bake_hours": 0,
    "look_seconds": 2,
    # With so few requests, little can be shown: that the share of failures did not rise by half.
    "guardrails": {"error_rate": 0.5, "latency_ratio": None, "prediction_psi": None, "performance_loss": None},
}


class Traffic:
    """Requests without end, and who answered them."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._body = stage.ask(f"/v1/models/{MODEL}/example")
        self.variants: Counter[tuple[str, int]] = Counter()
        self.failures: list[str] = []
        self._over = threading.Event()

    def run(self) -> None:
        """Ask until told to stop."""
        while not self._over.is_set():
            try:
                answer = self._stage.ask(f"/v1/models/{MODEL}/predict", self._body)
            except (OSError, ValueError) as error:
                self.failures.append(repr(error))
            else:
                self.variants[answer["variant"], answer["version"]] += 1

    def stop(self) -> None:
        """Stop after the request in progress."""
        self._over.set()


@contextmanager
def _traffic(stage: Stage) -> Iterator[Traffic]:
    traffic = Traffic(stage)
    thread = threading.Thread(target=traffic.run)
    thread.start()
    try:
        yield traffic
    finally:
        traffic.stop()
        thread.join()


def test_a_version_is_released_without_a_hand(tmp_path: Path, postgres: PostgresServer) -> None:
    """Approved once, it gets the traffic step by step and is champion; clients see good answers only."""
    stage = Stage(make_project(tmp_path), postgres.address)
    linear = {"estimator": "sklearn.linear_model.LogisticRegression", "params": {"C": 0.1}, "cv": 0}
    add_model(stage, MODEL, loans(8), release=PLAN, training=linear, gate={"mode": "manual"})
    with platform(stage):
        stage.run("train", MODEL, "--wait", "120")
        stage.run("approve", f"{MODEL}@1", "--reason", "the first one")
        await_value(lambda: stage.ask("/v1/models")["models"], 60, "version 1 answers")
        with _traffic(stage) as traffic:
            await_value(lambda: traffic.variants, 60, "requests are answered")
            stage.run("train", MODEL, "--set", "training.params.C=0.2", expected=(0, 3))
            stage.run("approve", f"{MODEL}@2", "--override", "--reason", "a trial")
            engine = open_database(stage.state.database_url)
            state = await_value(lambda: _over(engine), 300, "the release is over")
            await_value(lambda: traffic.variants["champion", 2], 30, "version 2 answers as champion")
    assert [step.action for step in state.steps] == ["started", "advanced", "promoted", "completed"]
    champion = current_champion(engine, MODEL)
    assert champion is not None
    assert (champion.version, champion.kind) == (2, "release")
    assert traffic.failures == []
    assert traffic.variants["challenger", 2] > 0


def _over(engine: Engine) -> ReleaseState | None:
    found = newest_release(engine, MODEL)
    return found if found is not None and found.is_over else None
