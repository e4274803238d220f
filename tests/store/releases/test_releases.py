"""A release moves by compare-and-set, one at a time, and the champion moves with it."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy import Engine, delete, text, update

from core.errors import ReleaseError, StaleChampionError, StaleReleaseError, StorageError
from store.champions import champion_history, current_champion, roll_back
from store.database import writing
from store.events import unsent_events
from store.releases.releases import (
    end_stale,
    newest_release,
    newest_releases,
    release_history,
    running_release,
    running_releases,
    start_release,
)
from store.tables import ReleaseRow, ReleaseStepRow
from tests.store.releases.samples import AT, crowned, moved, release_of, started
from tests.store.stories import Story

Tell = Callable[[Story], None]


def test_a_release_goes_from_shadow_to_its_end(tell: Tell) -> None:
    """Each change is one row; the champion moves when the version is promoted, and stays."""

    def story(engine: Engine, model: str) -> None:
        state = started(engine, model)
        assert (state.release.number, state.newest.stage, state.newest.share, state.newest.action) == (
            1,
            "shadow",
            0,
            "started",
        )
        state = moved(engine, state, "advanced", "step", 5)
        assert running_release(engine, model) == state
        assert current_champion(engine, model).version == 1  # type: ignore[union-attr]
        state = moved(engine, state, "promoted", "bake", 100, minutes=2)
        assert (state.champion_sequence, state.entered.stage) == (2, "bake")
        assert state.before is not None
        assert state.before.share == 5
        champion = current_champion(engine, model)
        assert champion is not None
        assert (champion.version, champion.kind) == (2, "release")
        state = moved(engine, state, "completed", "over", 100, minutes=3)
        assert state.is_over
        assert state.entered.stage == "bake"
        assert running_release(engine, model) is None
        assert newest_release(engine, model) == state
        assert release_history(engine, model) == [state]
        assert [step.sequence for step in state.steps] == [1, 2, 3, 4]

    tell(story)


@pytest.mark.parametrize("action", ["rolled_back", "aborted"])
def test_a_breach_while_it_bakes_returns_to_the_version_before(tell: Tell, action: str) -> None:
    """The rollback of the champion and the end of the release are one transaction."""

    def story(engine: Engine, model: str) -> None:
        state = moved(engine, started(engine, model), "promoted", "bake", 100)
        state = moved(engine, state, action, minutes=2)  # type: ignore[arg-type]
        assert state.is_over
        entries = champion_history(engine, model)
        assert [(entry.version, entry.kind) for entry in entries] == [(1, "gate"), (2, "release"), (1, "rollback")]

    tell(story)


def test_a_breach_before_the_promotion_leaves_the_champion(tell: Tell) -> None:
    """Nothing is added to the history of champions."""

    def story(engine: Engine, model: str) -> None:
        state = moved(engine, started(engine, model), "advanced", "step", 25)
        moved(engine, state, "rolled_back", minutes=2)
        assert [entry.version for entry in champion_history(engine, model)] == [1]

    tell(story)


def test_one_release_at_a_time(tell: Tell) -> None:
    """A second start of the same version is the same release; another version is refused until the first ended."""

    def story(engine: Engine, model: str) -> None:
        state = started(engine, model)
        assert start_release(engine, release_of(model), "step", 5) == state
        with pytest.raises(ReleaseError, match=r"version 2 of .* is being released \(release 1\)"):
            start_release(engine, release_of(model, 3), "shadow", 0)
        moved(engine, state, "aborted")
        second = start_release(engine, release_of(model, 3), "step", 5)
        assert (second.release.number, second.release.version) == (2, 3)
        assert [found.release.model for found in running_releases(engine) if found.release.model == model] == [model]
        moved(engine, second, "aborted")
        assert model not in [found.release.model for found in running_releases(engine)]
        newest = [found for found in newest_releases(engine) if found.release.model == model]
        assert [(found.release.number, found.is_over) for found in newest] == [(2, True)]

    tell(story)


def test_what_cannot_be_released(tell: Tell) -> None:
    """The champion itself, and a version that was compared with another champion."""

    def story(engine: Engine, model: str) -> None:
        with pytest.raises(StaleChampionError, match="champion is now none"):
            start_release(engine, release_of(model), "shadow", 0)
        crowned(engine, model)
        with pytest.raises(ReleaseError, match=r"version 1 .* is the champion already"):
            start_release(engine, release_of(model, 1), "shadow", 0)
        crowned(engine, model, 3)
        with pytest.raises(StaleChampionError):
            start_release(engine, release_of(model), "shadow", 0)
        assert newest_release(engine, model) is None

    tell(story)


def test_a_change_is_made_once(tell: Tell) -> None:
    """A repeat returns what is there; a change of an old state is refused, and so is one after the end."""

    def story(engine: Engine, model: str) -> None:
        first = started(engine, model)
        second = moved(engine, first, "advanced", "step", 5)
        assert moved(engine, first, "advanced", "step", 5) == second
        with pytest.raises(StaleReleaseError, match="moved meanwhile"):
            moved(engine, first, "aborted", actor="ann")
        third = moved(engine, second, "aborted", actor="ann")
        with pytest.raises(StaleReleaseError):
            moved(engine, second, "advanced", "step", 25)
        with pytest.raises(StaleReleaseError, match="is over"):
            moved(engine, third, "advanced", "step", 25)
        assert newest_release(engine, model) == third

    tell(story)


def test_two_at_once(tell: Tell) -> None:
    """Of eight simultaneous changes one is made."""

    def story(engine: Engine, model: str) -> None:
        state, outcomes, barrier = started(engine, model), [], threading.Barrier(8)

        def change(number: int) -> None:
            barrier.wait()
            try:
                moved(engine, state, "advanced", "step", 5, actor=f"actor {number}")
                outcomes.append("made")
            except StaleReleaseError:
                outcomes.append("refused")

        threads = [threading.Thread(target=change, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(outcomes) == ["made"] + ["refused"] * 7
        found = newest_release(engine, model)
        assert found is not None
        assert len(found.steps) == 2

    tell(story)


def test_a_champion_that_moved_is_not_replaced(tell: Tell) -> None:
    """A rollback by a person during a release: the version is not promoted, and the release may be ended."""

    def story(engine: Engine, model: str) -> None:
        crowned(engine, model, 7)
        crowned(engine, model, 1)
        state = start_release(engine, release_of(model, champion_sequence=2), "step", 5)
        roll_back(engine, model, reason="complaints", actor="ann", at=AT + timedelta(minutes=1))
        with pytest.raises(StaleChampionError):
            moved(engine, state, "promoted", "bake", 100, minutes=2)
        assert newest_release(engine, model) == state
        assert moved(engine, state, "superseded", minutes=2).is_over
        assert current_champion(engine, model).version == 7  # type: ignore[union-attr]

    tell(story)


def test_a_rollback_by_a_person_while_it_bakes(tell: Tell) -> None:
    """The release is not completed as if its version were champion; it can be ended, and the champion stays."""

    def story(engine: Engine, model: str) -> None:
        state = moved(engine, started(engine, model), "promoted", "bake", 100)
        roll_back(engine, model, reason="complaints", actor="ann", at=AT + timedelta(minutes=2))
        for action in ("completed", "rolled_back"):
            with pytest.raises(StaleChampionError):
                moved(engine, state, action, minutes=3)
        assert newest_release(engine, model) == state
        assert moved(engine, state, "aborted", minutes=3).is_over
        assert [entry.version for entry in champion_history(engine, model)] == [1, 2, 1]

    tell(story)


def test_another_champion_ends_a_release(tell: Tell) -> None:
    """One that expects the champion goes on; the reason names the new champion and who made it."""

    def story(engine: Engine, model: str) -> None:
        assert end_stale(engine, model, "ann", AT) is None
        state = started(engine, model)
        assert end_stale(engine, model, "ann", AT) is None
        state = moved(engine, state, "promoted", "bake", 100)
        assert end_stale(engine, model, "ann", AT) is None
        roll_back(engine, model, reason="complaints", actor="ann", at=AT + timedelta(minutes=2))
        ended = end_stale(engine, model, "ann", AT + timedelta(minutes=2))
        assert ended is not None
        assert (ended.newest.action, ended.is_over) == ("superseded", True)
        assert "version 1 now, by ann" in ended.newest.reason
        assert end_stale(engine, model, "ann", AT) is None

    tell(story)


def test_people_pause_and_resume(tell: Tell) -> None:
    """The stage and its beginning stay."""

    def story(engine: Engine, model: str) -> None:
        entered = moved(engine, started(engine, model), "advanced", "step", 5)
        state = moved(engine, entered, "paused", "step", 5, minutes=2)
        assert state.is_paused
        assert state.entered == entered.newest
        state = moved(engine, state, "resumed", "step", 5, minutes=3)
        assert not state.is_paused
        state = moved(engine, moved(engine, state, "paused", "step", 5, minutes=4), "advanced", "step", 25, minutes=5)
        assert state.is_paused  # until it is resumed, whatever else a person does
        assert not moved(engine, state, "aborted", minutes=6).is_paused

    tell(story)


def test_events_tell_each_change(tell: Tell) -> None:
    """They are recorded with the change; a pause is not told."""

    def story(engine: Engine, model: str) -> None:
        state = started(engine, model)
        state = moved(engine, state, "paused", "shadow")
        state = moved(engine, state, "resumed", "shadow", minutes=2)
        state = moved(engine, state, "promoted", "bake", 100, minutes=3)
        moved(engine, state, "completed", "over", 100, minutes=4)
        told = [event for event in unsent_events(engine, 1000) if f".{model}" in json.dumps(event["resource"])]
        names = [event["event"].removeprefix("perennial.") for event in told]
        releases = [name for name in names if name.startswith("release.")]
        assert releases == ["release.started", "release.advanced", "release.completed"]
        assert names.count("model.promoted") == 2
        last = next(event for event in told if event["event"].endswith("completed"))
        assert (last["payload"]["version"], last["payload"]["share"]) == (2, 100)

    tell(story)


def test_times_do_not_go_back(tell: Tell) -> None:
    """A change by a machine whose clock is behind gets the time of the change before."""

    def story(engine: Engine, model: str) -> None:
        state = moved(engine, started(engine, model), "advanced", "step", 5, minutes=-60)
        assert state.newest.at == AT

    tell(story)


def test_the_history_is_append_only(tell: Tell) -> None:
    """The database refuses changes."""

    def story(engine: Engine, model: str) -> None:
        started(engine, model)
        for statement in (
            update(ReleaseRow).values(version=9),
            delete(ReleaseRow),
            update(ReleaseStepRow).values(share=100),
            delete(ReleaseStepRow),
            text("DELETE FROM release_trips"),
        ):
            if isinstance(statement, type(text(""))) and engine.dialect.name == "sqlite":
                continue  # its triggers are per row, and there is none
            with pytest.raises(StorageError, match="append-only"), writing(engine) as connection:
                connection.execute(statement)

    tell(story)
