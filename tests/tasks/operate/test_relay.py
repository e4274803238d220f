"""The relay against a real Prefect server: what waits is asked for once, what died is started again."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest

from config.settings import Settings, load_settings
from core.errors import ConfigError
from core.operate.trigger import Trigger
from store.alerts import newest_alerts
from store.database import open_database
from store.triggers import claim, postpone, receive, submitted
from tasks.operate.relay import Relay, relay
from tasks.runs.heartbeat import beat_path
from tests.store.trigger_samples import find_trigger, webhook
from tests.tasks.operate.runs import runs_of

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient

Deploy = Callable[[], str]


@pytest.fixture
def model(client: SyncPrefectClient) -> str:
    """Return the name of a model of its own that has a deployment of the flow ``retrain``; no worker looks after it."""
    name = f"m{uuid4().hex[:8]}"
    flow_id = client.create_flow_from_name("retrain")
    client.create_deployment(flow_id, name, parameters={"model": name})
    return name


def _received(settings: Settings, model: str, trigger_id: str = "standard:ci:1", **given: Any) -> Trigger:
    trigger = webhook(model, trigger_id, received_at=datetime.now(UTC), **given)
    assert receive(open_database(settings.database_url), trigger)
    return trigger


def _stands(settings: Settings, trigger: Trigger) -> Trigger:
    found = find_trigger(open_database(settings.database_url), trigger.model, trigger.id)
    assert found is not None
    return found


def _set_state(client: SyncPrefectClient, run_id: str | None, name: str) -> None:
    from prefect import states

    client.set_flow_run_state(str(run_id), getattr(states, name)(message="as the test says"), force=True)


def test_a_trigger_becomes_one_run_however_often_it_is_carried(
    settings: Settings, client: SyncPrefectClient, model: str
) -> None:
    """A relay that died after Prefect's answer and before it wrote that down asks again, and gets the same run."""
    trigger = _received(settings, model)
    relay = Relay(settings)
    assert relay.carry_triggers() == 1
    first = _stands(settings, trigger)
    assert first.status == "submitted"
    run_id = relay._run_for(client, open_database(settings.database_url), trigger)
    assert run_id == first.flow_run
    [run] = runs_of(client, model)
    assert str(run.id) == run_id
    assert run.parameters["trigger_id"] == trigger.id
    assert relay.carry_triggers() == 0


def test_a_burst_is_one_run_until_it_is_answered(settings: Settings, client: SyncPrefectClient, model: str) -> None:
    """Twenty triggers of a model are asked for once; what comes while its run works makes one more after it."""
    burst = [_received(settings, model, f"standard:ci:{number}") for number in range(20)]
    relay = Relay(settings)
    for _ in range(3):
        relay.carry_triggers()
    assert len(runs_of(client, model)) == 1
    engine = open_database(settings.database_url)
    leader = next(one for one in (_stands(settings, one) for one in burst) if one.status == "submitted")
    claim(engine, leader, str(leader.flow_run), deployed=True, at=datetime.now(UTC))
    assert {_stands(settings, one).status for one in burst} == {"running", "merged"}
    _received(settings, model, "standard:ci:late")
    relay.carry_triggers()
    assert len(runs_of(client, model)) == 1


@pytest.mark.parametrize("state", ["Crashed", "Failed"])
def test_a_run_that_died_is_started_again_as_the_same_run(
    settings: Settings, client: SyncPrefectClient, model: str, state: str
) -> None:
    """After a pause it is scheduled again; no second run is made."""
    trigger = _received(settings, model)
    relay = Relay(settings)
    relay.carry_triggers()
    _set_state(client, _stands(settings, trigger).flow_run, state)
    assert relay.carry_triggers() == 1
    assert relay.carry_triggers() == 0
    paused = _stands(settings, trigger)
    assert paused.attempts == 1
    postpone(open_database(settings.database_url), paused, datetime.now(UTC), attempts=paused.attempts)
    assert relay.carry_triggers() == 1
    [run] = runs_of(client, model)
    assert run.state is not None
    assert run.state.name == "AwaitingRetry"
    assert relay.carry_triggers() == 0


