"""What the relay has to do for the triggers that are open: ask for a run, start one again, or give up."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from core.errors import RunInProgressError, StorageError
from core.operate.deployments import CLONED_PENDING_SECONDS, RECALL_SECONDS, SILENT
from core.operate.trigger import Trigger

DRIFT_PATIENCE = timedelta(seconds=60)
"""How long a trigger by drift is left to Prefect's automation before a run is asked for it."""

MAX_CRASHES = 5
"""A run that dies so often, or fails for a reason nobody knows, is not started again."""

PASSING = (StorageError, RunInProgressError)
"""Failures that pass by themselves; Prefect has their names in the state of a run."""

FAILURES_FOR = timedelta(hours=24)
"""How long a run whose failures pass by themselves is started again: a night without a database."""

FIRST_PAUSE_SECONDS = 5.0
MAX_PAUSE_SECONDS = 60.0
"""Between two starts: what was away is found again within that time of its return."""

SILENT_PAUSE_SECONDS = RECALL_SECONDS + 10.0
"""Before a run is started again that was marked for its silence: if it lives, it is heard by then and set back."""

SILENCE = timedelta(seconds=150)
"""How long a run may be silent, or a worker take to begin one, before the relay counts it as dead by itself.

Prefect's automations are sooner, but know only of events that their server had not lost when it died.
"""

CLONED_SILENCE = timedelta(seconds=CLONED_PENDING_SECONDS + 60)
"""The same for a run that first clones, installs, and waits for data."""

Action = Literal["none", "submit", "crash", "pause", "restart", "give up"]


@dataclass(frozen=True)
class RunState:
    """State of a Prefect run: its type, such as ``CRASHED``, what it says, its name, and since when it is so.

    ``silent`` says that no heartbeat came for :data:`SILENCE` from a run that should send them.
    """

    type: str
    message: str = ""
    name: str = ""
    since: datetime | None = None
    silent: bool = False


@dataclass(frozen=True)
class Step:
    """What to do about a run; with a pause, for how many seconds; with giving up, why."""

    action: Action
    pause_seconds: float = 0.0
    reason: str = ""


NOTHING = Step("none")


def to_submit(triggers: Iterable[Trigger], now: datetime) -> list[Trigger]:
    """Choose the triggers to ask runs for: of each model at most one, the oldest, and none while one is under way.

    What waits meanwhile is merged into the next run, so a burst of triggers costs one run and not one each, and no
    model fills the queue of the others.
    """
    by_model: dict[str, list[Trigger]] = defaultdict(list)
    for trigger in triggers:
        by_model[trigger.model].append(trigger)
    chosen = (_next(of_model, now) for of_model in by_model.values())
    return [trigger for trigger in chosen if trigger is not None]


def _next(triggers: list[Trigger], now: datetime) -> Trigger | None:
    if any(trigger.deployed for trigger in triggers):
        return None
    due = [trigger for trigger in triggers if trigger.status == "waiting" and _is_due(trigger, now)]
    return min(due, key=lambda trigger: trigger.received_at, default=None)


def _is_due(trigger: Trigger, now: datetime) -> bool:
    if trigger.next_at is not None and now < trigger.next_at:
        return False
    return trigger.kind != "drift" or now >= trigger.received_at + DRIFT_PATIENCE


def after_run(trigger: Trigger, run: RunState | None, now: datetime, to_begin: timedelta = SILENCE) -> Step:
    """Say what to do about the run of a trigger that is not answered yet.

    Parameters
    ----------
    run
        Its state; None where Prefect does not know it any more.
    to_begin
        How long its process may take to begin.
    """
    if trigger.next_at is not None and now < trigger.next_at:
        return NOTHING
    if run is None:
        return Step("submit")
    if run.type == "CANCELLED":
        return Step("give up", reason=f"the run was cancelled: {run.message or 'no reason given'}")
    if gone := _gone(run, now, to_begin):
        return Step("crash", reason=gone)
    return _after_end(trigger, run, now) if run.type in ("CRASHED", "FAILED", "COMPLETED") else NOTHING


def _gone(run: RunState, now: datetime, to_begin: timedelta) -> str:
    """Why a run that Prefect believes in has no process any more; empty where that is not known."""
    if run.type == "PENDING" and run.since is not None and now - run.since > to_begin:
        return f"not begun {to_begin.total_seconds():.0f} s after a worker took it"
    return f"no heartbeat for {SILENCE.total_seconds():.0f} s" if run.type == "RUNNING" and run.silent else ""


def _after_end(trigger: Trigger, run: RunState, now: datetime) -> Step:
    passes = run.type == "FAILED" and any(kind.__name__ in run.message for kind in PASSING)
    if not passes and trigger.attempts >= MAX_CRASHES:
        return Step("give up", reason=f"the run ended {trigger.attempts + 1} times without an answer: {run.message}")
    if now - trigger.received_at > FAILURES_FOR:
        return Step("give up", reason=f"no attempt within {FAILURES_FOR.total_seconds() / 3600:g} h: {run.message}")
    if trigger.next_at is not None:
        return Step("restart")
    # Not by a state that is scheduled ahead: a worker would take the run up before it has put the dead process away,
    # and fail over that (Prefect 3.8.8).
    pause = min(FIRST_PAUSE_SECONDS * 2 ** min(trigger.attempts, 10), MAX_PAUSE_SECONDS)
    return Step("pause", pause_seconds=max(pause, SILENT_PAUSE_SECONDS) if run.name == SILENT else pause)
