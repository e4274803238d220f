"""A registry with two versions, and traffic that a service would have logged."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from sqlalchemy import Engine, insert

from config.settings import Settings
from core.references import Variant
from serving.ids import new_request_id
from store.database import open_database, writing
from store.tables import PredictionRequestRow
from tests.factories import add_credit_model
from tests.tasks.registration import judged

QUICK: dict[str, Any] = {
    "mode": "staged",
    "steps": [10, 50, 100],
    "min_requests": 300,
    "shadow": {"requests": 300, "hours": 1},
    "max_wait_hours": 2,
    "bake_hours": 0,
    "guardrails": {"error_rate": 0.05, "latency_ratio": 2.0, "prediction_psi": 0.25},
}
"""A plan whose stages pass with some thousand requests."""


def database(settings: Settings) -> Engine:
    """Open the project's operational database."""
    return open_database(settings.database_url)


def two_versions(settings: Settings, **release: Any) -> None:
    """Register two versions: 1 is champion, and 2 passed the gate and waits for approval."""
    add_credit_model(settings, release={**QUICK, **release})
    judged(settings, "a")
    judged(settings, "b")


def log(
    settings: Settings,
    version: int,
    variant: Variant,
    n: int,
    *,
    seed: int = 0,
    failing: float = 0.0,
    at: datetime | None = None,
    key: Callable[[int], str | None] = lambda _number: None,
    served: Sequence[str] = (),
) -> list[str]:
    """Log requests of one row as a service would; return their ids.

    Parameters
    ----------
    failing
        Share that fails.
    at
        Time of all; by default a moment from now, so that they are in the stage that has begun.
    key
        Entity key by the request's number.
    served
        Ids of the requests whose answers the clients have.
    """
    rng = np.random.default_rng(seed)
    scores = 1 / (1 + np.exp(-rng.normal(-1, 1, n)))
    failed = rng.random(n) < failing
    latencies = rng.lognormal(1, 0.3, n)
    moment = at or datetime.now(UTC) + timedelta(milliseconds=1)
    rows = [
        {
            "id": new_request_id(),
            "model": "credit",
            "version": version,
            "variant": variant,
            "at": moment,
            "n_rows": 1,
            "latency_ms": float(latencies[number]),
            "rows": "[{}]",
            "outputs": "[]" if failed[number] else json.dumps([[1 - scores[number], scores[number]]]),
            "entity_keys": None if key(number) is None else json.dumps([key(number)]),
            "columns": None,
            "failure": "it raised" if failed[number] else None,
            "served_id": served[number] if served else None,
        }
        for number in range(n)
    ]
    with writing(database(settings)) as connection:
        connection.execute(insert(PredictionRequestRow), rows)
    return [str(row["id"]) for row in rows]
