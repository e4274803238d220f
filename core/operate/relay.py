"""What the relay does for open triggers: request a run, restart one, or give up."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from core.errors import RunInProgressError, SchemaError, SourceError, SourceTooLargeError, StorageError, UserError
from core.operate.deployments import CLONED_PENDING_SECONDS, RECALL_SECONDS, SILENT
from core.operate.trigger import Trigger
from core.wrong_clock import newest_possible, pauses

DRIFT_PATIENCE = timedelta(seconds=60)
"""How long Prefect's automation has to start a run for a drift trigger before the relay requests one."""

MAX_CRASHES = 5
"""Deaths, or failures of unknown cause, after which a run is not restarted."""

PASSING = (StorageError, RunInProgressError)
"""Transient failures, by the names that Prefect shows in the state of a run."""

DEFINITE_OF_SOURCES = (SchemaError, SourceTooLargeError)
"""Failures of a source that are about its rows; the others may be about the network to it."""

FAILURES_FOR = timedelta(hours=24)
"""How long a run with transient failures is restarted; covers a night without a database."""

FIRST_PAUSE_SECONDS = 5.0
MAX_PAUSE_SECONDS = 60.0
"""Time between two restarts, and so the delay after a missing service has returned."""

SILENT_PAUSE_SECONDS = RECALL_SECONDS + 10.0
"""Wait before restarting a run that was marked as silent: a living run sends a heartbeat by then and is unmarked."""

SILENCE = timedelta(seconds=150)
"""How long a run may be silent, or a worker may take to begin it, before the relay itself counts it as dead.

Prefect's automations are faster, but they miss events that the server lost when it died.
"""

CLONED_SILENCE = timedelta(seconds=CLONED_PENDING_SECONDS + 60)
"""The same, for a run that first clones, installs, and waits for data."""

Action = Literal["none", "submit", "crash", "pause", "restart", "give up"]


@dataclass(frozen=True)
class RunState:
    """State of a Prefect run.

    Parameters
    ----------
    type
        Type of the state, such as ``CRASHED``.
    message, name
        Message and name of the state; empty if there is none.
    since
        When the run entered the state, with time zone; None if unknown.
    silent
        Whether a run that should send heartbeats has sent none for :data:`SILENCE`.
    """

    type: str
    message: str = ""
    name: str = ""
    since: datetime | None = None
    silent: bool = False


@dataclass(frozen=True)
class Step:
    """What to do about a run.

    Parameters
    ----------
    action
        The action.
    pause_seconds
        Length of a ``pause``, at least 0.
    reason
        Reason for ``crash`` or ``give up``; otherwise empty.
    """

    action: Action
    pause_seconds: float = 0.0
    reason: str = ""


NOTHING = Step("none")


def to_submit(triggers: Iterable[Trigger], now: datetime) -> list[Trigger]:
    """Choose the triggers to request runs for: at most one per model, the oldest, and none while a run is active.

    Triggers that wait are merged into the next run: a burst of triggers costs one run, and no model fills the queue of
    the others.
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
    if pauses(trigger.next_at, now):
        return False
    waits_until = trigger.received_at + DRIFT_PATIENCE
    return trigger.kind != "drift" or now >= waits_until or trigger.received_at > newest_possible(now)


def after_run(trigger: Trigger, run: RunState | None, now: datetime, to_begin: timedelta = SILENCE) -> Step:
    """Return what to do about the run of an unanswered trigger.

    Parameters
    ----------
    trigger
        The unanswered trigger.
    run
        State of its run; None if Prefect no longer knows the run.
    now
        The present time, with time zone.
    to_begin
        How long the run's process may take to begin.
    """
    if pauses(trigger.next_at, now):
        return NOTHING
    if run is None:
        return Step("submit")
    if run.type == "CANCELLED":
        return Step("give up", reason=f"the run was cancelled: {run.message or 'no reason given'}")
    if gone := _gone(run, now, to_begin):
        return Step("crash", reason=gone)
    return _after_end(trigger, run, now) if run.type in ("CRASHED", "FAILED", "COMPLETED") else NOTHING


def is_definite(error: BaseException) -> bool:
    """Whether a run that failed so would fail again after a minute: Prefect does not retry it then.

    Unexpected errors are not definite: a library's failure of the network may be among them.

    Examples
    --------
    >>> from core.errors import BundleError
    >>> is_definite(BundleError("not what was registered")), is_definite(StorageError("the remote is away"))
    (True, False)
    """
    if isinstance(error, SourceError):
        return isinstance(error, DEFINITE_OF_SOURCES)
    return isinstance(error, UserError) and not isinstance(error, PASSING)


def _gone(run: RunState, now: datetime, to_begin: timedelta) -> str:
    """Why a run that Prefect shows as active has no process; empty where that is not known."""
    if run.type == "PENDING" and run.since is not None and now - run.since > to_begin:
        return f"not begun {to_begin.total_seconds():.0f} s after a worker took it"
    return f"no heartbeat for {SILENCE.total_seconds():.0f} s" if run.type == "RUNNING" and run.silent else ""


def _after_end(trigger: Trigger, run: RunState, now: datetime) -> Step:
    passes = run.type == "FAILED" and any(kind.__name__ in run.message for kind in PASSING)
    if not passes and trigger.attempts >= MAX_CRASHES:
        return Step("give up", reason=f"the run ended {trigger.attempts + 1} times without a result: {run.message}")
    if now - trigger.received_at > FAILURES_FOR:
        return Step("give up", reason=f"no attempt within {FAILURES_FOR.total_seconds() / 3600:g} h: {run.message}")
    if trigger.next_at is not None:
        return Step("restart")
    # Not with a state scheduled in the future: a worker would start the run before it has removed the dead process,
    # and fail on that (Prefect 3.8.8).
    pause = min(FIRST_PAUSE_SECONDS * 2 ** min(trigger.attempts, 10), MAX_PAUSE_SECONDS)
    return Step("pause", pause_seconds=max(pause, SILENT_PAUSE_SECONDS) if run.name == SILENT else pause)
