"""What happened to a model, as Prefect's automations and people are told it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID, uuid5

DRIFT_DETECTED = "perennial.drift.detected"
DATA_VERSIONED = "perennial.data.versioned"
MODEL_REGISTERED = "perennial.model.registered"
MODEL_PROMOTED = "perennial.model.promoted"
MODEL_ROLLED_BACK = "perennial.model.rolled_back"
RETRAIN_REFUSED = "perennial.retrain.refused"
RETRAIN_FAILED = "perennial.retrain.failed"

NAMES = (
    DRIFT_DETECTED,
    DATA_VERSIONED,
    MODEL_REGISTERED,
    MODEL_PROMOTED,
    MODEL_ROLLED_BACK,
    RETRAIN_REFUSED,
    RETRAIN_FAILED,
)
"""Every event there is."""

_SPACE = UUID("6a0f6bd7-64a5-4f3d-9a56-0f0c1c1f7b0e")


@dataclass(frozen=True)
class Event:
    """Something that happened to a model.

    Parameters
    ----------
    id
        Made of what happened, so that telling it again is telling the same.
    name
        One of :data:`NAMES`.
    model
        Name of the model.
    occurred_at
        When.
    payload
        What there is to say; content that JSON can hold.
    labels
        Of the resource, beside its id and name: automations match labels, not payloads.
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
        """Return the event as Prefect's API takes it."""
        return {
            "id": str(self.id),
            "event": self.name,
            "occurred": self.occurred_at.isoformat(),
            "resource": {
                "prefect.resource.id": f"perennial.model.{self.model}",
                "prefect.resource.name": self.model,
                **self.labels,
            },
            "related": [
                {"prefect.resource.id": resource, "prefect.resource.role": role}
                for role, resource in self.related.items()
            ],
            "payload": dict(self.payload),
        }


def event_id(name: str, *parts: object) -> UUID:
    """Return the id of an event from what names it among its kind."""
    return uuid5(_SPACE, " ".join([name, *map(str, parts)]))


def version_resource(model: str, version: int) -> str:
    """Return the resource id of a model's version."""
    return f"perennial.model-version.{model}.{version}"


def data_resource(model: str, data_version: str) -> str:
    """Return the resource id of a data version."""
    return f"perennial.data-version.{model}.{data_version}"
