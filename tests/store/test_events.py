"""Events are in the outbox exactly when what they tell is on record, on SQLite and on PostgreSQL."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, select

import store.champions
import store.data
import store.drift
from core.errors import StaleChampionError
from core.operate.events import DRIFT_DETECTED, Event, event_id
from core.operate.trigger import Trigger
from store.champions import Champion, champion_history, current_champion, roll_back, start_tenure
from store.data import record_version, versions
from store.database import open_database, reading, writing
from store.drift import drift_windows, record_window
from store.events import mark_sent, record_event, unsent_events
from store.tables import EventRow
from store.triggers import triggers
from tests.store.stories import Story
from tests.store.test_drift import window
from tests.store.trigger_samples import find_trigger

AT = datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC)
ROOT = Path(__file__).resolve().parents[2]


def told(engine: Engine, model: str) -> list[dict[str, Any]]:
    """Return the events of a model that are in the outbox, oldest first."""
    return [event for event in unsent_events(engine, 10_000) if event["resource"]["prefect.resource.name"] == model]


def names(engine: Engine, model: str) -> list[str]:
    """Return their names without what all share."""
    return [event["event"].removeprefix("perennial.") for event in told(engine, model)]


def crown(engine: Engine, model: str, version: int, **given: Any) -> Champion:
    """Make a version champion over the present one, each a minute after the one before."""
    present = current_champion(engine, model)
    sequence = present.sequence if present else 0
    facts: dict[str, Any] = {"kind": "gate", "reason": "better", "actor": "ann", "expected_sequence": sequence}
    return start_tenure(engine, model, version, at=AT + timedelta(minutes=sequence), **(facts | given))


def versioned(engine: Engine, model: str, version: str = "d1", minute: int = 0) -> None:
    """Record a data version."""
    at = AT + timedelta(minutes=minute)
    facts = {"model": model, "version": version, "n_rows": 9, "n_batches": 1, "size_bytes": 1, "git_commit": "abc"}
    record_version(engine, {**facts, "created_at": at}, [version], "/remote", at)


def drift_event(model: str, minute: int = 0) -> Event:
    """Return an event of drift."""
    at = AT + timedelta(minutes=minute)
    return Event(event_id(DRIFT_DETECTED, model), DRIFT_DETECTED, model, at, {"model": model, "minute": minute})


def test_moves_of_the_champion_are_told_with_the_move(tell: Callable[[Story], None]) -> None:
    """Each once, with the version before; not an adoption, a repeat, or a call that came too late."""

    def story(engine: Engine, model: str) -> None:
        crown(engine, model, 1, kind="adopted")
        crown(engine, model, 2)
        crown(engine, model, 2, expected_sequence=1)
        crown(engine, model, 2)
        crown(engine, model, 3, kind="approval")
        with pytest.raises(StaleChampionError):
            crown(engine, model, 4, expected_sequence=1)
        roll_back(engine, model, reason="worse", actor="ben", at=AT + timedelta(hours=1))
        assert names(engine, model) == ["model.promoted", "model.promoted", "model.rolled_back"]
        moves = [(event["payload"]["version"], event["payload"]["previous"]) for event in told(engine, model)]
        assert moves == [(2, 1), (3, 2), (2, 3)]

    tell(story)


def test_a_data_version_is_told_when_it_is_new(tell: Callable[[Story], None]) -> None:
    """Not when it is pushed again, and not when data returns to it."""

    def story(engine: Engine, model: str) -> None:
        for minute, version in enumerate(("d1", "d1", "d2", "d1")):
            versioned(engine, model, version, minute)
        assert [event["payload"]["data_version"] for event in told(engine, model)] == ["d1", "d2"]

    tell(story)


def test_drift_is_told_and_asked_for_with_its_window(tell: Callable[[Story], None]) -> None:
    """The entry that stands is told: a repeat that found something else adds nothing."""

    def story(engine: Engine, model: str) -> None:
        entry = window(model)
        wanted = Trigger(model, f"drift:{entry.id}", "drift", "monitor", "{}", AT)
        record_window(engine, window(model, 1, status="ok"))
        assert told(engine, model) == []
        for _ in range(2):
            record_window(engine, entry, drift_event(model), wanted)
        record_window(engine, window(model, 9, id=entry.id), drift_event(model, 9), wanted)
        assert [event["payload"]["minute"] for event in told(engine, model)] == [0]
        assert triggers(engine, model) == [wanted]

    tell(story)


def test_a_window_that_another_run_measured_first_is_not_told_by_the_second(tell: Callable[[Story], None]) -> None:
    """What stands on record decides, also where only the second run found drift."""

    def story(engine: Engine, model: str) -> None:
        first = window(model, status="watch")
        record_window(engine, first)
        second = window(model, 1, id=first.id)
        wanted = Trigger(model, "drift:1", "drift", "monitor", "{}", AT)
        assert record_window(engine, second, drift_event(model), wanted) == first
        assert told(engine, model) == []
        assert find_trigger(engine, model, "drift:1") is None

    tell(story)


@pytest.mark.parametrize("room", [store.champions, store.data, store.drift])
def test_what_cannot_be_told_did_not_happen(
    room: Any, tell: Callable[[Story], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the outbox fails, the transaction takes back what it was about."""

    def fail(*_: object) -> None:
        raise RuntimeError("the outbox is full")

    monkeypatch.setattr(room, "record_event", fail)

    def story(engine: Engine, model: str) -> None:
        happened: dict[Any, Callable[[], object]] = {
            store.champions: lambda: crown(engine, model, 1),
            store.data: lambda: versioned(engine, model),
            store.drift: lambda: record_window(engine, window(model), drift_event(model)),
        }
        with pytest.raises(RuntimeError, match="outbox"):
            happened[room]()
        assert [*champion_history(engine, model), *versions(engine, model), *drift_windows(engine, model)] == []

    tell(story)