@pytest.mark.parametrize("state", ["Pending", "Running"])
def test_a_run_that_no_automation_knows_of_is_started_again(
    settings: Settings, client: SyncPrefectClient, model: str, state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is heard of it for too long, while the server answers: it is marked, paused and begun anew."""
    monkeypatch.setattr("tasks.operate.relay.SILENCE", timedelta(seconds=1))
    trigger = _received(settings, model)
    relay = Relay(settings)
    relay.carry_triggers()
    _set_state(client, _stands(settings, trigger).flow_run, state)
    for _ in range(40):
        relay.carry_triggers()
        [run] = runs_of(client, model)
        if run.state is not None and run.state.name == "CrashedSilently":
            break
        time.sleep(0.1)
    relay.carry_triggers()
    assert _stands(settings, trigger).attempts == 1


def test_a_run_that_a_person_cancelled_is_the_answer(settings: Settings, client: SyncPrefectClient, model: str) -> None:
    """It is not started again, and the trigger says why."""
    trigger = _received(settings, model)
    relay = Relay(settings)
    relay.carry_triggers()
    _set_state(client, _stands(settings, trigger).flow_run, "Cancelled")
    relay.carry_triggers()
    found = _stands(settings, trigger)
    assert (found.status, found.outcome) == ("failed", "failed")
    assert "as the test says" in str(found.reason)


def test_a_run_that_prefect_lost_is_asked_for_again(settings: Settings, client: SyncPrefectClient, model: str) -> None:
    """A server whose database was made anew knows no run; its trigger waits again and gets another."""
    trigger = _received(settings, model)
    relay = Relay(settings)
    relay.carry_triggers()
    lost = str(_stands(settings, trigger).flow_run)
    client.delete_flow_run(UUID(lost))
    relay.carry_triggers()
    relay.carry_triggers()
    found = _stands(settings, trigger)
    assert found.status == "submitted"
    assert found.flow_run != lost


def test_the_automations_run_is_taken_where_there_is_one(
    settings: Settings, client: SyncPrefectClient, model: str
) -> None:
    """A trigger by drift that nobody claimed within its time gets a run only where the automation made none."""
    late = datetime.now(UTC) - timedelta(minutes=2)
    made = _drift(settings, model, "drift:made", late)
    deployment = client.read_deployment_by_name(f"retrain/{model}")
    run = client.create_flow_run_from_deployment(deployment.id, parameters={"trigger_id": made.id})
    relay = Relay(settings)
    relay.carry_triggers()
    assert _stands(settings, made).flow_run == str(run.id)
    assert len(runs_of(client, model)) == 1


def test_drift_whose_automation_was_lost_gets_its_run(
    settings: Settings, client: SyncPrefectClient, model: str
) -> None:
    """The event may have been lost with the server; the inbox was not."""
    fresh = _drift(settings, model, "drift:fresh", datetime.now(UTC))
    relay = Relay(settings)
    relay.carry_triggers()
    assert _stands(settings, fresh).status == "waiting"
    late = _drift(settings, model, "drift:late", datetime.now(UTC) - timedelta(minutes=2))
    relay.carry_triggers()
    assert _stands(settings, late).status == "submitted"
    assert [run.parameters["trigger"] for run in runs_of(client, model)] == ["drift"]


def test_without_a_deployment_the_trigger_waits(settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    """It is said once, with what to do, and asked again after a while."""
    trigger = _received(settings, "nowhere")
    relay = Relay(settings)
    for _ in range(3):
        relay.carry_triggers()
    found = _stands(settings, trigger)
    assert found.status == "waiting"
    assert found.next_at is not None
    assert [record for record in caplog.records if "perennial deploy" in record.getMessage()] != []


@pytest.mark.slow
def test_while_prefect_is_away_everything_waits(
    settings: Settings, model: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A round never fails; the outage is told once, and its end, and what waited is carried then."""
    caplog.set_level("INFO", "perennial.relay")
    trigger = _received(settings, model)
    carrier = Relay(settings.model_copy(update={"prefect_api_url": "http://127.0.0.1:9/api"}))
    for _ in range(3):
        assert carrier.round()["triggers"] == 0
    assert len([record for record in caplog.records if "cannot process triggers" in record.getMessage()]) == 1
    assert _stands(settings, trigger).status == "waiting"
    assert beat_path(settings).exists()
    carrier._settings = settings
    assert carrier.round()["triggers"] == 1
    assert "triggers are processed again" in caplog.text


@pytest.mark.slow
def test_a_long_outage_is_told_to_people_once(settings: Settings, model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rounds that fail after that are no further alerts, and are not counted as such."""
    monkeypatch.setenv("PERENNIAL_ALERTS_URLS", "jsons://alerts.example.org")
    monkeypatch.setattr("tasks.operate.relay.ALERT_AFTER_SECONDS", -1.0)
    _received(settings, model)
    carrier = Relay(settings.model_copy(update={"prefect_api_url": "http://127.0.0.1:9/api"}))
    triggers_duty = carrier.duties[0]
    for _ in range(3):
        carrier._perform(triggers_duty)
    [told] = newest_alerts(open_database(settings.database_url), 10)
    assert told.title == "Perennial's relay cannot process triggers"
    assert told.n_more == 0


@pytest.mark.usefixtures("project")
def test_an_idle_round_asks_prefect_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """With nothing open the relay does not even need an API."""
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    assert Relay(load_settings()).carry_triggers() == 0


@pytest.mark.usefixtures("project")
def test_the_relay_says_that_it_needs_an_api(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without one it ends at once, and says what to do."""
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    with pytest.raises(ConfigError, match="perennial up"):
        relay(load_settings(), once=True)


def test_two_relays_at_once_make_one_run(settings: Settings, client: SyncPrefectClient, model: str) -> None:
    """Both may ask; Prefect knows the key."""
    from concurrent.futures import ThreadPoolExecutor

    trigger = _received(settings, model)
    relays = [Relay(settings) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        # Prefect's server answers 503 where two write to its SQLite at once; the next round asks again.
        while _stands(settings, trigger).status == "waiting":
            list(pool.map(lambda one: one.round(), relays))
    assert len(runs_of(client, model)) == 1
    assert not submitted(open_database(settings.database_url), trigger, str(os.getpid()))


def _drift(settings: Settings, model: str, trigger_id: str, at: datetime) -> Trigger:
    trigger = replace(webhook(model, trigger_id, received_at=at), kind="drift", sender="monitor")
    assert receive(open_database(settings.database_url), trigger)
    return trigger
