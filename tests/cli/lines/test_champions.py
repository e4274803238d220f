"""Champions, reviews and moves as lines."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from cli.lines.champions import move_lines, rejection_lines, tenure_lines
from store.champions import Champion, Review
from tasks.champions.approvals import Move
from tasks.champions.history import Tenure, TenureHistory

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
FIRST = Champion("credit", 1, 3, None, "gate", "better", "ci@host", AT)
SECOND = Champion("credit", 2, 4, 1, "approval", "agreed", "ada@host", AT + timedelta(days=1))
TENURES = (Tenure(FIRST, SECOND.at), Tenure(SECOND, None))
REVIEW = Review("credit", 5, "rejected", "worse", "ada@host", AT)


def test_the_present_champion_is_marked() -> None:
    """And it alone; a waiting version says what can be done with it."""
    lines = tenure_lines(TenureHistory("credit", None, TENURES, (REVIEW,), waiting=6))
    header, first, second, *rest = lines
    assert header.split() == ["champion", "since", "(UTC)", "until", "kind", "actor", "reason"]
    assert (first[0], second[0]) == (" ", "*")
    assert "2026-01-03 03:04:05" in first
    assert second.split()[4:] == ["now", "approval", "ada@host", "agreed"]
    assert "  perennial approve credit@6 --reason …" in "\n".join(rest)
    assert any("worse" in line for line in rest)


def test_without_a_history_there_is_advice() -> None:
    """A version that waits is a history."""
    assert tenure_lines(TenureHistory("credit", None, ())) == [
        "credit has no champion yet; train one with: perennial train credit"
    ]
    assert "waits for approval" in "\n".join(tenure_lines(TenureHistory("credit", None, (), (), 2)))


def test_a_moment_has_one_champion_or_none() -> None:
    """With the span in which it was one."""
    moment = AT + timedelta(hours=1)
    assert tenure_lines(TenureHistory("credit", moment, ())) == ["credit had no champion at 2026-01-02 04:04:05 UTC"]
    past, present = (tenure_lines(TenureHistory("credit", moment, (tenure,))) for tenure in TENURES)
    assert past[0].endswith("UTC: from 2026-01-02 03:04:05 to 2026-01-03 03:04:05 UTC")
    assert present[0].endswith("from 2026-01-03 03:04:05 UTC until now")
    assert past[1] == "  by gate: better (ci@host)"


def test_a_move_says_what_it_replaced_and_how_to_undo_it() -> None:
    """A rollback is not undone by another one."""
    assert move_lines(Move(SECOND, 3, moved=True)) == [
        "version 4 of credit is now champion; it replaces version 3",
        "  agreed (ada@host)",
        "  to undo this: perennial rollback credit --reason …",
    ]
    back = move_lines(Move(replace(SECOND, kind="rollback"), None, moved=True))
    assert back == ["version 4 of credit is now champion", "  agreed (ada@host)"]
    assert move_lines(Move(SECOND, None, moved=False)) == [
        "nothing to do: version 4 of credit has been champion since 2026-01-03 03:04:05 UTC"
    ]


def test_a_rejection_is_told_with_its_reason() -> None:
    """And with who gave it."""
    assert rejection_lines(REVIEW) == ["version 5 of credit is rejected", "  worse (ada@host)"]
