"""Before and after a retraining: claim its trigger, check cool-down and budget, record the outcome."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, cast

from config.schema import ModelConfig
from config.settings import Settings
from core.errors import ConfigError, StorageError, UserError
from core.gate.decision import GateVerdict
from core.operate.events import retrain_failed, retrain_refused
from core.operate.relay import PASSING
from core.operate.retraining import WEEK, Pace, Refusal, RetrainOutcome, pace_refusal, rows_refusal
from core.operate.trigger import Kind, Outcome, Trigger
from core.outcome import IngestOutcome, TrainOutcome
from core.text import readable
from core.wrong_clock import newest_possible
from store.champions import find_verdict
from store.database import open_database
from store.triggers import Answer, answer, claim, last_trained, trained_since
from tasks.operate.new_rows import new_rows
from tasks.registry.versions import versions_made_for

if TYPE_CHECKING:
    from core.operate.events import Event, RefusalCode

_log = logging.getLogger("perennial.retrain")

KINDS = ("webhook", "drift", "schedule", "manual")

MAX_REASON = 2_000


@dataclass(frozen=True)
class FlowRun:
    """The Prefect flow run of this process.

    Parameters
    ----------
    id
        Id of the flow run.
    deployed
        Whether it belongs to a deployment.
    scheduled_at
        Its scheduled start; for runs of a schedule, their slot.
    """

    id: str
    deployed: bool
    scheduled_at: datetime | None


@dataclass(frozen=True)
class Claim:
    """A trigger, and whether this run has claimed it.

    Parameters
    ----------
    trigger
        The stored trigger.
    is_mine
        Whether this run has to process it.
    began
        When the run first started; a run that is resumed after a kill keeps this time.
    resumed
        Whether this run started before and was killed.
    force
        Whether a person overrides cool-down and budget.
    """

    trigger: Trigger
    is_mine: bool
    began: datetime
    resumed: bool
    force: bool


def claim_trigger(
    model: str, kind: str, trigger_id: str | None, reason: str, *, force: bool, run: FlowRun, settings: Settings
) -> Claim:
    """Claim a trigger for a run; the same run may repeat it, any other run finds the trigger claimed.

    Raises
    ------
    ConfigError
        The kind of trigger is unknown.
    """
    if kind not in KINDS:
        raise ConfigError(f"expected a trigger of kind {', '.join(KINDS)}, found {readable(kind)!r}")
    now = datetime.now(UTC)
    wanted = Trigger(
        model=model,
        id=readable(trigger_id or _own_id(kind, run), 255),
        kind=cast("Kind", kind),
        sender=_sender(kind),
        document=json.dumps({"reason": readable(reason, MAX_REASON), "force": force}),
        received_at=now,
    )
    trigger, is_mine = claim(open_database(settings.database_url), wanted, run.id, deployed=run.deployed, at=now)
    began = trigger.started_at or now
    return Claim(trigger, is_mine, began, resumed=began != now, force=force)


def pace(claimed: Claim, config: ModelConfig, settings: Settings) -> Refusal | None:
    """Return a refusal if cool-down or weekly budget forbids the retraining; ``force`` overrides it."""
    if claimed.force:
        return None
    engine, model = open_database(settings.database_url), config.model
    began, until = claimed.began, newest_possible(claimed.began)
    of_late = Pace(last_trained(engine, model, until), trained_since(engine, model, began - WEEK, until))
    return pace_refusal(of_late, config.retrain, began)


def rows(claimed: Claim, config: ModelConfig, ingestion: IngestOutcome, settings: Settings) -> Refusal | None:
    """Return a refusal if the rows failed validation, are known to the champion, or have too few labels."""
    if ingestion.data_version is None:
        return Refusal("validation", "; ".join(ingestion.reasons) or "the validation refused the rows")
    if _versions(claimed, settings):
        return None  # registered before this run was killed: judging and recording the outcome remain
    return rows_refusal(new_rows(config, ingestion.data_version, settings), config.retrain)


def refuse(claimed: Claim, refusal: Refusal, data_version: str | None, settings: Settings) -> RetrainOutcome:
    """Record a refusal and its event; a repeat changes nothing."""
    now = datetime.now(UTC)
    trigger = claimed.trigger
    event = retrain_refused(trigger.model, trigger.id, refusal.code, refusal.reason, data_version, now)
    given = Answer("refused", refusal.reason, data_version=data_version)
    return _recorded(trigger, given, refusal.code, (refusal.reason,), settings, event)


def conclude(claimed: Claim, trained: TrainOutcome, settings: Settings) -> RetrainOutcome:
    """Record the outcome of the training."""
    if trained.status == "unchanged" and trained.version in _versions(claimed, settings):
        trained = _judged_before(trained, settings)
    given = Answer(
        outcome=cast("Outcome", trained.status),  # a finished training is never "registered", which a step returns
        reason=readable("; ".join(trained.reasons), MAX_REASON),
        trained=trained.version is not None and trained.status != "unchanged",
        data_version=trained.data_version,
        version=trained.version,
    )
    return _recorded(
        claimed.trigger, given, trained.stage, trained.reasons, settings, _refusal(claimed, given, trained)
    )


def already(claimed: Claim) -> RetrainOutcome:
    """Return the outcome of a trigger that another run has processed or is processing."""
    trigger = claimed.trigger
    return RetrainOutcome(
        model=trigger.model,
        trigger_id=trigger.id,
        status=trigger.outcome or "elsewhere",
        code="repeated",
        reasons=(_said(trigger),),
        repeated=True,
        data_version=trigger.data_version,
        version=trigger.version,
    )


@contextmanager
def answered(claimed: Claim, settings: Settings) -> Iterator[None]:
    """Record a permanent failure as the trigger's outcome, and re-raise it.

    For a deployment's run, only an error that the user must fix is recorded. Temporary and unexpected errors leave the
    trigger open: the relay restarts the run, a limited number of times for unexpected errors.
    """
    try:
        yield
    except Exception as error:
        is_final = isinstance(error, UserError) and not isinstance(error, PASSING)
        if is_final or not claimed.trigger.deployed:
            _fail(claimed.trigger, error, settings)
        raise


def _refusal(claimed: Claim, given: Answer, trained: TrainOutcome) -> Event | None:
    """Return the event of a training without a version to promote."""
    if not (trained.refused or trained.status == "unchanged"):
        return None
    trigger = claimed.trigger
    code = "unchanged" if trained.status == "unchanged" else trained.stage
    return retrain_refused(
        trigger.model, trigger.id, cast("RefusalCode", code), given.reason, trained.data_version, datetime.now(UTC)
    )


def _versions(claimed: Claim, settings: Settings) -> list[int]:
    """Versions that this run registered before it was killed."""
    return versions_made_for(claimed.trigger.model, claimed.trigger.id, settings) if claimed.resumed else []


def _judged_before(trained: TrainOutcome, settings: Settings) -> TrainOutcome:
    """Add the gate's recorded verdict on a version that was judged before the run was killed."""
    recorded = find_verdict(open_database(settings.database_url), trained.model, cast("int", trained.version))
    if recorded is None:
        return trained
    verdict = GateVerdict.from_json(recorded.document)
    is_champion = trained.champion == trained.version
    status = "promoted" if is_champion else "releasing" if verdict.status == "promoted" else verdict.status
    return replace(trained, status=status, stage="gate", reasons=verdict.reasons)


