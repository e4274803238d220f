"""Each event is decided about once, each alert reaches its destination's row once, on SQLite and on PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, delete, func, select

import store.alerts
from core.operate.alerts import Alert
from core.operate.events import Event, event_id
from store.alerts import (
    claim_alerts,
    decide_alerts,
    mark_delivered,
    newest_alerts,
    postpone_alert,
    put_alert,
)
from store.database import reading, writing
from store.events import record_event
from store.tables import AlertRow, EventRow
from tests.store.stories import Story, with_engine

AT = datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC)
QUIET = timedelta(hours=24)
TWO = ("mailtos:1", "slack:1")


def message(key: str = "drift:credit") -> Alert:
    """Return a message."""
    return Alert(key, "warning", "title", "body")


def put(engine: Engine, hours: float = 0, key: str = "drift:credit", quiet: timedelta = QUIET) -> None:
    """Put a message up for one destination, some hours after the first."""
    with writing(engine) as connection:
        put_alert(connection, message(key), ["slack:1"], quiet, AT + timedelta(hours=hours))


@pytest.fixture
def story(tell: Callable[[Story], None]) -> Callable[[Callable[[Engine], None]], None]:
    """Return what runs a story on a database without alerts and events."""

    def run(told: Callable[[Engine], None]) -> None:
        def emptied(engine: Engine, _: str) -> None:
            with writing(engine) as connection:
                connection.execute(delete(AlertRow))
                connection.execute(delete(EventRow))
            told(engine)

        tell(emptied)

    return run


Run = Callable[[Callable[[Engine], None]], None]


def happen(engine: Engine, count: int) -> None:
    """Put events into the outbox."""
    with writing(engine) as connection:
        for number in range(count):
            at = AT + timedelta(seconds=number)
            record_event(connection, Event(event_id("x", number), "x", "credit", at, {"n": number}))


def undecided(engine: Engine) -> int:
    """Count events nobody decided about."""
    with reading(engine) as connection:
        return int(connection.scalar(select(func.count()).where(EventRow.alerted_at.is_(None))) or 0)


def test_every_event_is_decided_about_once(story: Run) -> None:
    """In order, in batches, each alert once for every destination."""

    def told(engine: Engine) -> None:
        happen(engine, 5)
        seen: list[int] = []

        def decide(event: Mapping[str, Any]) -> Alert | None:
            seen.append(event["payload"]["n"])
            return message(f"k{seen[-1]}") if seen[-1] % 2 else None

        counts = [decide_alerts(engine, decide, TWO, QUIET, AT, limit=2) for _ in range(4)]
        assert counts == [2, 2, 1, 0]
        assert seen == [0, 1, 2, 3, 4]
        made = sorted((one.key, one.destination) for one in newest_alerts(engine))
        assert made == [("k1", "mailtos:1"), ("k1", "slack:1"), ("k3", "mailtos:1"), ("k3", "slack:1")]

    story(told)


def test_two_who_decide_at_once_decide_about_different_events(database: str) -> None:
    """Each event is told by one of them."""
    with_engine(database, lambda engine: happen_anew(engine, 40))

    def decide(engine: Engine) -> None:
        for _ in range(4):
            decide_alerts(engine, lambda event: message(f"k{event['payload']['n']}"), TWO, QUIET, AT, limit=10)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: with_engine(database, decide), range(4)))
    with_engine(database, lambda engine: assert_each_told_once(engine, 40))


def happen_anew(engine: Engine, count: int) -> None:
    """Put events into an outbox that holds nothing else."""
    with writing(engine) as connection:
        connection.execute(delete(AlertRow))
        connection.execute(delete(EventRow))
    happen(engine, count)


def assert_each_told_once(engine: Engine, count: int) -> None:
    """Look at all alerts."""
    made = sorted((one.key, one.destination) for one in newest_alerts(engine, 1_000))
    assert made == sorted((f"k{number}", destination) for number in range(count) for destination in TWO)


def test_without_destinations_nothing_is_told_later_either(story: Run) -> None:
    """Whoever configures one tomorrow is not flooded with last year."""

    def told(engine: Engine) -> None:
        happen(engine, 3)
        decide_alerts(engine, lambda _: message(), (), QUIET, AT)
        decide_alerts(engine, lambda _: message(), TWO, QUIET, AT)
        assert (newest_alerts(engine), undecided(engine)) == ([], 0)

    story(told)


def test_a_decision_that_fails_leaves_event_and_alerts_as_they_were(
    story: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mark on the event and its alerts are one transaction."""
    real = store.alerts.put_alert

    def failing(*given: Any) -> None:
        real(*given)
        raise RuntimeError("killed")

    def told(engine: Engine) -> None:
        happen(engine, 1)
        with monkeypatch.context() as patched:
            patched.setattr(store.alerts, "put_alert", failing)
            with pytest.raises(RuntimeError, match="killed"):
                decide_alerts(engine, lambda _: message(), TWO, QUIET, AT)
        assert (newest_alerts(engine), undecided(engine)) == ([], 1)

    story(told)


