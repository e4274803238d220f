"""Events of a model's life cycle, for Prefect's automations and for alerts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal
from uuid import UUID, uuid5

from core.text import readable

if TYPE_CHECKING:
    from core.drift.verdict import DriftVerdict

DRIFT_DETECTED = "perennial.drift.detected"
DATA_VERSIONED = "perennial.data.versioned"
MODEL_REGISTERED = "perennial.model.registered"
MODEL_PROMOTED = "perennial.model.promoted"
MODEL_ROLLED_BACK = "perennial.model.rolled_back"
RELEASE_STARTED = "perennial.release.started"
RELEASE_ADVANCED = "perennial.release.advanced"
RELEASE_ROLLED_BACK = "perennial.release.rolled_back"
RELEASE_COMPLETED = "perennial.release.completed"
RETRAIN_REFUSED = "perennial.retrain.refused"
RETRAIN_FAILED = "perennial.retrain.failed"
RETENTION_PRUNED = "perennial.retention.pruned"

NAMES = (
    DRIFT_DETECTED,
    DATA_VERSIONED,
    MODEL_REGISTERED,
    MODEL_PROMOTED,
    MODEL_ROLLED_BACK,
    RELEASE_STARTED,
    RELEASE_ADVANCED,
    RELEASE_ROLLED_BACK,
    RELEASE_COMPLETED,
    RETRAIN_REFUSED,
    RETRAIN_FAILED,
    RETENTION_PRUNED,
)
"""Names of all events."""

RefusalCode = Literal["unchanged", "unlabelled", "cooldown", "budget", "validation", "leakage", "gate"]
"""Why a retraining was refused, for automations and alerts; the sentence beside the code is for people."""

MAX_TEXT = 2_000
MAX_ITEMS = 50
MAX_ITEM_TEXT = 500
MAX_NAMES = 20
MAX_NAME = 80
"""Bounds of a payload: Prefect refuses events above 1.5 MB."""

_SPACE = UUID("6a0f6bd7-64a5-4f3d-9a56-0f0c1c1f7b0e")


@dataclass(frozen=True)
class Event:
    """Something that happened to a model.

    Parameters
    ----------
    id
        Derived from what happened, so that sending the event again sends the same id.
    name
        One of :data:`NAMES`.
    model
        Name of the model; empty if the event is about the whole project.
    occurred_at
        Time of the event, with time zone.
    payload
        JSON-serialisable details.
    labels
        Labels of the resource, besides its id and name: automations match labels, not payloads.
    related
        Role: id of a related resource.
    """

    id: UUID
    name: str
    model: str
    occurred_at: datetime
    payload: Mapping[str, Any]
    labels: Mapping[str, str] = field(default_factory=dict)
    related: Mapping[str, str] = field(default_factory=dict)

    def to_prefect(self) -> dict[str, Any]:
        """Return the event in the format of Prefect's API."""
        return {
            "id": str(self.id),
            "event": self.name,
            "occurred": self.occurred_at.isoformat(),
            "resource": {
                "prefect.resource.id": f"perennial.model.{self.model}" if self.model else "perennial.project",
                "prefect.resource.name": self.model or "project",
                **self.labels,
            },
            "related": [
                {"prefect.resource.id": resource, "prefect.resource.role": role}
                for role, resource in self.related.items()
            ],
            "payload": dict(self.payload),
        }


def event_id(name: str, *parts: object) -> UUID:
    """Return the id of an event from its name and the parts that identify it among events of that name."""
    return uuid5(_SPACE, " ".join([name, *map(str, parts)]))


def version_resource(model: str, version: int) -> str:
    """Return the resource id of a model's version."""
    return f"perennial.model-version.{model}.{version}"


def data_resource(model: str, data_version: str) -> str:
    """Return the resource id of a data version."""
    return f"perennial.data-version.{model}.{data_version}"