def _fail(trigger: Trigger, error: Exception, settings: Settings) -> None:
    reason = readable(f"{type(error).__name__}: {error}", MAX_REASON)
    now = datetime.now(UTC)
    try:
        event = retrain_failed(trigger.model, trigger.id, reason, now)
        answer(open_database(settings.database_url), trigger, Answer("failed", reason), now, event)
    except StorageError as away:
        _log.warning("the failure of the retraining could not be recorded: %s", away)


def _recorded(
    trigger: Trigger,
    given: Answer,
    code: str,
    reasons: tuple[str, ...],
    settings: Settings,
    event: Event | None = None,
) -> RetrainOutcome:
    found = answer(open_database(settings.database_url), trigger, given, datetime.now(UTC), event)
    outcome = RetrainOutcome(
        model=found.model,
        trigger_id=found.id,
        status=found.outcome or given.outcome,
        code=code,
        reasons=reasons,
        data_version=found.data_version,
        version=found.version,
    )
    return outcome if found.reason == given.reason else replace(outcome, reasons=(found.reason or "",))


def _said(trigger: Trigger) -> str:
    if trigger.status == "merged":
        return f"merged: the run of trigger {trigger.leader} covers this trigger too"
    if trigger.status == "running":
        return f"run {trigger.flow_run} is processing this trigger"
    return f"already processed: {trigger.outcome}: {trigger.reason}"


def _own_id(kind: str, run: FlowRun) -> str:
    if kind == "schedule" and run.scheduled_at is not None:
        return f"schedule:{run.scheduled_at.astimezone(UTC).isoformat(timespec='seconds')}"
    return f"{kind}:{run.id}"


def _sender(kind: str) -> str:
    from tasks.runs.actor import actor

    return actor() if kind == "manual" else kind