def test_within_the_quiet_hours_the_first_is_sent_and_the_next_tells_of_the_others(story: Run) -> None:
    """Per key and destination; another key is told at once."""

    def told(engine: Engine) -> None:
        for hours in (0, 1, 23.9):
            put(engine, hours)
        put(engine, 1, key="drift:churn")
        put(engine, 24)
        newest = [one for one in reversed(newest_alerts(engine)) if one.key == "drift:credit"]
        assert [one.n_more for one in newest] == [2, 0]
        assert "2 more of these alerts since 2026-01-02 03:04 UTC were not sent." in newest[1].body
        assert len(newest_alerts(engine)) == 3

    story(told)


def test_without_quiet_hours_everything_is_sent(story: Run) -> None:
    """Zero turns the counting off."""

    def told(engine: Engine) -> None:
        for _ in range(3):
            put(engine, quiet=timedelta(0))
        assert [one.n_more for one in newest_alerts(engine)] == [0, 0, 0]

    story(told)


def test_what_is_claimed_is_nobody_elses_until_its_time(story: Run) -> None:
    """Whoever dies with it leaves it to the next, one attempt later; what was sent is never claimed again."""

    def told(engine: Engine) -> None:
        put(engine)
        minute = timedelta(minutes=1)
        [first] = claim_alerts(engine, AT, AT + minute)
        assert (first.attempts, first.status) == (0, "waiting")
        assert claim_alerts(engine, AT, AT + minute) == []
        [again] = claim_alerts(engine, AT + minute, AT + 2 * minute)
        assert (again.id, again.attempts) == (first.id, 1)
        mark_delivered(engine, first.id, AT + minute)
        postpone_alert(engine, first.id, 7, AT)  # by whoever was thought dead
        assert claim_alerts(engine, AT + 9 * minute, AT + 10 * minute) == []
        assert status(engine) == ("sent", 2)

    story(told)


def test_an_alert_that_a_wrong_clock_dated_ahead_silences_no_other(story: Run) -> None:
    """It is sent at once instead of in a year, and the quiet hours count from those of the right clock."""

    def told(engine: Engine) -> None:
        put(engine, hours=24 * 365)
        assert [one.created_at for one in claim_alerts(engine, AT, AT + timedelta(minutes=1))] == [
            AT + timedelta(days=365)
        ]
        put(engine)
        put(engine, hours=1)
        made = sorted((one.created_at, one.n_more) for one in newest_alerts(engine))
        assert made == [(AT, 1), (AT + timedelta(days=365), 0)]

    story(told)


def test_an_alert_that_is_given_up_is_not_claimed_again(story: Run) -> None:
    """It stays on record as such."""

    def told(engine: Engine) -> None:
        put(engine)
        claim_alerts(engine, AT, AT)
        postpone_alert(engine, newest_alerts(engine)[0].id, 1, AT + timedelta(hours=1))
        assert status(engine) == ("waiting", 1)
        postpone_alert(engine, newest_alerts(engine)[0].id, 2, None)
        assert claim_alerts(engine, AT + timedelta(days=9), AT + timedelta(days=9)) == []
        assert status(engine) == ("given up", 2)

    story(told)


def status(engine: Engine) -> tuple[str, int]:
    """Return status and attempts of the only alert."""
    [one] = newest_alerts(engine)
    assert one.to_dict()["status"] == one.status
    return one.status, one.attempts