def test_whoever_is_killed_while_telling_leaves_neither(tmp_path: Path) -> None:
    """The move and its event are one transaction: a repeat makes both."""
    address = f"sqlite:///{tmp_path / 'perennial.db'}"
    code = f"""
import os, signal
from datetime import UTC, datetime
import store.champions as champions
from store.database import open_database
real = champions.record_event
def die(*given):
    real(*given)
    os.kill(os.getpid(), signal.SIGKILL)
champions.record_event = die
champions.start_tenure(open_database({address!r}), "credit", 1, expected_sequence=0, kind="gate", reason="", actor="",
                      at=datetime.now(UTC))
"""
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False, capture_output=True)
    assert ended.returncode == -signal.SIGKILL
    engine = open_database(address)
    assert champion_history(engine, "credit") == []
    assert told(engine, "credit") == []
    crown(engine, "credit", 1)
    assert names(engine, "credit") == ["model.promoted"]


def test_the_outbox_keeps_the_first_telling_until_it_was_sent(tell: Callable[[Story], None]) -> None:
    """Oldest first, bounded; what was sent stays on record and is not sent again."""

    def story(engine: Engine, model: str) -> None:
        events = [Event(event_id("x", model, i), "x", model, AT + timedelta(0, -i), {"model": model}) for i in range(3)]
        with writing(engine) as connection:
            for event in events * 2:
                record_event(connection, event)
        waiting = [event["id"] for event in told(engine, model)]
        assert waiting == [str(event.id) for event in reversed(events)]
        mark_sent(engine, waiting[:2], AT)
        with writing(engine) as connection:
            record_event(connection, events[2])
        assert [event["id"] for event in told(engine, model)] == waiting[2:]
        mark_sent(engine, waiting[2:], AT)
        with reading(engine) as connection:
            kept = connection.scalars(select(EventRow.id).where(EventRow.model == model)).all()
        assert sorted(kept) == sorted(waiting)

    tell(story)
