"""Triggers of retrainings from webhooks, drift, schedules and people, and their outcomes.

One trigger has one answer. A run claims its trigger before it reads the source, and with it all other waiting triggers
of the model: it reads the source after they arrived, so it answers them too.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, Update, func, select, update

from core.operate.events import Event
from core.operate.trigger import Outcome, Status, Trigger
from store.database import insert_new, reading, writing
from store.events import record_event
from store.tables import TriggerRow

OPEN = ("waiting", "submitted", "running")
"""Statuses of a trigger that has no answer yet; a merged trigger follows its leader."""


@dataclass(frozen=True)
class Answer:
    """The outcome of a trigger; see :class:`core.operate.trigger.Trigger` for the fields."""

    outcome: Outcome
    reason: str
    trained: bool = False
    data_version: str | None = None
    version: int | None = None


def receive(engine: Engine, trigger: Trigger) -> bool:
    """Put a trigger into the inbox; return False if it is there already, so a repeat is harmless."""
    with writing(engine) as connection:
        return receive_in(connection, trigger)


def receive_in(connection: Connection, trigger: Trigger) -> bool:
    """Do what :func:`receive` does, in the caller's transaction."""
    return insert_new(connection, TriggerRow, asdict(trigger))


def is_received(engine: Engine, model: str, trigger_id: str) -> bool:
    """Whether a trigger is in the inbox."""
    with reading(engine) as connection:
        return connection.execute(_one(model, trigger_id)).first() is not None


def claim(engine: Engine, trigger: Trigger, flow_run: str, *, deployed: bool, at: datetime) -> tuple[Trigger, bool]:
    """Claim a trigger for a run, unless another run claimed or answered it.

    The same run may claim again, for example after it was killed and restarted. A run of a deployment also claims the
    model's other waiting triggers; any other run does not, because Prefect would not start it again.

    Parameters
    ----------
    trigger
        Put into the inbox if it is not there.
    flow_run
        Id of the Prefect run.
    deployed
        Whether the run belongs to a deployment.
    at
        The present time, with time zone.

    Returns
    -------
    Trigger, bool
        The stored trigger, and whether the caller holds the claim.
    """
    with writing(engine) as connection:
        receive_in(connection, trigger)
        row = connection.execute(_one(trigger.model, trigger.id).with_for_update()).mappings().one()
        found = Trigger(**row)
        if found.status in ("answered", "failed", "merged") or (
            found.status == "running" and found.flow_run != flow_run
        ):
            return found, False
        claimed = replace(
            found, status="running", flow_run=flow_run, deployed=deployed, started_at=found.started_at or at
        )
        connection.execute(_change(claimed).values(asdict(claimed)))
        if deployed:
            others = update(TriggerRow).where(
                TriggerRow.model == trigger.model,
                TriggerRow.id != trigger.id,
                TriggerRow.status.in_(("waiting", "submitted")),
            )
            connection.execute(others.values(status="merged", leader=trigger.id))
        return claimed, True


def answer(engine: Engine, trigger: Trigger, given: Answer, at: datetime, event: Event | None = None) -> Trigger:
    """Record the outcome of a trigger and of those merged into it; the first answer is kept.

    Parameters
    ----------
    event
        Put into the outbox in the same transaction.
    """
    status: Status = "failed" if given.outcome == "failed" else "answered"
    with writing(engine) as connection:
        found = Trigger(**connection.execute(_one(trigger.model, trigger.id).with_for_update()).mappings().one())
        if found.status in ("answered", "failed"):
            return found
        values = {**asdict(given), "status": status, "answered_at": at, "next_at": None}
        group = update(TriggerRow).where(
            TriggerRow.model == trigger.model,
            (TriggerRow.id == trigger.id) | ((TriggerRow.leader == trigger.id) & (TriggerRow.status == "merged")),
        )
        connection.execute(group.values(values))
        if event is not None:
            record_event(connection, event)
        return replace(found, **values)


def submitted(engine: Engine, trigger: Trigger, flow_run: str) -> bool:
    """Record the Prefect run of a waiting trigger; return False if a run has claimed the trigger meanwhile."""
    chosen = _change(trigger).where(TriggerRow.status == "waiting")
    values = {"status": "submitted", "flow_run": flow_run, "deployed": True, "next_at": None}
    with writing(engine) as connection:
        return bool(connection.execute(chosen.values(values)).rowcount)


def reopen(engine: Engine, trigger: Trigger) -> None:
    """Set a trigger back to ``waiting`` after its Prefect run was lost; triggers merged into it stay merged."""
    chosen = _change(trigger).where(
        TriggerRow.flow_run == trigger.flow_run, TriggerRow.status.in_(("submitted", "running"))
    )
    with writing(engine) as connection:
        connection.execute(chosen.values(status="waiting", flow_run=None, deployed=False))


def postpone(engine: Engine, trigger: Trigger, until: datetime | None, *, attempts: int) -> None:
    """Postpone the next step of an open trigger until a time; None removes the delay."""
    chosen = _change(trigger).where(TriggerRow.status.in_(OPEN))
    with writing(engine) as connection:
        connection.execute(chosen.values(next_at=until, attempts=attempts))


def open_triggers(engine: Engine) -> list[Trigger]:
    """Return the open triggers of all models, in the order they arrived."""
    chosen = select(TriggerRow.__table__).where(TriggerRow.status.in_(OPEN))
    with reading(engine) as connection:
        found = connection.execute(chosen.order_by(TriggerRow.received_at, TriggerRow.id)).mappings()
        return [Trigger(**row) for row in found]


def triggers(engine: Engine, model: str | None = None, limit: int = 50) -> list[Trigger]:
    """Return the newest triggers, of one model or all, newest first."""
    chosen = select(TriggerRow.__table__).order_by(TriggerRow.received_at.desc(), TriggerRow.id.desc()).limit(limit)
    if model is not None:
        chosen = chosen.where(TriggerRow.model == model)
    with reading(engine) as connection:
        return [Trigger(**row) for row in connection.execute(chosen).mappings()]


def trained_since(engine: Engine, model: str, since: datetime, until: datetime) -> int:
    """Count the retrainings of a model that began after a time, not after another, and fitted a model."""
    within = TriggerRow.started_at > since, TriggerRow.started_at <= until
    chosen = select(func.count()).where(
        TriggerRow.model == model, TriggerRow.trained, *within, TriggerRow.leader.is_(None)
    )
    with reading(engine) as connection:
        return int(connection.execute(chosen).scalar_one())


def last_trained(engine: Engine, model: str, until: datetime) -> datetime | None:
    """Return when the model's newest retraining that fitted a model began, not after a time; None if there was none."""
    chosen = select(TriggerRow.started_at).where(
        TriggerRow.model == model, TriggerRow.trained, TriggerRow.started_at <= until
    )
    with reading(engine) as connection:
        return connection.execute(chosen.order_by(TriggerRow.started_at.desc()).limit(1)).scalar()


def _one(model: str, trigger_id: str) -> Any:
    return select(TriggerRow.__table__).where(TriggerRow.model == model, TriggerRow.id == trigger_id)


def _change(trigger: Trigger) -> Update:
    return update(TriggerRow).where(TriggerRow.model == trigger.model, TriggerRow.id == trigger.id)
