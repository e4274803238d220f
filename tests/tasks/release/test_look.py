"""One look at a release: what it sees, decides and records."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from config.settings import Settings
from core.release.outcome import ReleaseOutcome
from store.champions import champion_history, current_champion, roll_back
from store.log.labels import Label, record_labels
from store.releases.records import ReleaseState, Trip
from store.releases.releases import Move, move_release, newest_release, running_release
from store.releases.reports import newest_look, record_trip
from tasks.release.look import look
from tasks.release.people import pause, start
from tests.tasks.champions.tenure import crown
from tests.tasks.release.traffic import database, log

pytestmark = pytest.mark.usefixtures("warm_steps")


def begin(settings: Settings) -> ReleaseState:
    """Start the release of version 2."""
    return start("credit", "2", "it is better", settings)


def stage(settings: Settings) -> tuple[str, int, str]:
    """Return the newest stage, share and action."""
    state = newest_release(database(settings), "credit")
    assert state is not None
    return state.newest.stage, state.newest.share, state.newest.action


def later(settings: Settings, hours: float) -> ReleaseOutcome:
    """Look some hours from now."""
    return look("credit", settings, datetime.now(UTC) + timedelta(hours=hours))


def copied(settings: Settings, n: int, failing: float = 0.0) -> list[str]:
    """Log requests to the champion, and their copies to the challenger."""
    ids = log(settings, 1, "champion", n)
    log(settings, 2, "shadow", n, seed=1, served=ids, failing=failing)
    return ids


def go_on(settings: Settings) -> list[str]:
    """Pass shadow and steps; return what the looks did."""
    copied(settings, 4000)
    done: list[str] = [look("credit", settings).status]
    for share in (10, 50):
        log(settings, 1, "champion", 40 * (100 - share), seed=2)
        log(settings, 2, "challenger", 4000, seed=3)
        done.append(look("credit", settings).status)
    return done


def test_a_good_challenger_is_released(served: Settings) -> None:
    """Shadow, 10, 50, 100 %: each look has the traffic of its stage, and the champion moves before the bake."""
    begin(served)
    assert go_on(served) == ["advanced", "advanced", "promoted"]
    assert stage(served) == ("bake", 100, "promoted")
    log(served, 2, "champion", 4000, seed=4)
    assert look("credit", served).status == "completed"
    entries = champion_history(database(served), "credit")
    assert [(entry.version, entry.kind) for entry in entries] == [(1, "gate"), (2, "release")]
    assert look("credit", served).status == "none"


def test_without_traffic_it_holds_and_at_the_deadline_it_ends(served: Settings) -> None:
    """No data never advances; the reason says what is missing."""
    begin(served)
    held = later(served, 0.5)
    assert held.status == "held"
    assert "300" in " ".join(held.reasons)
    state = running_release(database(served), "credit")
    assert state is not None
    recorded = newest_look(database(served), state)
    assert recorded is not None
    assert json.loads(recorded.document)["challenger"]["requests"] == 0
    ended = later(served, 2)
    assert (ended.status, ended.refused) == ("rolled_back", True)
    assert "deadline" in " ".join(ended.reasons)
    assert current_champion(database(served), "credit").version == 1  # type: ignore[union-attr]


def test_failures_end_it(served: Settings) -> None:
    """The numbers of both are in the reasons and in the step's document."""
    begin(served)
    copied(served, 500, failing=0.5)
    assert look("credit", served).status == "rolled_back"
    state = newest_release(database(served), "credit")
    assert state is not None
    document = json.loads(state.newest.document)
    assert (document["champion"]["failures"], document["challenger"]["requests"]) == (0, 500)
    assert document["challenger"]["failures"] > 200


def test_a_breach_while_it_bakes_returns_to_the_version_before(served: Settings) -> None:
    """The predecessor's part is what it did in the stage before."""
    begin(served)
    go_on(served)
    log(served, 2, "champion", 800, failing=0.6)
    assert look("credit", served).status == "rolled_back"
    assert [entry.version for entry in champion_history(database(served), "credit")] == [1, 2, 1]


def test_a_paused_release_waits_but_does_no_harm(served: Settings) -> None:
    """It neither advances nor meets its deadline; a breach still ends it."""
    begin(served)
    pause("credit", "a holiday", served)
    copied(served, 4000)
    assert look("credit", served).status == "paused"
    assert later(served, 100).status == "paused"
    copied(served, 4000, failing=0.9)
    assert look("credit", served).status == "rolled_back"


def test_a_pause_stops_the_clock(served: Settings) -> None:
    """A release that is resumed after a long pause is not overdue at once."""
    begin(served)
    now = datetime.now(UTC)
    state = pause("credit", "the branches are closed", served)
    away = Move("resumed", "shadow", 0, "open again", "ann", "", now + timedelta(hours=50))
    state = move_release(database(served), state, away)
    held = look("credit", served, now + timedelta(hours=50.5))
    assert (held.status, held.reasons[-1]) == ("held", "deadline of the shadow in 0.5 h")
    recorded = newest_look(database(served), state)
    assert recorded is not None
    deadline = datetime.fromisoformat(json.loads(recorded.document)["deadline"])
    assert abs(deadline - now - timedelta(hours=51)) < timedelta(minutes=1)
    assert look("credit", served, now + timedelta(hours=51.5)).status == "rolled_back"


def test_a_clock_that_was_wrong_is_told(served: Settings) -> None:
    """A release that was started by a clock hours ahead waits until then; the reason says why nothing counts."""
    begin(served)
    held = later(served, -5)
    assert held.status == "held"
    assert "by this clock the stage begins in 300 minutes" in held.reasons[-1]
    assert "clock" not in " ".join(later(served, 0.1).reasons)


def test_a_trip_of_a_service_ends_it(served: Settings) -> None:
    """Its breaker saw it before any look."""
    number = begin(served).release.number
    record_trip(
        database(served), Trip("credit", number, "host:/srv", "breaker", "12 of 20 requests failed", datetime.now(UTC))
    )
    outcome = look("credit", served)
    assert outcome.status == "rolled_back"
    assert "12 of 20 requests failed" in outcome.reasons[0]


def test_a_champion_that_moved_ends_it(served: Settings) -> None:
    """What was compared with is no longer the champion."""
    begin(served)
    crown(served, 9)
    roll_back(database(served), "credit", reason="complaints", actor="ann", at=datetime.now(UTC))
    assert look("credit", served).status == "superseded"
    assert [entry.version for entry in champion_history(database(served), "credit")] == [1, 9, 1]


def test_labels_are_joined_by_id_and_by_key(served: Settings) -> None:
    """Of the shadow's copies by the id that the client has; the rows of both are the same."""
    begin(served)
    ids = log(served, 1, "champion", 300, key=lambda number: f"c{number}")
    log(served, 2, "shadow", 300, seed=1, served=ids, key=lambda number: f"c{number}")
    by_id = [Label("id", one, str(place % 2)) for place, one in enumerate(ids[:200])]
    by_key = [Label("key", f"c{place}", str(place % 2)) for place in range(200, 300)]
    record_labels(database(served), "credit", [*by_id, *by_key], "test", datetime.now(UTC) + timedelta(seconds=1))
    look("credit", served)
    state = newest_release(database(served), "credit")
    assert state is not None
    recorded = newest_look(database(served), state)
    document = json.loads(recorded.document if recorded else state.newest.document)
    assert (document["champion"]["labels"], document["challenger"]["labels"]) == (300, 300)
    assert "performance" in {check["name"] for check in document["checks"]}
