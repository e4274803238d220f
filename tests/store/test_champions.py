"""The history of champions is serial, complete and only ever added to, on SQLite and on PostgreSQL."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise
from multiprocessing.synchronize import Barrier
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import DateTime, Engine, bindparam, create_engine, delete, insert, select, text, update
from sqlalchemy.pool import NullPool

from core.errors import PromotionError, StaleChampionError, StorageError
from store.champions import (
    Champion,
    Kind,
    RecordedVerdict,
    Review,
    Standing,
    champion_at,
    champion_history,
    current_champion,
    find_verdict,
    forget_projection,
    is_projected,
    predecessor,
    predecessors,
    record_projection,
    record_review,
    record_verdict,
    reviews,
    roll_back,
    standing,
    start_tenure,
    verdicts_against,
    waiting_version,
)
from store.database import open_database, writing
from store.tables import Base, ChampionRow, ReviewRow, VerdictRow
from tests.postgres import call_with_driver
from tests.store.stories import Story, with_engine

AT = datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC)
PROCESSES = 8
PER_PROCESS = 3


def crown(engine: Engine, model: str, version: int, expected: int | None = None, **given: Any) -> Champion:
    """Make a version champion over the present one, or over the entry expected."""
    if expected is None:
        present = current_champion(engine, model)
        expected = present.sequence if present else 0
    facts: dict[str, Any] = {"kind": "gate", "reason": "better", "actor": "ann@desk", "at": AT}
    return start_tenure(engine, model, version, expected_sequence=expected, **(facts | given))


def undo(engine: Engine, model: str, **given: Any) -> Champion:
    """Roll back a minute later."""
    return roll_back(engine, model, reason="worse", actor="ben@desk", at=AT + timedelta(minutes=1), **given)


def judged(engine: Engine, model: str, version: int, sequence: int = 0, **given: Any) -> RecordedVerdict:
    """Record a verdict of the mode ``manual`` that would promote."""
    facts = RecordedVerdict(
        model,
        version,
        sequence,
        None,
        "promote",
        "manual",
        5,
        "f" * 64,
        "[1]",
        "a" * 64,
        "{}",
        AT + timedelta(0, version),
    )
    return record_verdict(engine, replace(facts, **given))


def said(engine: Engine, model: str, version: int, reason: str = "no") -> None:
    """Reject a version."""
    record_review(engine, Review(model, version, "rejected", reason, "ann@desk", AT))


def test_each_champion_stands_on_the_one_before(tell: Callable[[Story], None]) -> None:
    """Entries are numbered without gaps and say what a rollback returns to."""

    def story(engine: Engine, model: str) -> None:
        assert current_champion(engine, model) is None
        entries = [crown(engine, model, version) for version in (3, 7, 4)]
        assert [(entry.sequence, entry.version, entry.below) for entry in entries] == [
            (1, 3, None),
            (2, 7, 1),
            (3, 4, 2),
        ]
        assert champion_history(engine, model) == entries
        assert current_champion(engine, model) == entries[-1]
        assert champion_history(engine, "another") == []

    tell(story)


def test_the_predecessors_are_those_of_rollbacks_in_a_row(tell: Callable[[Story], None]) -> None:
    """A version that was rolled back is not among them; no more are returned than asked for."""

    def story(engine: Engine, model: str) -> None:
        assert predecessors(engine, model, 3) == []
        for version in (3, 7, 4, 9):
            crown(engine, model, version)
        roll_back(engine, model, reason="complaints", actor="ann@desk", at=AT)
        assert [entry.version for entry in predecessors(engine, model, 5)] == [7, 3]
        assert [entry.version for entry in predecessors(engine, model, 1)] == [7]

    tell(story)


def test_of_two_who_saw_the_same_champion_one_wins(tell: Callable[[Story], None]) -> None:
    """The second is told who is champion now, and changes nothing."""

    def story(engine: Engine, model: str) -> None:
        crown(engine, model, 1)
        crown(engine, model, 2, expected=1)
        with pytest.raises(StaleChampionError, match=r"against entry 1 .* now version 2 \(entry 2, by ann@desk\)"):
            crown(engine, model, 3, expected=1)
        with pytest.raises(StaleChampionError, match="against no champion, but the champion is now version 2"):
            crown(engine, model, 3, expected=0)
        with pytest.raises(StaleChampionError, match="entry 9"):
            crown(engine, model, 3, expected=9)
        assert [entry.version for entry in champion_history(engine, model)] == [1, 2]

    tell(story)


def test_the_same_call_again_is_harmless(tell: Callable[[Story], None]) -> None:
    """Killed after its commit and run again, a promotion finds its own entry; so does one of the present champion."""

    def story(engine: Engine, model: str) -> None:
        first = crown(engine, model, 1, expected=0)
        assert crown(engine, model, 1, expected=0, at=AT + timedelta(hours=1)) == first
        assert crown(engine, model, 1, expected=1) == first
        crown(engine, model, 2, expected=1)
        with pytest.raises(StaleChampionError):
            crown(engine, model, 1, expected=0)
        with pytest.raises(StaleChampionError):
            crown(engine, model, 2, expected=1, kind="approval")
        assert len(champion_history(engine, model)) == 2

    tell(story)


def test_rollbacks_go_back_to_true_predecessors(tell: Callable[[Story], None]) -> None:
    """After v1, v2, v3 the first rollback returns to v2, the next to v1, and there is no third."""

    def story(engine: Engine, model: str) -> None:
        with pytest.raises(PromotionError, match="no champion, so there is nothing to roll back"):
            undo(engine, model)
        for version in (1, 2, 3):
            crown(engine, model, version)
        assert predecessor(engine, model) == champion_history(engine, model)[1]
        back = undo(engine, model)
        assert (back.sequence, back.version, back.below, back.kind) == (4, 2, 1, "rollback")
        again = undo(engine, model)
        assert (again.sequence, again.version, again.below) == (5, 1, None)
        assert predecessor(engine, model) is None
        with pytest.raises(PromotionError, match="no champion before version 1"):
            undo(engine, model)
        assert crown(engine, model, 4).below == 5
        assert undo(engine, model).version == 1

    tell(story)


def test_two_rollbacks_at_once_go_back_one_step(tell: Callable[[Story], None]) -> None:
    """Who names the entry to roll back does not roll back the rollback's own target."""

    def story(engine: Engine, model: str) -> None:
        for version in (1, 2, 3):
            crown(engine, model, version)
        undo(engine, model, expected_sequence=3)
        with pytest.raises(StaleChampionError, match="now version 2"):
            undo(engine, model, expected_sequence=3)

    tell(story)


