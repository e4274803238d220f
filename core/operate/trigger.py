"""Why a retraining was requested, and its outcome."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal

Kind = Literal["webhook", "drift", "schedule", "manual"]
Outcome = Literal["promoted", "releasing", "waiting", "recorded", "refused", "undecided", "unchanged", "failed"]
Status = Literal["waiting", "submitted", "running", "merged", "answered", "failed"]


@dataclass(frozen=True)
class Trigger:
    """A request for a retraining, and its outcome.

    Parameters
    ----------
    model
        Name of the model.
    id
        Unique for the model: the same id again is the same trigger. Begins with the kind and the sender.
    kind
        ``webhook``, ``drift``, ``schedule`` or ``manual``.
    sender
        Who requested it.
    document
        JSON object with the sender's message.
    received_at
        Time of arrival, with time zone.
    status
        ``waiting``, ``submitted``, ``running``, ``merged``, ``answered`` or ``failed``.
    leader
        Id of the trigger whose run answers a merged trigger; None if it is not merged.
    flow_run
        Id of the Prefect run; None while there is none.
    deployed
        Whether that run belongs to a deployment, so that Prefect can start it again.
    attempts
        How often the run was started again.
    next_at
        When it may be submitted or started again; None for at once.
    started_at, answered_at
        When the run began to work, and when it answered.
    outcome, reason
        The outcome and why.
    trained
        Whether a model was fitted; such retrainings count towards the weekly budget.
    data_version, version
        Trained on, and registered; None where nothing was.
    """

    model: str
    id: str
    kind: Kind
    sender: str
    document: str
    received_at: datetime
    status: Status = "waiting"
    leader: str | None = None
    flow_run: str | None = None
    deployed: bool = False
    attempts: int = 0
    next_at: datetime | None = None
    started_at: datetime | None = None
    answered_at: datetime | None = None
    outcome: Outcome | None = None
    reason: str | None = None
    trained: bool = False
    data_version: str | None = None
    version: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as values that JSON can hold."""
        moments = ("received_at", "next_at", "started_at", "answered_at")
        return {**asdict(self), **{name: _text(getattr(self, name)) for name in moments}}


def _text(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None
