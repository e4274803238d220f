"""Count what is logged."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Engine, func, select

from store.database import reading
from store.tables import PredictionRequestRow


def count_requests(engine: Engine, model: str, since: datetime | None = None) -> int:
    """Count a model's answered requests."""
    chosen = select(func.count()).where(PredictionRequestRow.model == model)
    if since is not None:
        chosen = chosen.where(PredictionRequestRow.at >= since)
    with reading(engine) as connection:
        return int(connection.execute(chosen).scalar_one())
