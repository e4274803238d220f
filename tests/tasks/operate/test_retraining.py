"""What surrounds a retraining: whose the work is, and which failures are an answer."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from config.settings import Settings
from core.errors import ConfigError, RunInProgressError, SourceError, StorageError
from core.operate.trigger import Trigger
from core.outcome import TrainOutcome
from store.database import open_database
from store.events import unsent_events
from tasks.operate.retraining import Claim, FlowRun, already, answered, claim_trigger, conclude
from tests.store.trigger_samples import find_trigger

SLOT = datetime(2026, 3, 2, 3, tzinfo=UTC)


def _claim(settings: Settings, kind: str = "webhook", trigger_id: str | None = "standard:ci:1", **run: Any) -> Claim:
    facts: dict[str, Any] = {"id": "run-1", "deployed": True, "scheduled_at": SLOT}
    return claim_trigger(
        "credit", kind, trigger_id, "why", force=False, run=FlowRun(**(facts | run)), settings=settings
    )


def _stands(settings: Settings, claim: Claim) -> Trigger:
    found = find_trigger(open_database(settings.database_url), "credit", claim.trigger.id)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("deployed", "error", "status"),
    [
        (True, StorageError("away"), "running"),
        (True, RunInProgressError("held"), "running"),
        (True, ValueError("nobody expected this"), "running"),
        (True, SourceError("no such file"), "failed"),
        (False, StorageError("away"), "failed"),
        (False, ValueError("nobody expected this"), "failed"),
    ],
)
def test_a_failure_is_an_answer_where_nobody_starts_the_run_again(
    project: Settings, deployed: bool, error: Exception, status: str
) -> None:
    """A deployment's run is started again for what passes or was not expected; what the caller must mend is final."""
    claim = _claim(project, deployed=deployed)
    with pytest.raises(type(error)), answered(claim, project):
        raise error
    assert _stands(project, claim).status == status
    told = [event["event"] for event in unsent_events(open_database(project.database_url))]
    assert told == ["perennial.retrain.failed"] * (status == "failed")


@pytest.mark.parametrize(
    ("kind", "trigger_id", "expected"),
    [
        ("schedule", None, "schedule:2026-03-02T03:00:00+00:00"),
        ("manual", None, "manual:run-1"),
        ("drift", "drift:abc", "drift:abc"),
    ],
)
def test_a_trigger_is_named_by_what_asked(project: Settings, kind: str, trigger_id: str | None, expected: str) -> None:
    """A slot by its moment, a person by the run, all else by the id it came with."""
    assert _claim(project, kind, trigger_id).trigger.id == expected


def test_an_unknown_kind_is_refused(project: Settings) -> None:
    """The message lists the kinds, and nothing is claimed."""
    with pytest.raises(ConfigError, match="webhook, drift, schedule, manual, found 'cron'"):
        _claim(project, "cron")


def test_a_run_that_goes_on_knows_it(project: Settings) -> None:
    """The second claim of the same run is resumed and keeps its beginning; another run finds the trigger taken."""
    first, again = _claim(project), _claim(project)
    assert (first.resumed, again.resumed, again.is_mine) == (False, True, True)
    assert again.began == first.began
    other = _claim(project, id="run-2")
    assert not other.is_mine
    assert already(other).status == "elsewhere"
    assert "run-1" in already(other).reasons[0]


def test_what_training_came_to_is_the_answer(project: Settings) -> None:
    """With version, data and reason; a version that the gate refused is told, too."""
    claim = _claim(project)
    refused = TrainOutcome("credit", "refused", "gate", ("it is worse", "by much"), "d" * 32, version=4)
    outcome = conclude(claim, refused, project)
    assert (outcome.status, outcome.code, outcome.version) == ("refused", "gate", 4)
    stands = _stands(project, claim)
    assert (stands.outcome, stands.trained, stands.version) == ("refused", True, 4)
    assert stands.reason == "it is worse; by much"
    [event] = unsent_events(open_database(project.database_url))
    assert event["payload"]["code"] == "gate"
