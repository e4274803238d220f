"""Triggers and their outcomes as lines."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from cli.lines.triggers import REASON_WIDTH, retrain_lines, trigger_lines
from core.operate.retraining import RetrainOutcome
from core.operate.trigger import Trigger

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
WAITING = Trigger("credit", "webhook:ci:1", "webhook", "ci", "{}", AT)
ANSWERED = replace(
    WAITING, status="answered", outcome="promoted", version=4, reason="better", answered_at=AT + timedelta(seconds=61)
)


def _last(trigger: Trigger) -> str:
    return trigger_lines([trigger], None)[1]


def test_a_trigger_says_what_came_of_it() -> None:
    """Its outcome, or in brackets how far it is; the seconds from its arrival to its answer."""
    lines = trigger_lines([ANSWERED, WAITING], "credit")
    assert lines[0].split()[2:] == ["model", "kind", "sender", "outcome", "version", "seconds", "reason"]
    assert lines[1].split()[4:] == ["ci", "promoted", "4", "61", "better"]
    assert lines[2].split()[4:] == ["ci", "(waiting)", "–", "–"]


def test_the_reason_is_the_one_that_helps() -> None:
    """Whose run answers it, how often it was started again, or what its run said."""
    assert _last(replace(ANSWERED, leader="webhook:ci:0")).endswith("answered by the run of webhook:ci:0")
    assert _last(replace(WAITING, status="running", attempts=2)).endswith("started again 2 times")
    assert _last(replace(ANSWERED, attempts=2)).endswith("better")


def test_a_reason_cannot_steer_the_terminal() -> None:
    """It may be a sender's text; a long one is cut."""
    line = _last(replace(ANSWERED, reason="a\x1b[2J\n" + "x" * 500))
    assert "\x1b" not in line
    assert "\n" not in line
    assert line.endswith("…")
    assert len(line) < 90 + REASON_WIDTH + 10


def test_without_a_trigger_there_is_advice() -> None:
    """Of one model, or of all."""
    assert trigger_lines([], "credit")[0].startswith("no retraining of credit was requested yet")
    assert trigger_lines([], None)[0].startswith("no retraining of any model was requested yet")


def test_an_outcome_is_a_headline_and_its_reasons() -> None:
    """A repeat says that it is one."""
    outcome = RetrainOutcome("credit", "t", "promoted", "gate", ("better", "quick"), version=4)
    assert retrain_lines(outcome) == ["credit: promoted version 4", "  - better", "  - quick"]
    assert retrain_lines(replace(outcome, version=None, repeated=True))[0] == "credit: promoted (answered before)"
