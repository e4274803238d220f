"""Looks at running releases are asked for on a real Prefect server, one after the other."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from config.load import rules_hash
from config.settings import Settings
from core.release.plan import Plan
from core.release.recorded import RecordedPlan
from store.champions import RecordedVerdict, record_verdict
from store.database import open_database
from store.releases.releases import start_release
from tasks.operate.release_looks import ReleaseWatch
from tests.factories import credit_config
from tests.store.releases.samples import crowned, moved, release_of, started
from tests.tasks.operate.runs import runs_of

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient


def _deployed(client: SyncPrefectClient) -> str:
    """Return a model that has a deployment of the flow ``release``; no worker looks after it."""
    name = f"m{uuid4().hex[:8]}"
    client.create_deployment(client.create_flow_from_name("release"), name, parameters={"model": name})
    return name


def test_one_look_at_a_time(settings: Settings, client: SyncPrefectClient) -> None:
    """None without a release; then one, which several relays ask for once, until it has ended; none afterwards."""
    engine, model = open_database(settings.database_url), _deployed(client)
    sequence = crowned(engine, model)
    assert ReleaseWatch(settings).look() == 0
    plan = RecordedPlan(Plan(), "wait", look_seconds=86_400.0).to_json()
    state = start_release(engine, replace(release_of(model, champion_sequence=sequence), plan=plan), "shadow", 0)
    watch = ReleaseWatch(settings)
    assert [watch.look(), watch.look(), ReleaseWatch(settings).look()] == [1, 0, 1]
    [run] = runs_of(client, model)
    assert run.parameters == {"model": model, "trigger": "relay"}
    moved(engine, state, "aborted")
    assert ReleaseWatch(settings).look() == 0


def test_a_model_without_deployment_is_told_of(
    settings: Settings, client: SyncPrefectClient, caplog: pytest.LogCaptureFixture
) -> None:
    """The log names the command; it is not asked for again at once."""
    engine, model = open_database(settings.database_url), f"m{uuid4().hex[:8]}"
    sequence = crowned(engine, model)
    plan = RecordedPlan(Plan(), "wait", look_seconds=1.0).to_json()
    start_release(engine, replace(release_of(model, champion_sequence=sequence), plan=plan), "shadow", 0)
    watch = ReleaseWatch(settings)
    assert [watch.look(), watch.look()] == [0, 0]
    assert json.dumps(caplog.text).count(f"perennial deploy --model {model}") == 1
    assert runs_of(client, model) == []


def test_a_version_that_waits_is_started_whoever_ended_the_release(
    settings: Settings, client: SyncPrefectClient
) -> None:
    """A person's abort starts nothing, and a look may be killed before it does: the relay asks for another one."""
    engine, model = open_database(settings.database_url), _deployed(client)
    config = credit_config(model=model, release={"mode": "staged"})
    path = settings.root / "config" / "models" / f"{model}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(config.model_dump(mode="json", exclude_none=True)))
    state = started(engine, model)
    record_verdict(engine, _passed(model, 3, state.champion_sequence, rules_hash(config)))
    watch = ReleaseWatch(settings)
    assert watch.look() == 1  # the running release
    for run in runs_of(client, model):
        client.delete_flow_run(run.id)
    moved(engine, state, "aborted")
    assert watch.look() == 0  # it searched a moment ago
    assert [ReleaseWatch(settings).look() for _ in range(2)] == [1, 1]
    assert len(runs_of(client, model)) == 1
    path.unlink()
    assert ReleaseWatch(settings).look() == 0


def _passed(model: str, version: int, champion_sequence: int, rules: str) -> RecordedVerdict:
    about = (0, "", "", "a" * 64, '{"reasons": ["it is better"]}', datetime.now(UTC), 1, rules)
    return RecordedVerdict(model, version, champion_sequence, 1, "promote", "enabled", *about)
