"""What the relay does about open triggers."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from core.errors import (
    BundleError,
    ConfigError,
    RunInProgressError,
    SchemaError,
    SourceError,
    SourceTooLargeError,
    StorageError,
)
from core.operate.deployments import SILENT
from core.operate.relay import (
    DRIFT_PATIENCE,
    FAILURES_FOR,
    MAX_CRASHES,
    SILENCE,
    RunState,
    after_run,
    is_definite,
    to_submit,
)
from core.operate.trigger import Trigger
from tests.store.trigger_samples import AT, webhook


def test_one_run_is_asked_for_a_model_and_the_rest_of_a_burst_waits_for_it() -> None:
    """The oldest trigger of each model is chosen; a model with a run under way gets none."""
    burst = [webhook("credit", f"standard:ci:{n}", received_at=AT + timedelta(seconds=n)) for n in range(20)]
    other = webhook("loans", "standard:ci:1", received_at=AT + timedelta(hours=1))
    assert to_submit([*reversed(burst), other], AT + timedelta(hours=2)) == [burst[0], other]
    running = webhook("credit", "standard:ci:x", status="running", deployed=True)
    assert to_submit([running, *burst, other], AT + timedelta(hours=2)) == [other]


def test_a_run_by_hand_holds_nobody_up() -> None:
    """It may have died without a trace, and Prefect would not start it again."""
    by_hand = webhook("credit", "manual:1", status="running", deployed=False)
    waiting = webhook("credit", "standard:ci:1")
    assert to_submit([by_hand, waiting], AT) == [waiting]


@pytest.mark.parametrize(("seconds", "chosen"), [(0, False), (59, False), (60, True)])
def test_drift_is_left_to_the_automation_for_a_while(seconds: int, chosen: bool) -> None:
    """The relay asks for a run only where the automation made none within its time."""
    assert DRIFT_PATIENCE.total_seconds() == 60
    assert bool(to_submit([_drift()], AT + timedelta(seconds=seconds))) is chosen


def test_what_was_postponed_waits() -> None:
    """Where there is no deployment, nothing is asked for again at once."""
    trigger = webhook(next_at=AT + timedelta(seconds=30))
    assert not to_submit([trigger], AT + timedelta(seconds=29))
    assert to_submit([trigger], AT + timedelta(seconds=30))


def test_what_a_wrong_clock_postponed_does_not_wait_for_its_year() -> None:
    """A pause of at most a minute, and a drift that was found in the future."""
    year = timedelta(days=365)
    assert to_submit([webhook(next_at=AT + year)], AT)
    assert to_submit([replace(_drift(), received_at=AT + year)], AT)
    assert not to_submit([replace(_drift(), received_at=AT + timedelta(seconds=30))], AT)
    assert after_run(_under_way(next_at=AT + year), RunState("CRASHED", "why"), AT).action == "restart"


@pytest.mark.parametrize(
    ("state", "attempts", "age", "action"),
    [
        ("SCHEDULED", 0, 0, "none"),
        ("RUNNING", 0, 100_000, "none"),
        ("CRASHED", 0, 10, "pause"),
        ("CRASHED", MAX_CRASHES, 10, "give up"),
        ("COMPLETED", 0, 10, "pause"),
        ("StorageError", 50, 10, "pause"),
        ("ValueError", MAX_CRASHES - 1, 10, "pause"),
        ("ValueError", MAX_CRASHES, 10, "give up"),
        ("StorageError", 3, FAILURES_FOR.total_seconds() + 1, "give up"),
        ("CANCELLED", 0, 10, "give up"),
        (None, 0, 10, "submit"),
    ],
)
def test_a_run_that_ended_without_an_answer_is_begun_again(
    state: str | None, attempts: int, age: float, action: str
) -> None:
    """Crashes and unknown failures some times, passing ones for a day; what a person cancelled stays so."""
    trigger = _under_way(attempts=attempts)
    if state and state.endswith("Error"):
        run: RunState | None = RunState("FAILED", f"Flow run encountered an exception: {state}: it is away")
    else:
        run = None if state is None else RunState(state, "why")
    assert after_run(trigger, run, AT + timedelta(seconds=age)).action == action


def test_a_run_is_started_again_when_its_pause_is_over() -> None:
    """And not before: its worker has to put the dead process away."""
    paused = _under_way(attempts=1, next_at=AT + timedelta(seconds=5))
    actions = [after_run(paused, RunState("CRASHED"), AT + timedelta(seconds=n)).action for n in (0, 4, 5)]
    assert actions == ["none", "none", "restart"]


def test_the_pause_between_starts_grows_up_to_a_minute() -> None:
    """What was away for two minutes is found again within a minute of its return."""
    pauses = [
        after_run(_under_way(attempts=n), RunState("FAILED", "StorageError: away"), AT).pause_seconds for n in range(7)
    ]
    assert pauses == [5, 10, 20, 40, 60, 60, 60]


@pytest.mark.parametrize(
    ("run", "action"),
    [
        (RunState("PENDING", since=AT), "none"),
        (RunState("PENDING", since=AT - SILENCE), "none"),
        (RunState("PENDING", since=AT - SILENCE - timedelta(seconds=1)), "crash"),
        (RunState("RUNNING", since=AT - 9 * SILENCE), "none"),
        (RunState("RUNNING", since=AT - 9 * SILENCE, silent=True), "crash"),
        (RunState("SCHEDULED", since=AT - 9 * SILENCE), "none"),
    ],
)
def test_a_run_that_no_automation_knows_of_is_noticed(run: RunState, action: str) -> None:
    """Its events were lost with a server that died when its worker did; what waits for a worker is not dead."""
    assert after_run(_under_way(), run, AT).action == action


def test_a_run_that_was_marked_for_its_silence_is_waited_for() -> None:
    """It may live, and only its server was away: it would be there twice."""
    silent = after_run(_under_way(), RunState("CRASHED", name=SILENT), AT)
    assert (silent.action, silent.pause_seconds) == ("pause", 45)


def _under_way(**given: Any) -> Trigger:
    return webhook(status="running", flow_run="r", deployed=True, **given)


def _drift() -> Trigger:
    return replace(webhook("credit", "drift:1"), kind="drift", sender="monitor")


@pytest.mark.parametrize("kind", [BundleError, ConfigError, SchemaError, SourceTooLargeError])
def test_what_the_caller_must_mend_is_definite(kind: type[Exception]) -> None:
    """A minute changes nothing about it."""
    assert is_definite(kind("it is wrong"))


@pytest.mark.parametrize("kind", [StorageError, RunInProgressError, SourceError, ValueError, OSError])
def test_what_may_be_the_network_is_not(kind: type[Exception]) -> None:
    """Unexpected errors are not definite."""
    assert not is_definite(kind("it is away"))
