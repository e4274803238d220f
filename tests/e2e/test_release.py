"""A release on the whole platform: the relay asks for looks, the worker makes them, and the service divides traffic."""

from __future__ import annotations

from pathlib import Path

import pytest

from store.champions import current_champion
from store.database import open_database
from tests.e2e.released import PLAN, ended_release, traffic_on
from tests.e2e.stage import Stage, add_model, await_value, loans, platform
from tests.factories import make_project
from tests.postgres import PostgresServer

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(2700)]

MODEL = "loans"


def test_a_version_is_released_without_a_hand(tmp_path: Path, postgres: PostgresServer) -> None:
    """Approved once, it gets the traffic step by step and is champion; clients see good answers only."""
    stage = Stage(make_project(tmp_path), postgres.address)
    linear = {"estimator": "sklearn.linear_model.LogisticRegression", "params": {"C": 0.1}, "cv": 0}
    add_model(stage, MODEL, loans(8), release=PLAN, training=linear, gate={"mode": "manual"})
    with platform(stage):
        stage.run("train", MODEL, "--wait", "120")
        stage.run("approve", f"{MODEL}@1", "--reason", "the first one")
        await_value(lambda: stage.ask("/v1/models")["models"], 60, "version 1 answers")
        with traffic_on(stage, MODEL) as traffic:
            await_value(lambda: traffic.variants, 60, "requests are answered")
            stage.run("train", MODEL, "--set", "training.params.C=0.2", expected=(0, 3))
            stage.run("approve", f"{MODEL}@2", "--override", "--reason", "a trial")
            engine = open_database(stage.state.database_url)
            state = await_value(lambda: ended_release(engine, MODEL), 300, "the release is over")
            await_value(lambda: traffic.variants["champion", 2], 30, "version 2 answers as champion")
    assert [step.action for step in state.steps] == ["started", "advanced", "promoted", "completed"]
    champion = current_champion(engine, MODEL)
    assert champion is not None
    assert (champion.version, champion.kind) == (2, "release")
    assert traffic.failures == []
    assert traffic.variants["challenger", 2] > 0
