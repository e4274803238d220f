"""Old rows of the operational database, as retention finds them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine

from config.settings import RetentionSettings
from core.operate.alerts import Alert
from core.operate.events import retention_pruned
from store.alerts import claim_alerts, mark_delivered, newest_alerts, put_alert
from store.database import open_database, writing
from store.events import record_event
from store.log.labels import Label, record_labels
from store.scored.batches import record_scored_batch
from tasks.prune import rows
from tasks.prune.found import Findings
from tests.store.scored.test_batches import batch

NOW = datetime(2026, 6, 1, tzinfo=UTC)
RETENTION = RetentionSettings()


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    """Return an empty operational database."""
    return open_database(f"sqlite:///{tmp_path / 'perennial.db'}")


def removed(findings: list[Findings]) -> dict[str, int]:
    """Remove everything found, and return the number of rows by kind."""
    found = {one.item.kind: one for each in findings for one in each.found}
    for one in found.values():
        one.remove()
    return {kind: one.item.count for kind, one in found.items()}


def test_each_kind_has_its_own_age(engine: Engine) -> None:
    """An event is deleted long before a label; nothing is found twice."""
    for days in (10, 100, 1_000):
        at = NOW - timedelta(days=days)
        record_labels(engine, "credit", [Label("key", str(days), "1")], "branch", at)
        with writing(engine) as connection:
            record_event(connection, retention_pruned("credit", [], at))
    assert removed(rows.of_model("credit", engine, RETENTION, NOW)) == {"labels": 1, "events": 2}
    assert removed(rows.of_model("credit", engine, RETENTION, NOW)) == {}
    assert removed(rows.of_model("other", engine, RETENTION, NOW)) == {}


def test_a_record_of_a_scoring_stays_as_long_as_a_label(engine: Engine) -> None:
    """Labels reach scored rows through it."""
    now = datetime.now(UTC)
    for days in (10, 729, 731):
        record_scored_batch(engine, batch("credit", recorded_at=now - timedelta(days=days)))
    assert removed(rows.of_model("credit", engine, RETENTION, now)) == {"scorings": 1}
    assert removed(rows.of_model("credit", engine, RETENTION, now)) == {}


def test_an_alert_stays_as_long_as_it_silences_later_ones(engine: Engine) -> None:
    """With quiet hours of half a year, one of a hundred days ago is still counted on."""
    with writing(engine) as connection:
        put_alert(connection, Alert("k", "info", "t", "b"), ["slack:1"], timedelta(0), NOW - timedelta(days=100))
    (alert,) = claim_alerts(engine, NOW, NOW)
    mark_delivered(engine, alert.id, NOW)
    assert removed(rows.of_project(engine, RETENTION, 24 * 180, NOW)) == {}
    assert len(newest_alerts(engine)) == 1
    assert removed(rows.of_project(engine, RETENTION, 24, NOW)) == {"alerts": 1}


def test_events_of_the_project_are_deleted_with_it(engine: Engine) -> None:
    """What was removed of no model is recorded too, and that record has an end."""
    with writing(engine) as connection:
        record_event(connection, retention_pruned("", [], NOW - timedelta(days=100)))
    assert removed(rows.of_project(engine, RETENTION, 24, NOW)) == {"events": 1}
