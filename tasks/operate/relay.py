"""Relay: deliver triggers and events from the operational database to Prefect, and alerts to people.

Writers to the database do not need Prefect to be available. A relay that was killed at any point repeats what is not
recorded as done; each request has an idempotency key, so a repeat has no further effect. Several relays may run.
"""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from types import FrameType
from typing import TYPE_CHECKING
from uuid import UUID

from sqlalchemy import Engine

from config.settings import Settings
from core.errors import ConfigError, PerennialError
from core.operate.deployments import HEARTBEAT, SILENT, TAG
from core.operate.events import retrain_failed
from core.operate.relay import CLONED_SILENCE, NOTHING, SILENCE, RunState, Step, after_run, to_submit
from core.operate.trigger import Trigger
from store.database import open_database
from store.triggers import Answer, answer, open_triggers, postpone, reopen, submitted
from tasks.runs.api import known_api, prefect_client
from tasks.runs.heartbeat import beat_path

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.objects import FlowRun

_log = logging.getLogger("perennial.relay")

ROUND_SECONDS = 1.0
NO_DEPLOYMENT_PAUSE = timedelta(seconds=30)
ALERT_AFTER_SECONDS = 300.0
"""A duty that fails for longer than this raises an alert."""

RUNS_SEARCHED = 100


@dataclass
class Duty:
    """A task of the relay in every round, and the state of its failures.

    Parameters
    ----------
    name
        Name in messages.
    perform
        Performs the duty and returns the number of items processed.
    failing_since
        Monotonic time of the first failure in a row; None while it succeeds.
    alerted
        Whether an alert about this failure was recorded.
    """

    name: str
    perform: Callable[[], int]
    failing_since: float | None = None
    alerted: bool = False