def drift_detected(verdict: DriftVerdict, report: str) -> Event:
    """Return the event of rows that have drifted from the champion's training rows.

    Parameters
    ----------
    verdict
        One whose status is ``drift``.
    report
        Path of the page that shows it.
    """
    return _event(
        DRIFT_DETECTED,
        verdict.model,
        # Derived from the decision, as before there was an outbox.
        UUID(verdict.id[:32]),
        verdict.measured_at,
        {
            "champion": verdict.champion,
            "decision_id": verdict.id,
            "retrain": verdict.retrain,
            "window": verdict.to_dict()["window"],
            "importance_share": verdict.importance_share,
            "reasons": list(verdict.reasons),
            "report": report,
        },
        labels={"perennial.retrain": str(verdict.retrain).lower()},
        related={"champion": version_resource(verdict.model, verdict.champion)},
    )


def data_versioned(
    model: str, data_version: str, *, n_rows: int, n_batches: int, git_commit: str, has_champion: bool, at: datetime
) -> Event:
    """Return the event of a data version that a model has for the first time.

    Parameters
    ----------
    model
        Name of the model.
    data_version
        The data version: 32 hex digits and ``.dir``.
    n_rows, n_batches
        Number of its rows and of its batches.
    git_commit
        Commit that was checked out; empty if unknown.
    has_champion
        Whether there is a champion to compare the rows with; also the label ``perennial.champion``, on which the
        automation that monitors new data matches.
    at
        When the version was recorded, with time zone.
    """
    return _event(
        DATA_VERSIONED,
        model,
        event_id(DATA_VERSIONED, model, data_version),
        at,
        {"data_version": data_version, "n_rows": n_rows, "n_batches": n_batches, "git_commit": git_commit},
        labels={"perennial.champion": str(has_champion).lower()},
        related={"data-version": data_resource(model, data_version)},
    )


def model_registered(model: str, version: int, *, run_id: str, data_version: str, trigger: str, at: datetime) -> Event:
    """Return the event of a version that is complete in the registry; the gate has not judged it yet.

    Parameters
    ----------
    model, version
        Name of the model, and number of the version.
    run_id
        Id of the MLflow run; it distinguishes versions of equal number, because a new registry counts from 1 again.
    data_version
        The data version trained on.
    trigger
        What started the training.
    at
        When MLflow registered it, so that every sender states the same time.
    """
    return _event(
        MODEL_REGISTERED,
        model,
        event_id(MODEL_REGISTERED, model, version, run_id),
        at,
        {"version": version, "run_id": run_id, "data_version": data_version, "trigger": trigger},
        related={"version": version_resource(model, version), "data-version": data_resource(model, data_version)},
    )


def champion_changed(
    model: str,
    *,
    sequence: int,
    version: int,
    previous: int | None,
    kind: str,
    reason: str,
    actor: str,
    at: datetime,
) -> Event:
    """Return the event of a new champion: ``…rolled_back`` after a rollback, else ``…promoted``.

    Parameters
    ----------
    model, version
        Name of the model, and the version that became champion.
    sequence
        Sequence of the entry in the history of champions, from 1.
    previous
        Version that was champion before; None if there was none.
    kind
        ``gate``, ``approval``, ``release`` or ``rollback``; also the label ``perennial.kind``.
    reason, actor
        Why the champion changed, and who changed it.
    at
        Time of the change, with time zone.
    """
    name = MODEL_ROLLED_BACK if kind == "rollback" else MODEL_PROMOTED
    related = {"champion": version_resource(model, version)}
    if previous is not None:
        related["previous"] = version_resource(model, previous)
    return _event(
        name,
        model,
        event_id(name, model, sequence, at.isoformat()),  # a new history counts from 1 again
        at,
        {
            "sequence": sequence,
            "version": version,
            "previous": previous,
            "kind": kind,
            "reason": reason,
            "actor": actor,
        },
        labels={"perennial.kind": kind},
        related=related,
    )


