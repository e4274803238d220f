"""What the two versions of a release answered: rows of the prediction log, and the labels that arrived for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Engine, and_, func, select

from core.references import Variant
from store.database import reading
from store.tables import LabelRow, PredictionRequestRow

MAX_REQUESTS = 100_000
"""Requests of a variant that a look reads; of more, a sample by the random part of their ids."""

_LEVELS = 4096
_RANDOM_AT = 29
"""Place of three random hex digits in an id, from 1: a UUID of version 7 whose last four digits are the row's."""


@dataclass(frozen=True)
class Asked:
    """Which answers: of a version in a role, from a time on, before another one.

    Parameters
    ----------
    model, version, variant
        The version, and its role in the log.
    since, until
        Times with time zone; ``until`` is excluded, None: up to now.
    """

    model: str
    version: int
    variant: Variant
    since: datetime
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """A logged request.

    Parameters
    ----------
    id, served_id
        Its id, and the id of the request that the client has the answer of, if that is another one.
    latency_ms
        Time to the answer in milliseconds.
    outputs, entity_keys
        JSON lists with an item per row, see :class:`~store.tables.PredictionRequestRow`.
    failure
        Why it failed; None if it did not.
    """

    id: str
    served_id: str | None
    latency_ms: float
    outputs: str
    entity_keys: str | None
    failure: str | None


def answers(engine: Engine, asked: Asked, most: int = MAX_REQUESTS) -> list[Answer]:
    """Return the logged requests of a version, or a sample of them.

    The sample is by the random part of the ids, so it does not depend on what was answered.

    Parameters
    ----------
    engine
        The operational database.
    asked
        Which answers.
    most
        Most requests to read, about.
    """
    columns = [getattr(PredictionRequestRow, name) for name in Answer.__dataclass_fields__]
    condition = _condition(asked)
    with reading(engine) as connection:
        found = connection.execute(select(func.count()).select_from(PredictionRequestRow).where(condition)).scalar_one()
        if found > most:
            below = f"{max(1, _LEVELS * most // found):03x}"
            condition = and_(condition, func.substr(PredictionRequestRow.id, _RANDOM_AT, 3) < below)
        return [Answer(*row) for row in connection.execute(select(*columns).where(condition))]


def was_served(engine: Engine, model: str, since: datetime) -> bool:
    """Return whether the service has answered a model's requests since a time."""
    chosen = select(PredictionRequestRow.id).where(
        PredictionRequestRow.model == model, PredictionRequestRow.at >= since
    )
    with reading(engine) as connection:
        return connection.execute(chosen.limit(1)).first() is not None


def labels_since(engine: Engine, model: str, since: datetime) -> dict[str, dict[str, str]]:
    """Return the labels that were received from a time on: label by reference, by kind ``id`` or ``key``.

    A label of a prediction arrives after it, so those of a stage's predictions arrive after its beginning. Of several
    labels the newest counts, and of several events of an entity the latest.
    """
    chosen = (
        select(LabelRow.kind, LabelRow.reference, LabelRow.label)
        .where(LabelRow.model == model, LabelRow.received_at >= since)
        .order_by(LabelRow.event_at, LabelRow.number)
    )
    found: dict[str, dict[str, str]] = {"id": {}, "key": {}}
    with reading(engine) as connection:
        for row in connection.execute(chosen):
            found[row.kind][row.reference] = row.label
    return found


def _condition(asked: Asked) -> Any:
    row = PredictionRequestRow
    parts: Sequence[Any] = (
        row.model == asked.model,
        row.at >= asked.since,
        row.variant == asked.variant,
        row.version == asked.version,
    )
    return and_(*parts, row.at < asked.until) if asked.until is not None else and_(*parts)
