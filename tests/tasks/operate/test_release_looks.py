"""Looks at running releases are asked for on a real Prefect server, one after the other."""

from __future__ import annotations

import json
from dataclasses import replace
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
from tests.store.releases.samples import AT, crowned, moved, release_of
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


def test_a_version_that_waits_for_an_ended_release_is_started(settings: Settings, client: SyncPrefectClient) -> None:
    """A person ends a release, so no look follows it: one is asked for while the version waits that the look starts."""
    engine, model = open_database(settings.database_url), _deployed(client)
    config = credit_config(model=model, release={"mode": "staged"})
    file = settings.root / "config" / "models" / f"{model}.yaml"
    file.write_text(json.dumps(config.model_dump(mode="json", exclude_none=True)))
    sequence = crowned(engine, model)
    state = start_release(engine, release_of(model, champion_sequence=sequence), "shadow", 0)
    about = (0, "", "", "a" * 64, "{}", AT, 1, rules_hash(config))
    record_verdict(engine, RecordedVerdict(model, 3, sequence, 1, "promote", "enabled", *about))
    moved(engine, state, "aborted")
    watch = ReleaseWatch(settings)
    assert [watch.look(), watch.look()] == [1, 0]
    [run] = runs_of(client, model)
    assert run.parameters == {"model": model, "trigger": "relay"}
    file.write_text("release: {steps: [50, 5]}")
    assert ReleaseWatch(settings).look() == 0  # and no other model's look is lost


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
