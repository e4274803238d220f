"""What surrounds a retraining: its trigger is claimed, its pace looked at, its answer recorded."""

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
from core.operate.trigger import Kind, Trigger
from core.outcome import IngestOutcome, TrainOutcome
from core.text import readable
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
    """The Prefect run that this process works for.

    Parameters
    ----------
    id
        Its id.
    deployed
        Whether it belongs to a deployment.
    scheduled_at
        When it was to begin; for runs of a schedule, their slot.
    """

    id: str
    deployed: bool
    scheduled_at: datetime | None


@dataclass(frozen=True)
class Claim:
    """A trigger, and whether its work is this run's.

    Parameters
    ----------
    began
        When the run first began to work; a run that was killed and goes on keeps it.
    resumed
        Whether this run began before and was killed.
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
    """Claim a trigger for a run; the same run may do it again, any other finds it taken.

    Raises
    ------
    ConfigError
        There is no such kind of trigger.
    """
    if kind not in KINDS:
        raise ConfigError(f"a trigger is one of {', '.join(KINDS)}, found {readable(kind)!r}")
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
    """Say why it is too soon; a person may override it."""
    if claimed.force:
        return None
    engine, model = open_database(settings.database_url), config.model
    of_late = Pace(last_trained(engine, model), trained_since(engine, model, claimed.began - WEEK))
    return pace_refusal(of_late, config.retrain, claimed.began)


def rows(claimed: Claim, config: ModelConfig, ingestion: IngestOutcome, settings: Settings) -> Refusal | None:
    """Say why the rows are no reason to train: refused by the validation, seen by the champion, or unlabelled."""
    if ingestion.data_version is None:
        return Refusal("validation", "; ".join(ingestion.reasons) or "the validation refused the rows")
    if _versions(claimed, settings):
        return None  # registered before this run was killed: what is left is to judge and to answer
    return rows_refusal(new_rows(config, ingestion.data_version, settings), config.retrain)


def refuse(claimed: Claim, refusal: Refusal, data_version: str | None, settings: Settings) -> RetrainOutcome:
    """Record that there is no retraining, and tell it; a repeat finds it recorded."""
    now = datetime.now(UTC)
    trigger = claimed.trigger
    event = retrain_refused(trigger.model, trigger.id, refusal.code, refusal.reason, data_version, now)
    given = Answer("refused", refusal.reason, data_version=data_version)
    return _recorded(trigger, given, refusal.code, (refusal.reason,), settings, event)


def conclude(claimed: Claim, trained: TrainOutcome, settings: Settings) -> RetrainOutcome:
    """Record what the training came to."""
    if trained.status == "unchanged" and trained.version in _versions(claimed, settings):
        trained = _judged_before(trained, settings)
    given = Answer(
        outcome=trained.status,
        reason=readable("; ".join(trained.reasons), MAX_REASON),
        trained=trained.version is not None and trained.status != "unchanged",
        data_version=trained.data_version,
        version=trained.version,
    )
    return _recorded(
        claimed.trigger, given, trained.stage, trained.reasons, settings, _refusal(claimed, given, trained)
    )


def already(claimed: Claim) -> RetrainOutcome:
    """Answer for a trigger that another run has answered, or works on."""
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
    """Record a failure that no repeat would mend as the trigger's answer, and raise it on.

    Where the run is a deployment's, only what the caller has to mend is an answer. What passes by itself is left open,
    and what nobody expected, too: the relay starts that run again, the latter some times.
    """
    try:
        yield
    except Exception as error:
        is_final = isinstance(error, UserError) and not isinstance(error, PASSING)
        if is_final or not claimed.trigger.deployed:
            _fail(claimed.trigger, error, settings)
        raise


def _refusal(claimed: Claim, given: Answer, trained: TrainOutcome) -> Event | None:
    """Return what is told of a training that gave nothing to promote."""
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
    """Say what the gate said of a version before the run was killed."""
    recorded = find_verdict(open_database(settings.database_url), trained.model, cast("int", trained.version))
    if recorded is None:
        return trained
    verdict = GateVerdict.from_dict(json.loads(recorded.document))
    status = "promoted" if trained.champion == trained.version else verdict.status
    return replace(trained, status=status, stage="gate", reasons=verdict.reasons)


def _fail(trigger: Trigger, error: Exception, settings: Settings) -> None:
    reason = readable(f"{type(error).__name__}: {error}", MAX_REASON)
    now = datetime.now(UTC)
    try:
        event = retrain_failed(trigger.model, trigger.id, reason, now)
        answer(open_database(settings.database_url), trigger, Answer("failed", reason), now, event)
    except StorageError as away:
        _log.warning("that the retraining failed is not on record: %s", away)


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
        return f"the run of the trigger {trigger.leader} answers this one too"
    if trigger.status == "running":
        return f"the run {trigger.flow_run} works on this trigger"
    return f"answered before: {trigger.outcome}: {trigger.reason}"


def _own_id(kind: str, run: FlowRun) -> str:
    if kind == "schedule" and run.scheduled_at is not None:
        return f"schedule:{run.scheduled_at.astimezone(UTC).isoformat(timespec='seconds')}"
    return f"{kind}:{run.id}"


def _sender(kind: str) -> str:
    from tasks.runs.actor import actor

    return actor() if kind == "manual" else kind