class Relay:
    """Performs its duties in rounds.

    Parameters
    ----------
    settings
        Names the database and the Prefect API.
    """

    def __init__(self, settings: Settings) -> None:
        from tasks.champions.aliases import AliasWatch
        from tasks.operate.alerts import alert
        from tasks.operate.automation_failures import FailureWatch
        from tasks.operate.release_looks import ReleaseWatch
        from tasks.release.mesh import MeshWatch
        from tasks.runs.events import send_events

        self._settings = settings
        self._told_to_stop = False
        self._told: set[str] = set()
        self._in_contact_since: datetime | None = None
        self._listen_at = datetime.now(UTC)
        self._to_begin = CLONED_SILENCE if settings.repository else SILENCE
        self.duties = (
            Duty("triggers", self.carry_triggers),
            Duty("events", lambda: send_events(settings)),
            Duty("alerts", lambda: alert(settings)),
            Duty("automation failures", FailureWatch(settings).look),
            Duty("releases", ReleaseWatch(settings).look),
            Duty("mesh", MeshWatch(settings).look),
            Duty("aliases", AliasWatch(settings).look),
        )

    def run(self) -> None:
        """Run until SIGTERM or Ctrl-C."""
        for sort in (signal.SIGTERM, signal.SIGINT):
            signal.signal(sort, self._end)
        _log.info("delivering triggers, events and alerts; alert destinations: %s", _alerted())
        while not self._told_to_stop:
            self.round()
            time.sleep(ROUND_SECONDS)
        _log.info("the relay has stopped")

    def round(self) -> dict[str, int]:
        """Perform every duty once; return the number of items by duty. Failures are logged and retried."""
        done = {}
        for duty in self.duties:
            done[duty.name] = self._perform(duty)
            self._beat()
        return done

    def _beat(self) -> None:
        """Show that the relay runs: after each duty, because several may wait for a time limit in one round."""
        beat = beat_path(self._settings)
        beat.parent.mkdir(parents=True, exist_ok=True)
        beat.touch()

    def carry_triggers(self) -> int:
        """Request the flow runs that are due, and follow those that are running."""
        engine = open_database(self._settings.database_url)
        found, now = open_triggers(engine), datetime.now(UTC)
        due, under_way = to_submit(found, now), [trigger for trigger in found if trigger.deployed]
        if not due and not under_way:
            return 0
        contact, self._in_contact_since = self._in_contact_since, None
        with prefect_client(self._settings) as client:
            done = sum(self._submit(client, engine, trigger) for trigger in due)
            done += self._follow(client, engine, under_way, contact)
        self._in_contact_since = contact or now
        return done

    def _perform(self, duty: Duty) -> int:
        try:
            done = duty.perform()
        except Exception as error:  # noqa: BLE001 - the edge of a process that must go on: logged, retried
            self._note_failure(duty, error)
            return 0
        if duty.failing_since is not None:
            _log.info("%s are processed again after %.0f s", duty.name, time.monotonic() - duty.failing_since)
            duty.failing_since, duty.alerted = None, False
        return done

    def _note_failure(self, duty: Duty, error: Exception) -> None:
        now = time.monotonic()
        if duty.failing_since is None:
            duty.failing_since = now
            known = isinstance(error, PerennialError)
            _log.warning("cannot process %s; retrying: %s", duty.name, error, exc_info=None if known else error)
        if now - duty.failing_since > ALERT_AFTER_SECONDS and not duty.alerted:
            duty.alerted = self._alert(duty, error)

    def _alert(self, duty: Duty, error: Exception) -> bool:
        from tasks.operate.alerts import record_alert

        title = f"Perennial's relay cannot process {duty.name}"
        try:
            record_alert(open_database(self._settings.database_url), f"relay:{duty.name}", "failure", title, str(error))
        except PerennialError as away:
            _log.debug("the alert could not be recorded either: %s", away)
            return False
        return True

    def _submit(self, client: SyncPrefectClient, engine: Engine, trigger: Trigger) -> bool:
        run_id = self._run_for(client, engine, trigger)
        if run_id is None:
            return False
        if submitted(engine, trigger, run_id):
            _log.info("requested a run of retrain/%s for %s (%s)", trigger.model, trigger.id, run_id)
        return True

    def _run_for(self, client: SyncPrefectClient, engine: Engine, trigger: Trigger) -> str | None:
        """Return the run for a trigger: the automation's if there is one, else a newly requested run."""
        from prefect.exceptions import ObjectNotFound

        try:
            deployment = client.read_deployment_by_name(f"retrain/{trigger.model}")
        except ObjectNotFound:
            named = f"retrain/{trigger.model}"
            self._tell_once(f"no deployment {named}: create it with 'perennial deploy --model {trigger.model}'")
            postpone(engine, trigger, datetime.now(UTC) + NO_DEPLOYMENT_PAUSE, attempts=trigger.attempts)
            return None
        if trigger.kind == "drift" and (begun := _automated(client, deployment.id, trigger)):
            return begun
        run = client.create_flow_run_from_deployment(
            deployment.id,
            parameters={"model": trigger.model, "trigger": trigger.kind, "trigger_id": trigger.id},
            # Must be unique within the flow, so the model is part of it.
            idempotency_key=f"retrain/{trigger.model}/{trigger.id}",
            tags=[TAG, f"model:{trigger.model}", f"trigger:{trigger.kind}"],
        )
        return str(run.id)

    def _follow(
        self, client: SyncPrefectClient, engine: Engine, triggers: Sequence[Trigger], contact: datetime | None
    ) -> int:
        runs = _states(client, [trigger.flow_run for trigger in triggers if trigger.flow_run])
        done, now = 0, datetime.now(UTC)
        # While the server was unavailable, no heartbeat could arrive: that does not count as silence.
        listens = contact is not None and now - contact > SILENCE and now >= self._listen_at
        if listens:
            self._listen_at = now + SILENCE / 10
        for trigger in triggers:
            run = runs.get(trigger.flow_run or "")
            if run is not None and listens:
                run = replace(run, silent=_is_silent(client, str(trigger.flow_run), run, now))
            step = after_run(trigger, run, now, self._to_begin)
            if step != NOTHING:
                _take(step, client, engine, trigger, now)
                done += 1
        return done

    def _tell_once(self, message: str) -> None:
        if message not in self._told:
            self._told.add(message)
            _log.warning("%s", message)

    def _end(self, _signal: int, _frame: FrameType | None) -> None:
        self._told_to_stop = True