def test_who_was_champion_at_a_moment(tell: Callable[[Story], None]) -> None:
    """A move belongs to the new champion; before the first there was none; zones do not matter."""

    def story(engine: Engine, model: str) -> None:
        first = crown(engine, model, 1)
        second = crown(engine, model, 2, at=AT + timedelta(hours=1))
        assert champion_at(engine, model, AT - timedelta(microseconds=1)) is None
        assert champion_at(engine, model, AT.astimezone(timezone(timedelta(hours=9)))) == first
        assert champion_at(engine, model, second.at - timedelta(microseconds=1)) == first
        assert champion_at(engine, model, second.at) == second
        assert champion_at(engine, model, AT + timedelta(days=1)) == second

    tell(story)


def test_a_late_clock_does_not_turn_the_history_round(tell: Callable[[Story], None]) -> None:
    """A machine whose clock lags makes its entry no earlier than the one before."""

    def story(engine: Engine, model: str) -> None:
        crown(engine, model, 1)
        assert crown(engine, model, 2, at=AT - timedelta(hours=1)).at == AT

    tell(story)


def test_an_approval_is_a_review_as_well(tell: Callable[[Story], None]) -> None:
    """Entry and review are one transaction; a repeat adds neither."""

    def story(engine: Engine, model: str) -> None:
        crown(engine, model, 1)
        for _ in range(2):
            crown(engine, model, 2, expected=1, kind="approval", reason="agreed")
        assert reviews(engine, model) == [Review(model, 2, "approved", "agreed", "ann@desk", AT)]

    tell(story)