def release_changed(
    model: str,
    told: str,
    *,
    number: int,
    sequence: int,
    version: int,
    champion: int,
    action: str,
    stage: str,
    share: int,
    reason: str,
    actor: str,
    at: datetime,
) -> Event:
    """Return the event of a release that was started, went on, was completed, or ended without its version.

    Parameters
    ----------
    model, number, sequence
        The release, and the number of the change among its changes; parts of the event's id.
    told
        Last part of the event's name: ``started``, ``advanced``, ``completed`` or ``rolled_back``.
    version, champion
        The version that is released, and the version that it was compared with.
    action
        What was done; also the label ``perennial.action``.
    stage, share
        Stage from then on, and the percentage of requests that the version answers.
    reason, actor
        Why, and by whom.
    at
        Time of the change, with time zone.
    """
    name = f"perennial.release.{told}"
    facts = {
        "release": number,
        "sequence": sequence,
        "version": version,
        "champion": champion,
        "action": action,
        "stage": stage,
        "share": share,
        "reason": reason,
        "actor": actor,
    }
    return _event(
        name,
        model,
        event_id(name, model, number, sequence, at.isoformat()),  # a new history counts from 1 again
        at,
        facts,
        labels={"perennial.action": action},
        related={"version": version_resource(model, version), "champion": version_resource(model, champion)},
    )


def retrain_refused(
    model: str, trigger_id: str, code: RefusalCode, reason: str, data_version: str | None, at: datetime
) -> Event:
    """Return the event of a retraining that did not take place, or that ended without a model that may be promoted.

    Parameters
    ----------
    model
        Name of the model.
    trigger_id
        Id of the trigger; part of the event's id, so a trigger causes one such event.
    code
        The reason as one word; also the label ``perennial.code``.
    reason
        The reason as a sentence.
    data_version
        The data version; None if no rows were read.
    at
        Time of the refusal, with time zone.
    """
    return _event(
        RETRAIN_REFUSED,
        model,
        event_id(RETRAIN_REFUSED, model, trigger_id),
        at,
        {"trigger_id": trigger_id, "code": code, "reason": reason, "data_version": data_version},
        labels={"perennial.code": code},
        related={"data-version": data_resource(model, data_version)} if data_version else {},
    )


def retrain_failed(model: str, trigger_id: str, reason: str, at: datetime) -> Event:
    """Return the event of a retraining that failed after all its restarts.

    Parameters
    ----------
    model
        Name of the model.
    trigger_id
        Part of the event's id: a trigger causes one such event.
    reason
        The error, as a sentence.
    at
        Time of the failure, with time zone.
    """
    return _event(
        RETRAIN_FAILED,
        model,
        event_id(RETRAIN_FAILED, model, trigger_id),
        at,
        {"trigger_id": trigger_id, "reason": reason},
    )


def retention_pruned(model: str, removed: Sequence[Mapping[str, Any]], at: datetime) -> Event:
    """Return the event of a removal by retention; it is recorded before anything is removed.

    Parameters
    ----------
    model
        Name of the model; empty if the items belong to the whole project.
    removed
        By kind: ``kind``, ``n``, ``size_bytes`` and ``names``, see :class:`core.retention.outcome.Removal`; the first
        20 names are sent.
    at
        Time of the removal, with time zone; part of the event's id.
    """
    shown = [{**one, "names": [readable(name, MAX_NAME) for name in one["names"][:MAX_NAMES]]} for one in removed]
    return _event(RETENTION_PRUNED, model, event_id(RETENTION_PRUNED, model, at.isoformat()), at, {"removed": shown})


def _event(
    name: str,
    model: str,
    event: UUID,
    at: datetime,
    payload: Mapping[str, Any],
    *,
    labels: Mapping[str, str] | None = None,
    related: Mapping[str, str] | None = None,
) -> Event:
    return Event(event, name, model, at, _bounded({"model": model, **payload}), labels or {}, related or {})


def _bounded(value: Any, limit: int = MAX_TEXT) -> Any:
    """Cut texts and lists, and escape what databases refuse (NUL, lone surrogates)."""
    if isinstance(value, str):
        return readable(value, limit)
    if isinstance(value, Mapping):
        return {name: _bounded(inner, limit) for name, inner in value.items()}
    if isinstance(value, list):
        return [_bounded(inner, MAX_ITEM_TEXT) for inner in value[:MAX_ITEMS]]
    return value
