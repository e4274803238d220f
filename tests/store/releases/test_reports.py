"""Looks and trips of a running release."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from sqlalchemy import Engine

from store.releases.records import RecordedLook, Trip
from store.releases.reports import newest_look, record_look, record_trip, trips
from tests.store.releases.samples import AT, moved, started
from tests.store.stories import Story

Tell = Callable[[Story], None]


def test_the_newest_look_of_a_stage_stays(tell: Tell) -> None:
    """They are counted; a pause does not hide them, and a new stage has none yet."""

    def story(engine: Engine, model: str) -> None:
        state = started(engine, model)
        assert newest_look(engine, state) is None
        record_look(engine, state, '{"n": 1}', AT)
        later = AT + timedelta(minutes=1)
        record_look(engine, state, '{"n": 2}', later)
        assert newest_look(engine, state) == RecordedLook(2, '{"n": 2}', later)
        paused = moved(engine, state, "paused", "shadow", 0)
        assert newest_look(engine, paused) == RecordedLook(2, '{"n": 2}', later)
        record_look(engine, paused, '{"n": 3}', later)
        assert newest_look(engine, paused) == RecordedLook(3, '{"n": 3}', later)
        assert newest_look(engine, moved(engine, paused, "advanced", "step", 5)) is None

    tell(story)


def test_a_trip_is_recorded_once(tell: Tell) -> None:
    """The first report of a service and a kind stays."""

    def story(engine: Engine, model: str) -> None:
        started(engine, model)
        trip = Trip(model, 1, "host:/srv", "breaker", "12 of its last 20 requests failed", AT)
        assert record_trip(engine, trip)
        assert not record_trip(engine, Trip(model, 1, "host:/srv", "breaker", "again", AT))
        assert record_trip(engine, Trip(model, 1, "host:/srv", "load", "no graph", AT + timedelta(seconds=1)))
        assert [found.kind for found in trips(engine, model, 1)] == ["breaker", "load"]
        assert trips(engine, model, 1)[0] == trip
        assert trips(engine, model, 2) == []

    tell(story)