def test_the_first_verdict_of_a_version_and_champion_stays(tell: Callable[[Story], None]) -> None:
    """A repeat gets the verdict on record; against another champion there is another."""

    def story(engine: Engine, model: str) -> None:
        first = judged(engine, model, 1)
        assert judged(engine, model, 1, decision="keep", judged_at=AT) == first
        later = judged(engine, model, 1, sequence=4, champion=9, decision="keep")
        assert find_verdict(engine, model, 1) == later
        assert find_verdict(engine, model, 1, 0) == first
        assert find_verdict(engine, model, 1, 2) is None
        assert find_verdict(engine, model, 2) is None

    tell(story)


def test_the_last_verdict_by_other_rules_stands(tell: Callable[[Story], None]) -> None:
    """The verdicts of a version against one champion are numbered; who waits for a person follows the last."""

    def story(engine: Engine, model: str) -> None:
        first = judged(engine, model, 1, rules="a" * 64)
        assert waiting_version(engine, model) == 1
        second = judged(engine, model, 1, rules="b" * 64, number=2, decision="keep")
        assert judged(engine, model, 1, rules="c" * 64, number=2) == second
        assert find_verdict(engine, model, 1) == find_verdict(engine, model, 1, 0) == second
        assert verdicts_against(engine, model, 0) == [first, second]
        assert waiting_version(engine, model) is None

    tell(story)


