"""Old rows go, what is open or needed stays, and the history cannot be changed otherwise; on both databases."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine, update

import store.retention.rows
from core.errors import StorageError
from core.operate.alerts import Alert
from core.operate.events import retrain_failed
from core.retention.documents import START
from store.alerts import claim_alerts, mark_delivered, newest_alerts, postpone_alert, put_alert
from store.database import writing
from store.drift import drift_windows, record_window
from store.events import record_event
from store.log.labels import Label, record_labels
from store.retention.rows import (
    count_long_documents,
    count_rows,
    delete_rows,
    models_with_rows,
    old_alerts,
    old_events,
    old_labels,
    old_scorings,
    old_triggers,
    open_trigger_runs,
    shorten_documents,
)
from store.scored.batches import record_scored_batch, scored_batches
from store.tables import AlertRow, DriftWindowRow, EventRow, LabelRow, ScoredBatchRow, TriggerRow
from store.triggers import Answer, answer, claim, last_trained, receive, triggers
from tests.store.scored.test_batches import batch
from tests.store.stories import Story
from tests.store.test_drift import window
from tests.store.trigger_samples import webhook

NOW = datetime(2026, 6, 1, tzinfo=UTC)
OLD, YOUNG = NOW - timedelta(days=100), NOW - timedelta(days=10)
BEFORE = NOW - timedelta(days=50)
LONG = json.dumps({"status": "drift", "columns": [{"name": "x" * 200}], "performance": [], "reasons": ["why"]})


@pytest.fixture(autouse=True)
def few_rows_per_write(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every deletion of these tests one of several transactions."""
    monkeypatch.setattr(store.retention.rows, "ROWS_PER_WRITE", 2)


def test_old_scorings_of_one_model_are_deleted(tell: Callable[[Story], None]) -> None:
    """Not one of the last week, whatever is asked for: the database refuses it."""

    def story(engine: Engine, model: str) -> None:
        now = datetime.now(UTC)
        for name in (model, f"{model}x"):
            for days in (100, 99, 98, 10):
                record_scored_batch(engine, batch(name, recorded_at=now - timedelta(days=days)))
        condition = old_scorings(model, now - timedelta(days=50))
        assert count_rows(engine, ScoredBatchRow, condition) == 3
        assert delete_rows(engine, ScoredBatchRow, condition) == 3
        assert (len(scored_batches(engine, model)), len(scored_batches(engine, f"{model}x"))) == (1, 4)
        assert {model, f"{model}x"} <= models_with_rows(engine)
        record_scored_batch(engine, batch(model, recorded_at=now - timedelta(days=3)))
        with pytest.raises(StorageError, match="append-only"):
            delete_rows(engine, ScoredBatchRow, old_scorings(model, now))

    tell(story)


def test_old_labels_of_one_model_are_deleted(tell: Callable[[Story], None]) -> None:
    """Labels younger than the bound stay, and those of other models."""

    def story(engine: Engine, model: str) -> None:
        for name in (model, f"{model}x"):
            old = [Label("key", str(number), "1") for number in range(5)]
            record_labels(engine, name, old, "branch", OLD)
            record_labels(engine, name, [Label("key", "new", "1")], "branch", YOUNG)
        condition = old_labels(model, BEFORE)
        assert count_rows(engine, LabelRow, condition) == 5
        assert delete_rows(engine, LabelRow, condition) == 5
        assert delete_rows(engine, LabelRow, condition) == 0
        assert count_rows(engine, LabelRow, LabelRow.model == model) == 1
        assert count_rows(engine, LabelRow, LabelRow.model == f"{model}x") == 6

    tell(story)


def test_answered_triggers_go_and_open_ones_stay(tell: Callable[[Story], None]) -> None:
    """A trigger in progress is kept whatever its age, with its run's id."""

    def story(engine: Engine, model: str) -> None:
        for name in ("answered", "merged", "failed", "running", "waiting", "late"):
            receive(engine, webhook(model, name, received_at=OLD))
        claimed, _ = claim(engine, webhook(model, "answered"), "run-1", deployed=False, at=OLD)
        answer(engine, claimed, Answer("refused", "no"), OLD)
        claimed, _ = claim(engine, webhook(model, "failed"), "run-2", deployed=False, at=OLD)
        answer(engine, claimed, Answer("failed", "no"), OLD)
        claimed, _ = claim(engine, webhook(model, "late"), "run-3", deployed=False, at=OLD)
        answer(engine, claimed, Answer("refused", "no"), YOUNG)
        claim(engine, webhook(model, "running"), model, deployed=False, at=OLD)
        assert delete_rows(engine, TriggerRow, old_triggers(model, BEFORE)) == 2
        assert {one.id for one in triggers(engine, model)} == {"running", "waiting", "merged", "late"}
        found = open_trigger_runs(engine)
        assert found[model] == {"running", "waiting", "merged"}
        assert model in found[""]
        assert "run-1" not in found[""]

    tell(story)


