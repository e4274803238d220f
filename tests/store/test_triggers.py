"""The inbox: each trigger once, one answer for each."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import Engine

from core.operate.events import retrain_refused
from store.database import open_database
from store.events import unsent_events
from store.triggers import (
    Answer,
    answer,
    claim,
    is_received,
    last_trained,
    open_triggers,
    postpone,
    receive,
    reopen,
    submitted,
    trained_since,
    triggers,
)
from tests.store.trigger_samples import AT, find_trigger, webhook

DONE = Answer("promoted", "it is better", trained=True, data_version="d", version=2)
LATER = AT + timedelta(minutes=1)


@pytest.fixture(params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest, tmp_path: object) -> Engine:
    """Return an empty inbox in each kind of database."""
    if request.param == "sqlite":
        return open_database(f"sqlite:///{tmp_path}/perennial.db")
    return _emptied(open_database(request.getfixturevalue("postgres_address")))


def _emptied(engine: Engine) -> Engine:
    from store.database import writing
    from store.tables import EventRow, TriggerRow

    with writing(engine) as connection:
        for table in (TriggerRow, EventRow):
            connection.execute(table.__table__.delete())  # type: ignore[attr-defined] # a Table, typed as its base
    return engine


def test_a_trigger_is_received_once(engine: Engine) -> None:
    """Of fifty deliveries of one id at once a single row is left; another model may use the same id."""
    start = threading.Barrier(10)

    def deliver(number: int) -> None:
        if number < 10:
            start.wait()
        receive(engine, webhook(document=f'{{"n": {number}}}'))

    with ThreadPoolExecutor(10) as pool:
        list(pool.map(deliver, range(50)))
    assert not receive(engine, webhook())
    assert receive(engine, webhook("loans"))
    assert len(triggers(engine, "credit")) == 1


def test_a_trigger_is_found_by_its_model_and_id(engine: Engine) -> None:
    """Whatever became of it."""
    trigger = webhook()
    assert not is_received(engine, trigger.model, trigger.id)
    receive(engine, trigger)
    assert is_received(engine, trigger.model, trigger.id)
    assert not is_received(engine, "loans", trigger.id)
    assert not is_received(engine, trigger.model, f"{trigger.id}0")
    answer(engine, trigger, DONE, LATER)
    assert is_received(engine, trigger.model, trigger.id)


def test_of_many_runs_for_one_trigger_one_gets_the_work(engine: Engine) -> None:
    """Whoever claims first works; the same run may claim again, another may not."""
    with ThreadPoolExecutor(8) as pool:
        claims = list(pool.map(lambda n: claim(engine, webhook(), f"run-{n}", deployed=True, at=AT), range(8)))
    mine = [trigger for trigger, is_mine in claims if is_mine]
    assert len(mine) == 1
    assert claim(engine, webhook(), str(mine[0].flow_run), deployed=True, at=LATER) == (mine[0], True)
    assert claim(engine, webhook(), "run-x", deployed=True, at=LATER) == (mine[0], False)


def test_a_run_takes_along_what_waits_and_answers_it_too(engine: Engine) -> None:
    """Waiting and submitted triggers of the model are merged; those of other models and later ones are not."""
    first, second, third = (webhook(trigger_id=f"standard:ci:{n}") for n in range(3))
    for trigger in (first, second, third, webhook("loans")):
        receive(engine, trigger)
    assert submitted(engine, second, "run-2")
    mine, is_mine = claim(engine, first, "run-1", deployed=True, at=AT)
    assert is_mine
    late = webhook(trigger_id="standard:ci:late")
    receive(engine, late)
    merged = find_trigger(engine, "credit", third.id)
    assert merged is not None
    assert (merged.status, merged.leader) == ("merged", first.id)
    assert claim(engine, second, "run-2", deployed=True, at=LATER)[1] is False
    answer(engine, mine, DONE, LATER)
    found = {trigger.id: trigger for trigger in triggers(engine, "credit")}
    assert {found[one.id].outcome for one in (first, second, third)} == {"promoted"}
    assert [one.id for one in open_triggers(engine)] == ["standard:ci:1", late.id]
    assert trained_since(engine, "credit", AT - timedelta(days=7), AT) == 1
    assert last_trained(engine, "credit", AT) == AT


def test_a_retraining_that_a_wrong_clock_dated_ahead_does_not_count(engine: Engine) -> None:
    """Cool-down and budget would refuse every other one until that time has come."""
    for days in (0, 400):
        at = AT + timedelta(days=days)
        mine, _ = claim(engine, webhook(trigger_id=f"manual:{days}"), f"run-{days}", deployed=False, at=at)
        answer(engine, mine, DONE, at)
    now = AT + timedelta(hours=1)
    assert last_trained(engine, "credit", now) == AT
    assert trained_since(engine, "credit", AT - timedelta(days=7), now) == 1


def test_a_run_by_hand_takes_nothing_along(engine: Engine) -> None:
    """If it died, nobody would start it again."""
    receive(engine, webhook())
    claim(engine, replace(webhook(trigger_id="manual:1"), kind="manual"), "run-1", deployed=False, at=AT)
    assert find_trigger(engine, "credit", webhook().id) == webhook()


def test_the_first_answer_stays_and_its_event_is_told_once(engine: Engine) -> None:
    """An answer and what is told of it are one transaction; a repeat changes neither."""
    mine, _ = claim(engine, webhook(), "run-1", deployed=True, at=AT)
    told = retrain_refused("credit", mine.id, "unchanged", "no new rows", None, LATER)
    refused = answer(engine, mine, Answer("refused", "no new rows"), LATER, told)
    again = answer(engine, mine, DONE, LATER + timedelta(hours=1), retrain_refused("credit", "x", "gate", "", None, AT))
    assert (again.outcome, again.reason) == (refused.outcome, refused.reason) == ("refused", "no new rows")
    assert [event["payload"]["code"] for event in unsent_events(engine)] == ["unchanged"]
    assert trained_since(engine, "credit", AT - timedelta(days=7), AT) == 0


def test_a_run_that_is_gone_gives_its_trigger_back(engine: Engine) -> None:
    """It waits again; where another run has it by now, nothing changes."""
    mine, _ = claim(engine, webhook(), "run-1", deployed=True, at=AT)
    reopen(engine, replace(mine, flow_run="run-0"))
    assert find_trigger(engine, "credit", mine.id) == mine
    reopen(engine, mine)
    waiting = find_trigger(engine, "credit", mine.id)
    assert waiting is not None
    assert (waiting.status, waiting.flow_run, waiting.deployed) == ("waiting", None, False)


def test_only_open_triggers_are_postponed_or_submitted(engine: Engine) -> None:
    """What is answered stays answered."""
    mine, _ = claim(engine, webhook(), "run-1", deployed=True, at=AT)
    postpone(engine, mine, LATER, attempts=2)
    found = find_trigger(engine, "credit", mine.id)
    assert found is not None
    assert (found.attempts, found.next_at) == (2, LATER)
    assert not submitted(engine, mine, "run-2")
    answered = answer(engine, mine, DONE, LATER)
    postpone(engine, mine, LATER, attempts=9)
    assert find_trigger(engine, "credit", mine.id) == answered
