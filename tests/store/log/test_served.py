"""What the service answered in a range of time, on both databases."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import astuple
from datetime import UTC, datetime, timedelta

import pandas as pd
from sqlalchemy import Engine, text

from store.database import reading
from store.log.served import (
    ServedRange,
    first_served,
    judged_ranges,
    served_groups,
    served_ids,
    served_keys,
    served_requests,
)
from tests.store.stories import Story
from tests.tasks.served.traffic import log_rows

AT = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)
HOUR = timedelta(hours=1)
Tell = Callable[[Story], None]


def test_only_what_clients_were_answered_is_read_and_all_is_counted(tell: Tell) -> None:
    """In the order of time, without shadow answers and failures; the end of a range is not in it."""
    rows = pd.DataFrame({"x": [1.0, 2.0, 3.0, 4.0], "id": ["a", "b", "c", "d"]})

    def story(engine: Engine, model: str) -> None:
        log_rows(engine, rows, [0.5] * 4, AT, key="id", per_request=2, model=model, step=HOUR)
        log_rows(engine, rows[:1], [0.5], AT, version=2, variant="challenger", model=model)
        log_rows(engine, rows[:3], [0.5] * 3, AT, version=2, variant="shadow", model=model)
        log_rows(engine, rows[:2], [], AT, version=2, variant="challenger", failure="it raised", model=model)
        log_rows(engine, rows, [0.5] * 4, AT, model=f"{model}x")
        asked = ServedRange(model, AT, AT + 2 * HOUR)
        assert [astuple(one)[:5] for one in served_groups(engine, asked)] == [
            (1, "champion", False, 2, 4),
            (2, "challenger", False, 1, 1),
            (2, "challenger", True, 2, 2),
            (2, "shadow", False, 3, 3),
        ]
        assert [one.is_answer for one in served_groups(engine, asked)] == [True, True, False, False]
        parts = list(served_requests(engine, asked, rows=2))
        found = [row for part in parts for row in part]
        assert ([len(part) for part in parts], [row.version for row in found]) == ([2, 1], [2, 1, 1])
        assert [row.at for row in found] == [AT, AT, AT + HOUR]
        assert json.loads(found[1].rows) == [[1.0], [2.0]]
        assert len([row for part in served_requests(engine, ServedRange(model, AT, AT + HOUR)) for row in part]) == 2
        keys = [json.loads(row.entity_keys) for part in served_keys(engine, asked) for row in part]
        assert keys == [["a", "b"], ["c", "d"]]
        assert [row.n_rows for part in served_ids(engine, asked) for row in part] == [1, 2, 2]
        assert first_served(engine, model) == AT
        assert first_served(engine, f"{model}y") is None

    tell(story)


def test_judged_ranges_are_those_of_the_log_with_enough_rows(tell: Tell) -> None:
    """Windows of batches, and windows with too few rows, are none."""

    def story(engine: Engine, model: str) -> None:
        windows = [("ok", "[]", 0), ("watch", "[]", 2), ("insufficient", "[]", 4), ("ok", '["0001-a"]', 6)]
        statement = text(
            "INSERT INTO drift_windows (id, model, champion, against, status, drifted, retrain, n_rows, since, until, "
            "batches, document, measured_at) VALUES (:id, :model, 1, 'champion', :status, :no, :no, 9, :since, :until, "
            ":batches, '', :since)"
        )
        with engine.begin() as connection:
            for status, batches, hour in windows:
                since, until = (AT.replace(tzinfo=None) + (hour + more) * HOUR for more in (0, 1))
                values = {"id": f"{model}{hour}", "model": model, "status": status, "batches": batches, "no": False}
                moments = {"since": f"{since}.000000", "until": f"{until}.000000"}
                connection.execute(
                    statement,
                    values | (moments if engine.dialect.name == "sqlite" else {"since": since, "until": until}),
                )
        plain = AT.replace(tzinfo=None)
        assert judged_ranges(engine, model) == [(plain + 2 * HOUR, plain + 3 * HOUR), (plain, plain + HOUR)]
        assert judged_ranges(engine, model, limit=1) == [(plain + 2 * HOUR, plain + 3 * HOUR)]
        assert judged_ranges(engine, f"{model}x") == []

    tell(story)


def test_the_index_gives_the_range_and_the_order(tell: Tell) -> None:
    """A window costs what its rows cost, whatever the table holds."""

    def story(engine: Engine, model: str) -> None:
        rows = pd.DataFrame({"x": [1.0] * 3_000})
        log_rows(engine, rows, [0.5] * 3_000, AT, model=model)
        query = (
            "SELECT id, rows FROM prediction_requests WHERE model = :model AND at >= :since AND at < :until "
            "AND failure IS NULL AND variant <> 'shadow' ORDER BY at, variant, id"
        )
        explain = "EXPLAIN QUERY PLAN" if engine.dialect.name == "sqlite" else "EXPLAIN"
        moments = {"model": model, "since": str(AT)[:19], "until": str(AT + timedelta(minutes=1))[:19]}
        with reading(engine) as connection:
            if engine.dialect.name != "sqlite":
                connection.execute(text("ANALYZE prediction_requests"))
            plan = "\n".join(str(row) for row in connection.execute(text(f"{explain} {query}"), moments))
        assert "ix_prediction_requests_model_at" in plan

    tell(story)
