"""Answers of a version are read by role and period, and a sample of many does not depend on what was answered."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from sqlalchemy import Engine, insert

from serving.ids import new_request_id
from store.database import writing
from store.log.labels import Label, record_labels
from store.releases.answers import Asked, answers, labels_since, was_served
from store.tables import PredictionRequestRow
from tests.store.releases.samples import AT
from tests.store.stories import Story

Tell = Callable[[Story], None]


def logged(engine: Engine, model: str, n: int, **given: Any) -> list[str]:
    """Log requests of one row."""
    facts = {
        "model": model,
        "version": 1,
        "variant": "champion",
        "at": AT,
        "n_rows": 1,
        "latency_ms": 2.5,
        "rows": "[{}]",
        "outputs": "[[0.5, 0.5]]",
        "entity_keys": None,
        "columns": None,
        "failure": None,
        "served_id": None,
    }
    rows = [{**facts, "id": new_request_id(), **given} for _ in range(n)]
    with writing(engine) as connection:
        connection.execute(insert(PredictionRequestRow), rows)
    return [str(row["id"]) for row in rows]


def test_by_version_role_and_period(tell: Tell) -> None:
    """The end of a period is excluded; failures are among the answers."""

    def story(engine: Engine, model: str) -> None:
        wanted = logged(engine, model, 3)
        logged(engine, model, 2, variant="shadow", version=2, served_id=wanted[0], failure="slow")
        logged(engine, model, 2, at=AT + timedelta(minutes=1))
        logged(engine, model, 2, at=AT - timedelta(seconds=1))
        asked = Asked(model, 1, "champion", AT, AT + timedelta(minutes=1))
        assert sorted(one.id for one in answers(engine, asked)) == sorted(wanted)
        assert len(answers(engine, Asked(model, 1, "champion", AT))) == 5
        found = answers(engine, Asked(model, 2, "shadow", AT))
        assert {(one.served_id, one.failure, one.latency_ms) for one in found} == {(wanted[0], "slow", 2.5)}
        assert was_served(engine, model, AT)
        assert not was_served(engine, model, AT + timedelta(hours=1))

    tell(story)


def test_of_many_a_sample(tell: Tell) -> None:
    """About as many as asked for, and the same ones each time."""

    def story(engine: Engine, model: str) -> None:
        logged(engine, model, 4000)
        asked = Asked(model, 1, "champion", AT)
        found = [one.id for one in answers(engine, asked, most=1000)]
        assert 800 < len(found) < 1200
        assert [one.id for one in answers(engine, asked, most=1000)] == found
        assert len(answers(engine, asked, most=4000)) == 4000

    tell(story)


def test_labels_by_kind(tell: Tell) -> None:
    """Those that were received in the period."""

    def story(engine: Engine, model: str) -> None:
        record_labels(engine, model, [Label("id", "a", "1"), Label("key", "k", "0")], "test", AT)
        record_labels(engine, model, [Label("key", "old", "0")], "test", AT - timedelta(seconds=1))
        assert labels_since(engine, model, AT) == {"id": {"a": "1"}, "key": {"k": "0"}}

    tell(story)