def _take(step: Step, client: SyncPrefectClient, engine: Engine, trigger: Trigger, now: datetime) -> None:
    if step.action == "give up":
        event = retrain_failed(trigger.model, trigger.id, step.reason, now)
        answer(engine, trigger, Answer("failed", step.reason), now, event)
        _log.error("gave up %s of %s: %s", trigger.id, trigger.model, step.reason)
    elif step.action == "crash":
        _crash(client, trigger, step.reason)
    elif step.action == "submit":
        reopen(engine, trigger)
        _log.warning("run %s of %s no longer exists in Prefect; requesting another", trigger.flow_run, trigger.id)
    elif step.action == "pause":
        until = now + timedelta(seconds=step.pause_seconds)
        postpone(engine, trigger, until, attempts=trigger.attempts + 1)
        _log.warning("run %s for %s ended without a recorded outcome", trigger.flow_run, trigger.id)
    else:
        _restart(client, engine, trigger)


def _crash(client: SyncPrefectClient, trigger: Trigger, reason: str) -> None:
    from prefect.client.schemas.objects import State
    from prefect.states import Crashed

    state: State[None] = Crashed(name=SILENT, message=f"The run's process is gone: {reason}")
    client.set_flow_run_state(str(trigger.flow_run), state, force=True)
    _log.warning("run %s for %s is gone: %s", trigger.flow_run, trigger.id, reason)


def _is_silent(client: SyncPrefectClient, run_id: str, run: RunState, now: datetime) -> bool:
    """Return whether a running flow run has sent no heartbeat for too long."""
    if run.type != "RUNNING" or run.since is None or now - run.since <= SILENCE:
        return False
    asked = {
        "event": {"name": [HEARTBEAT]},
        "resource": {"id": [f"prefect.flow-run.{run_id}"]},
        "occurred": {"since": (now - SILENCE).isoformat()},
    }
    found = client.request("POST", "/events/filter", json={"filter": asked, "limit": 1}).json()
    return not found["events"]


def _restart(client: SyncPrefectClient, engine: Engine, trigger: Trigger) -> None:
    """Restart the same run: it knows its trigger, and finds the steps that are done."""
    from prefect.client.schemas.objects import State
    from prefect.states import AwaitingRetry

    state: State[None] = AwaitingRetry(message="the run ended without a recorded outcome; restarting it")
    client.set_flow_run_state(str(trigger.flow_run), state, force=True)
    postpone(engine, trigger, None, attempts=trigger.attempts)
    _log.info("restarting run %s for %s", trigger.flow_run, trigger.id)


def _states(client: SyncPrefectClient, ids: Sequence[str]) -> dict[str, RunState]:
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId

    if not ids:
        return {}
    chosen = FlowRunFilter(id=FlowRunFilterId(any_=[UUID(one) for one in ids]))
    return {str(run.id): _state(run) for run in client.read_flow_runs(flow_run_filter=chosen)}


def _state(run: FlowRun) -> RunState:
    if run.state is None:
        return RunState("PENDING")
    return RunState(run.state.type.value, run.state.message or "", run.state.name or "", run.state.timestamp)


def _automated(client: SyncPrefectClient, deployment_id: UUID, trigger: Trigger) -> str | None:
    """Return the run that Prefect's automation made for a trigger, if it made one."""
    from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterId
    from prefect.client.schemas.sorting import FlowRunSort

    runs = client.read_flow_runs(
        deployment_filter=DeploymentFilter(id=DeploymentFilterId(any_=[deployment_id])),
        sort=FlowRunSort.EXPECTED_START_TIME_DESC,
        limit=RUNS_SEARCHED,
    )
    return next((str(run.id) for run in runs if run.parameters.get("trigger_id") == trigger.id), None)


def relay(settings: Settings, *, once: bool) -> dict[str, int]:
    """Run the relay until it is stopped, or for one round.

    Raises
    ------
    ConfigError
        No Prefect API is configured or running.
    """
    import prefect  # noqa: F401 - configures logging, and would remove a handler added before

    if known_api(settings) is None:
        raise ConfigError(
            "no Prefect API is configured or running: set PREFECT_API_URL, or start the platform with 'perennial up'"
        )
    _log_to_terminal()
    carrier = Relay(settings)
    if once:
        return carrier.round()
    carrier.run()
    return {}


def _alerted() -> str:
    """Return the alert destinations for the log; a malformed one does not stop the other deliveries."""
    from tasks.operate.alerts import check_destinations

    try:
        return ", ".join(check_destinations()) or "none (PERENNIAL_ALERTS_URLS is not set)"
    except ConfigError as error:
        return f"none: {error}"


def _log_to_terminal() -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logger = logging.getLogger("perennial")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