def test_verdicts_from_before_their_rules_were_kept(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The migration keeps them as the first ones, of unknown rules, and the table still refuses changes."""

    def story(address: str) -> None:
        with monkeypatch.context() as earlier:
            earlier.setattr("store.database.HEAD", "0005")
            places = ", ".join(f":{name}" for name in EARLIER)
            with writing(open_database(address)) as connection:
                added = text(f"INSERT INTO verdicts VALUES ({places})")  # noqa: S608 - our own names
                # The type writes the moment; Python 3.12 deprecates that of its SQLite driver.
                connection.execute(added.bindparams(bindparam("judged_at", type_=DateTime())), EARLIER)
        engine = open_database(address)
        found = find_verdict(engine, "credit", 4)
        assert found is not None
        assert {name: getattr(found, name) for name in EARLIER} == {**EARLIER, "judged_at": AT}
        assert (found.number, found.rules) == (1, "")
        with pytest.raises(StorageError, match="is append-only"), writing(engine) as connection:
            connection.execute(delete(VerdictRow))

    if database.startswith("sqlite"):
        story(database)
    else:
        call_with_driver(lambda: story(_another(database)))


EARLIER = {
    "model": "credit",
    "version": 4,
    "champion_sequence": 2,
    "champion": 3,
    "decision": "promote",
    "mode": "manual",
    "n_rows": 5,
    "holdout": "f" * 64,
    "sketch": "[1]",
    "manifest": "a" * 64,
    "document": "{}",
    "judged_at": AT.replace(tzinfo=None),
}


def _another(address: str) -> str:
    """Address of an empty database on the same server."""
    with create_engine(address, poolclass=NullPool, isolation_level="AUTOCOMMIT").connect() as connection:
        connection.execute(text("CREATE DATABASE earlier"))
    return address.replace("/postgres?", "/earlier?")


def test_looks_during_a_tenure_are_found(tell: Callable[[Story], None]) -> None:
    """Verdicts against one entry, oldest first, and no others."""

    def story(engine: Engine, model: str) -> None:
        third, second = judged(engine, model, 3, sequence=1), judged(engine, model, 2, sequence=1)
        judged(engine, model, 4, sequence=2)
        assert verdicts_against(engine, model, 1) == [second, third]
        assert verdicts_against(engine, model, 3) == []

    tell(story)


def test_the_newest_unreviewed_version_waits(tell: Callable[[Story], None]) -> None:
    """Only what the gate would promote over the present champion in mode manual, and nobody reviewed."""

    def story(engine: Engine, model: str) -> None:
        given: list[dict[str, Any]] = [{}, {}, {"decision": "keep"}, {"mode": "dry_run"}, {"sequence": 1}]
        for version, facts in enumerate(given, start=1):
            judged(engine, model, version, **facts)
        assert waiting_version(engine, model) == 2
        said(engine, model, 2)
        assert waiting_version(engine, model) == 1
        said(engine, model, 1)
        assert waiting_version(engine, model) is None
        crown(engine, model, 1)
        assert waiting_version(engine, model) == 5
        crown(engine, model, 5)
        assert waiting_version(engine, model) is None

    tell(story)


def test_the_same_word_twice_is_recorded_once(tell: Callable[[Story], None]) -> None:
    """Another word, or the same after another, is recorded."""

    def story(engine: Engine, model: str) -> None:
        for reason in ("no", "no", "never", "no"):
            said(engine, model, 2, reason)
        said(engine, model, 3)
        assert [review.reason for review in reviews(engine, model, 2)] == ["no", "never", "no"]
        assert [review.version for review in reviews(engine, model)] == [2, 2, 2, 3]

    tell(story)


def test_what_the_aliases_should_say(tell: Callable[[Story], None]) -> None:
    """Champion, what a rollback returns to, and who waits; and whether MLflow was told."""

    def story(engine: Engine, model: str) -> None:
        assert standing(engine, model) == Standing(0, None, None, None)
        assert not is_projected(engine, model, standing(engine, model))
        crown(engine, model, 1)
        crown(engine, model, 2)
        judged(engine, model, 5, sequence=2)
        wanted = standing(engine, model)
        assert wanted == Standing(2, 2, 1, 5)
        record_projection(engine, model, wanted, AT)
        assert is_projected(engine, model, wanted)
        said(engine, model, 5)
        assert not is_projected(engine, model, standing(engine, model))
        record_projection(engine, model, standing(engine, model), AT)
        forget_projection(engine, model)
        assert not is_projected(engine, model, standing(engine, model))

    tell(story)


@pytest.mark.parametrize("table", [ChampionRow, VerdictRow, ReviewRow])
def test_history_cannot_be_changed(tell: Callable[[Story], None], table: type[Base]) -> None:
    """The database itself refuses to update, replace or delete what is on record."""

    def story(engine: Engine, model: str) -> None:
        crown(engine, model, 1)
        judged(engine, model, 1)
        said(engine, model, 1)
        again = insert(table).prefix_with("OR REPLACE").from_select([*table.__table__.columns], select(table))
        emptied = again if engine.dialect.name == "sqlite" else text(f"TRUNCATE {table.__tablename__}")
        for change in (update(table).values(version=2), delete(table), emptied):
            with pytest.raises(StorageError, match="is append-only"), writing(engine) as connection:
                connection.execute(change)
        assert current_champion(engine, model) is not None
        assert find_verdict(engine, model, 1) is not None
        assert [review.version for review in reviews(engine, model)] == [1]

    tell(story)


@pytest.mark.slow
def test_processes_that_promote_at_once_make_one_history(database: str) -> None:
    """Eight processes with three versions each: every version took office once, each over the one before it."""
    model, context = f"m{uuid4().hex}", multiprocessing.get_context("spawn")
    barrier = context.Barrier(PROCESSES)
    processes = [
        context.Process(target=promote_all, args=(database, model, number, barrier)) for number in range(PROCESSES)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * PROCESSES

    def check(engine: Engine) -> None:
        entries = champion_history(engine, model)
        assert [entry.sequence for entry in entries] == list(range(1, PROCESSES * PER_PROCESS + 1))
        assert [entry.below for entry in entries] == [None, *range(1, PROCESSES * PER_PROCESS)]
        assert sorted(entry.version for entry in entries) == list(range(1, PROCESSES * PER_PROCESS + 1))
        assert all(before.at <= after.at for before, after in pairwise(entries))

    with_engine(database, check)


def promote_all(address: str, model: str, number: int, barrier: Barrier) -> None:
    """Promote a process's own versions, each until nobody else is faster."""

    def work(engine: Engine) -> None:
        barrier.wait(timeout=60)
        for version in range(number * PER_PROCESS + 1, (number + 1) * PER_PROCESS + 1):
            while not promoted(engine, model, version):
                pass

    with_engine(address, work)


def promoted(engine: Engine, model: str, version: int, kind: Kind = "gate") -> bool:
    """Promote a version over whoever is champion; whether nobody else was faster."""
    seen = current_champion(engine, model)
    try:
        crown(engine, model, version, expected=seen.sequence if seen else 0, kind=kind, at=datetime.now(UTC))
    except StaleChampionError:
        return False
    return True
