"""Events say what happened, the same each time they are told, and no more than Prefect takes."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from config.schema import Drift
from core.drift.decision import decide
from core.drift.verdict import DriftVerdict
from core.operate.events import (
    NAMES,
    Event,
    champion_changed,
    data_versioned,
    drift_detected,
    model_registered,
    retention_pruned,
    retrain_failed,
    retrain_refused,
)
from tests.core.drift_samples import HARMED, NOW, evidence

AT = datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC)
LATER = AT + timedelta(minutes=1)
MODEL = {"prefect.resource.id": "perennial.model.credit", "prefect.resource.name": "credit"}
HOSTILE = "\x00\ud800\u202e😀" * 5_000


def drift_verdict(**given: Any) -> DriftVerdict:
    """Return a decision that rows drifted and harm the champion."""
    verdict = decide(evidence(performance=(HARMED,)), (), Drift(persistence=(1, 1)), NOW)
    return replace(verdict, **given)


def registered(at: datetime = AT, **given: Any) -> Event:
    """Tell a registration."""
    facts: dict[str, Any] = {"run_id": "r1", "data_version": "d1", "trigger": "manual"}
    return model_registered("credit", 3, at=at, **(facts | given))


def versioned(at: datetime = AT, data_version: str = "d1") -> Event:
    """Tell a data version."""
    return data_versioned("credit", data_version, n_rows=900, n_batches=2, git_commit="abc", has_champion=True, at=at)


def changed(at: datetime = AT, **given: Any) -> Event:
    """Tell a move of the champion."""
    facts: dict[str, Any] = {"sequence": 2, "version": 3, "previous": 1, "kind": "gate", "reason": "", "actor": "ann"}
    return champion_changed("credit", at=at, **(facts | given))


def refused(at: datetime = AT, trigger: str = "t1") -> Event:
    """Tell a refusal."""
    return retrain_refused("credit", trigger, "budget", "20 this week", "d1", at)


def related(event: Event) -> dict[str, str]:
    """Return role and id of the related resources, as Prefect gets them."""
    found = event.to_prefect()["related"]
    return {one["prefect.resource.role"]: one["prefect.resource.id"] for one in found}


def test_drift_is_told_as_its_verdict_says() -> None:
    """Under the decision's own id, with what an automation needs as label and payload."""
    verdict = drift_verdict()
    assert (verdict.status, verdict.retrain) == ("drift", True)
    event = drift_detected(verdict, "/var/reports/drift.html").to_prefect()
    assert event["id"] == str(UUID(verdict.id[:32]))
    assert event["event"] == "perennial.drift.detected"
    assert event["occurred"] == verdict.measured_at.isoformat()
    assert event["resource"] == {**MODEL, "perennial.retrain": "true"}
    assert event["payload"] == {
        "model": "credit",
        "champion": 3,
        "decision_id": verdict.id,
        "retrain": True,
        "window": verdict.to_dict()["window"],
        "importance_share": verdict.importance_share,
        "reasons": list(verdict.reasons),
        "report": "/var/reports/drift.html",
    }
    assert related(drift_detected(verdict, "")) == {"champion": "perennial.model-version.credit.3"}
    quiet = drift_detected(replace(verdict, retrain=False), "")
    assert quiet.labels == {"perennial.retrain": "false"}


def test_a_data_version_names_its_rows() -> None:
    """And is related to itself, so that automations on it can be written."""
    event = versioned()
    assert event.payload == {
        "model": "credit",
        "data_version": "d1",
        "n_rows": 900,
        "n_batches": 2,
        "git_commit": "abc",
    }
    assert related(event) == {"data-version": "perennial.data-version.credit.d1"}


def test_a_registration_names_version_and_data() -> None:
    """Both are related resources."""
    event = registered()
    assert event.name == "perennial.model.registered"
    assert event.payload["version"] == 3
    assert related(event) == {
        "version": "perennial.model-version.credit.3",
        "data-version": "perennial.data-version.credit.d1",
    }


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("gate", "perennial.model.promoted"),
        ("approval", "perennial.model.promoted"),
        ("rollback", "perennial.model.rolled_back"),
    ],
)
def test_a_move_of_the_champion_has_the_name_of_its_direction(kind: str, name: str) -> None:
    """By what it came is also a label."""
    event = changed(kind=kind)
    assert (event.name, event.labels) == (name, {"perennial.kind": kind})
    assert related(event) == {
        "champion": "perennial.model-version.credit.3",
        "previous": "perennial.model-version.credit.1",
    }
    assert related(changed(previous=None)) == {"champion": "perennial.model-version.credit.3"}


def test_what_came_of_a_trigger_names_it() -> None:
    """A refusal by its code, a failure by its reason; the data where there is any."""
    assert refused().labels == {"perennial.code": "budget"}
    assert refused().payload["trigger_id"] == "t1"
    assert related(refused()) == {"data-version": "perennial.data-version.credit.d1"}
    assert related(retrain_refused("credit", "t1", "cooldown", "", None, AT)) == {}
    assert retrain_failed("credit", "t1", "away", AT).payload == {
        "model": "credit",
        "trigger_id": "t1",
        "reason": "away",
    }


@pytest.mark.parametrize(
    "told",
    [versioned, registered, refused, lambda at: retrain_failed("credit", "t1", "why", at)],
)
def test_telling_it_again_is_telling_the_same(told: Callable[[datetime], Event]) -> None:
    """A killed and repeated step has another clock, and the same id."""
    assert told(AT).id == told(LATER).id


def test_different_things_have_different_ids() -> None:
    """Also a registry or a history that was begun anew and counts from 1 again."""
    events = [versioned(), versioned(data_version="d2"), registered(), registered(run_id="r2"), refused()]
    events += [refused(trigger="t2"), retrain_failed("credit", "t1", "", AT), changed(), changed(at=LATER)]
    events += [changed(sequence=3), changed(kind="rollback")]
    assert len({event.id for event in events}) == len(events)
    assert {event.name for event in events} <= set(NAMES)


def test_an_event_of_the_project_names_no_model() -> None:
    """What belongs to no model is reported for the project; the kinds and numbers are in the payload."""
    removed = {"kind": "logs", "n": 1, "size_bytes": 7, "names": ["crash.log"]}
    sent = retention_pruned("", [removed], AT).to_prefect()
    assert sent["resource"] == {"prefect.resource.id": "perennial.project", "prefect.resource.name": "project"}
    assert sent["payload"] == {"model": "", "removed": [removed]}
    assert retention_pruned("credit", [removed], AT).id != retention_pruned("credit", [removed], LATER).id


def test_an_event_stays_far_below_what_prefect_takes() -> None:
    """Whatever reasons, notes and batches there are, and in characters that every database takes."""
    verdict = drift_verdict(reasons=(HOSTILE,) * 500)
    window = replace(verdict.window, batches=(HOSTILE[:60],) * 20_000, notes=(HOSTILE,) * 500)
    big = [drift_detected(replace(verdict, window=window), HOSTILE), changed(reason=HOSTILE, actor=HOSTILE)]
    big.append(retrain_failed("credit", "t1", HOSTILE, AT))
    removed = {"kind": "drift reports", "n": 1, "size_bytes": 1, "names": [HOSTILE] * 500}
    big.append(retention_pruned("credit", [removed] * 12, AT))
    for event in big:
        text = json.dumps(event.to_prefect(), ensure_ascii=False).encode()
        assert len(text) < 400_000
        assert b"\\u0000" not in text
