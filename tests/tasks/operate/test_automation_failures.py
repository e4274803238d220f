"""A failed automation, on a real Prefect server, reaches people."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from config.settings import Settings
from store.alerts import newest_alerts
from store.database import open_database
from tasks.operate.automation_failures import FailureWatch, failed_actions
from tasks.runs.api import prefect_client


def _fire_a_broken_automation(settings: Settings, name: str) -> None:
    from prefect.events.actions import RunDeployment
    from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
    from prefect.events.schemas.events import ResourceSpecification

    resource = f"perennial.model.{uuid4().hex}"
    trigger = EventTrigger(
        expect={"perennial.test"},
        match=ResourceSpecification({"prefect.resource.id": resource}),
        posture=Posture.Reactive,
    )
    # No such deployment: what is left of one that somebody deleted.
    gone = RunDeployment(source="selected", deployment_id=uuid4())
    with prefect_client(settings) as client:
        automation = AutomationCore(name=name, trigger=trigger, actions=[gone])
        client.request("POST", "/automations/", json=automation.model_dump(mode="json")).raise_for_status()
        event = {
            "event": "perennial.test",
            "occurred": datetime.now(UTC).isoformat(),
            "resource": {"prefect.resource.id": resource},
            "id": str(uuid4()),
        }
        # The server learns of an automation a moment after it has taken it.
        deadline = time.monotonic() + 60
        since = datetime.now(UTC) - timedelta(seconds=5)
        while not failed_actions(settings, since) and time.monotonic() < deadline:
            client.request("POST", "/events", json=[{**event, "id": str(uuid4())}]).raise_for_status()
            time.sleep(1)


def test_a_failed_automation_of_ours_is_told_once(
    prefect_api: str, project: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its name and Prefect's reason reach the alerts; a second look adds nothing, and others' failures are not ours."""
    settings = project.model_copy(update={"prefect_api_url": prefect_api})
    monkeypatch.setenv("PERENNIAL_ALERTS_URLS", "jsons://alerts.example.org")
    watch = FailureWatch(settings)
    name = f"perennial: broken {uuid4().hex[:6]}"
    _fire_a_broken_automation(settings, name)
    assert watch.look() > 0
    assert watch.look() == 0
    engine = open_database(settings.database_url)
    told = [alert.title for alert in newest_alerts(engine, 10)]
    assert told == [f"The automation '{name}' failed"]
    assert FailureWatch(settings).look() > 0
    assert len(newest_alerts(engine, 10)) == 1
