"""Rows in the prediction log, as a service that answered them would have written them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import pandas as pd
from sqlalchemy import Engine, insert

from core.prediction_ids import prediction_id
from core.references import Variant
from serving.ids import new_request_id
from store.database import writing
from store.tables import PredictionRequestRow

STEP = timedelta(seconds=1)


def log_rows(
    engine: Engine,
    rows: pd.DataFrame,
    outputs: Sequence[Any],
    at: datetime,
    *,
    version: int = 1,
    variant: Variant = "champion",
    key: str | None = None,
    per_request: int = 1,
    failure: str | None = None,
    model: str = "credit",
    step: timedelta = STEP,
) -> list[str]:
    """Log rows, a step apart and in order; return the ids of their predictions.

    Parameters
    ----------
    outputs
        A list of probabilities or a number per row.
    key
        Column of the entity keys.
    per_request
        Rows of a request; with more than one, names and values are logged apart.
    failure
        Why all failed; None if they were answered.
    """
    requests, ids = [], []
    records = [_sent(record) for record in rows.drop(columns=[key] if key else []).to_dict("records")]
    keys = [str(one) for one in rows[key]] if key else None
    for start in range(0, len(records), per_request):
        part = records[start : start + per_request]
        request = new_request_id()
        ids += [prediction_id(request, place) for place in range(len(part))]
        requests.append(
            {
                "id": request,
                "model": model,
                "version": version,
                "variant": variant,
                "at": at + (start // per_request) * step,
                "n_rows": len(part),
                "latency_ms": 1.0,
                "rows": json.dumps([[*one.values()] for one in part] if per_request > 1 else part),
                "columns": json.dumps([*part[0]]) if per_request > 1 else None,
                "outputs": "[]" if failure else json.dumps([*outputs[start : start + per_request]]),
                "entity_keys": json.dumps(keys[start : start + per_request]) if keys else None,
                "failure": failure,
                "served_id": None,
            }
        )
    with writing(engine) as connection:
        connection.execute(insert(PredictionRequestRow), requests)
    return ids


def _sent(record: dict[Any, Any]) -> dict[str, Any]:
    return {str(name): None if pd.isna(value) else value for name, value in record.items()}