def test_the_newest_retraining_stays(tell: Callable[[Story], None]) -> None:
    """The cool-down counts from it, however long ago it was."""

    def story(engine: Engine, model: str) -> None:
        for number in range(4):
            at = OLD + timedelta(hours=number)
            claimed, _ = claim(engine, webhook(model, str(number), received_at=at), "run", deployed=False, at=at)
            answer(engine, claimed, Answer("promoted", "better", trained=True), at)
        assert delete_rows(engine, TriggerRow, old_triggers(model, BEFORE)) == 3
        assert last_trained(engine, model, BEFORE) == OLD + timedelta(hours=3)

    tell(story)


def test_old_events_go_sent_or_not(tell: Callable[[Story], None]) -> None:
    """A project without a relay never sends its events; they are deleted all the same."""

    def story(engine: Engine, model: str) -> None:
        with writing(engine) as connection:
            for number, at in enumerate((OLD, OLD, OLD, YOUNG)):
                record_event(connection, retrain_failed(model, str(number), "why", at))
        assert model in models_with_rows(engine)
        assert delete_rows(engine, EventRow, old_events(model, BEFORE)) == 3
        assert count_rows(engine, EventRow, EventRow.model == model) == 1

    tell(story)


def test_alerts_that_are_waiting_stay(tell: Callable[[Story], None]) -> None:
    """Those that were delivered or given up go."""

    def story(engine: Engine, model: str) -> None:
        delete_rows(engine, AlertRow, AlertRow.id.is_not(None))
        with writing(engine) as connection:
            for place in ("sent", "given-up", "waiting"):
                put_alert(connection, Alert(model, "info", "t", "b"), [place], timedelta(0), OLD)
        for one in claim_alerts(engine, OLD, OLD):
            if one.destination == "sent":
                mark_delivered(engine, one.id, OLD)
            if one.destination == "given-up":
                postpone_alert(engine, one.id, 9, None)
        assert delete_rows(engine, AlertRow, old_alerts(BEFORE)) == 2
        assert [one.destination for one in newest_alerts(engine)] == ["waiting"]

    tell(story)


def test_old_decisions_are_shortened_and_stay_in_the_history(tell: Callable[[Story], None]) -> None:
    """Every window and its outcome stay; the newest keeps its numbers, which the service shows."""

    def story(engine: Engine, model: str) -> None:
        found = [record_window(engine, window(model, day * 1440, document=LONG)) for day in range(5)]
        bare = record_window(engine, window(model, 1, document='{"columns": []}'))
        later = found[-1].measured_at + timedelta(days=1)
        assert count_long_documents(engine, model, later) == 4
        assert shorten_documents(engine, model, later) == 4
        assert shorten_documents(engine, model, later) == count_long_documents(engine, model, later) == 0
        left = drift_windows(engine, model)
        assert [replace(one, document="") for one in left] == [
            replace(one, document="") for one in (found[0], bare, *found[1:])
        ]
        assert left[-1] == found[-1]
        assert left[0].document.startswith(START)
        assert left[1] == bare

    tell(story)


@pytest.mark.parametrize("change", [{"retrain": True}, {"champion": 9}, {"document": LONG + " "}, {"n_rows": 1}])
def test_the_database_refuses_any_other_change(tell: Callable[[Story], None], change: dict[str, object]) -> None:
    """Only a document that becomes shorter is let through, and nothing else beside it."""

    def story(engine: Engine, model: str) -> None:
        entry = record_window(engine, window(model, document=LONG))
        values = {"document": "{}"} | change
        with pytest.raises(StorageError, match="drift_windows is append-only"), writing(engine) as connection:
            connection.execute(update(DriftWindowRow).where(DriftWindowRow.id == entry.id).values(**values))
        assert drift_windows(engine, model) == [entry]

    tell(story)
