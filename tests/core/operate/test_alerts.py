"""What people are told, and that nothing in it can be obeyed by a terminal or a chat."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from core.operate.alerts import Alert, alert, alert_of, with_earlier
from core.operate.events import (
    DRIFT_DETECTED,
    Event,
    champion_changed,
    data_versioned,
    event_id,
    model_registered,
    release_changed,
    retrain_failed,
    retrain_refused,
)

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
HOSTILE = "<!channel> @everyone \x1b[2J\u202e\x00 **bold** " * 200


def drifted(**given: Any) -> Event:
    """Return an event of drift."""
    payload = {"reasons": ["income moved"], "retrain": True, **given}
    return Event(event_id(DRIFT_DETECTED, 1), DRIFT_DETECTED, "credit", AT, payload)


def moved(kind: str, **given: Any) -> Event:
    """Return a move of the champion."""
    facts: dict[str, Any] = {"sequence": 4, "version": 3, "previous": 2, "reason": "better", "actor": "ann@desk"}
    return champion_changed("credit", kind=kind, at=AT, **(facts | given))


def told(event: Event) -> Alert:
    """Return what people are told of it."""
    found = alert_of(event.to_prefect())
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("told", "action", "level", "says"),
    [
        ("started", "started", "info", "is released step by step"),
        ("rolled_back", "rolled_back", "warning", "is not released"),
        ("rolled_back", "aborted", "warning", "is not released"),
        ("completed", "completed", "success", "has passed its release"),
        ("advanced", "advanced", None, ""),
    ],
)
def test_releases_are_told_at_both_ends(told: str, action: str, level: str | None, says: str) -> None:
    """Each with its reason; the steps between are no news."""
    facts: dict[str, Any] = {"number": 2, "sequence": 3, "version": 4, "champion": 3, "stage": "over", "share": 0}
    event = release_changed("credit", told, action=action, reason="9.8 % failed", actor="ann", at=AT, **facts)
    found = alert_of(event.to_prefect())
    assert (found.level if found else None) == level
    if found is not None:
        assert found.title == f"credit: version 4 {says}"
        assert "9.8 % failed" in found.body


def test_drift_is_told_with_its_reasons_and_what_follows() -> None:
    """The first reasons, the advice, and the command that shows more."""
    found = told(drifted(reasons=[f"reason {i}" for i in range(20)]))
    assert (found.key, found.level, found.title) == ("drift:credit", "warning", "credit: the rows have drifted")
    assert "- reason 0\n" in found.body
    assert "- and 12 more" in found.body
    assert "perennial drift credit" in found.body
    assert "No retraining" in told(drifted(retrain=False)).body


def test_moves_of_the_champion_are_told_one_by_one() -> None:
    """A promotion and a rollback have keys of their own, so that none hides behind another."""
    promoted, back = told(moved("gate")), told(moved("rollback", sequence=5, version=2, previous=3))
    assert (promoted.key, promoted.level) == ("champion:credit:4", "success")
    assert (back.key, back.level) == ("champion:credit:5", "warning")
    assert "in place of version 2, by gate (ann@desk)" in promoted.body
    assert back.title == "credit: version 2 is champion again"
    assert "in place" not in told(moved("gate", previous=None)).body


@pytest.mark.parametrize(
    ("code", "alarms"),
    [
        ("validation", True),
        ("leakage", True),
        ("budget", True),
        ("unchanged", False),
        ("unlabelled", False),
        ("cooldown", False),
        ("gate", False),
    ],
)
def test_only_refusals_that_need_somebody_are_told(code: Any, alarms: bool) -> None:
    """A week without new rows is no news."""
    found = alert_of(retrain_refused("credit", "t1", code, "why", None, AT).to_prefect())
    assert (found is not None) == alarms


def test_a_failure_is_told_and_ordinary_news_is_not() -> None:
    """Nobody wants a message for every data version."""
    assert told(retrain_failed("credit", "t1", "MLflow is away", AT)).level == "failure"
    quiet = (
        data_versioned("credit", "d1", n_rows=1, n_batches=1, git_commit="", has_champion=True, at=AT),
        model_registered("credit", 1, run_id="r", data_version="d1", trigger="manual", at=AT),
    )
    assert [alert_of(event.to_prefect()) for event in quiet] == [None, None]


def test_foreign_text_is_bounded_and_obeyed_by_nobody() -> None:
    """Controls are written out, calls to everybody are broken, and what is too long is cut to what the table holds."""
    for found in (
        told(drifted(reasons=[HOSTILE] * 30)),
        told(moved("gate", reason=HOSTILE, actor=HOSTILE)),
        told(retrain_failed("credit", HOSTILE, HOSTILE, AT)),
        alert(HOSTILE, "info", HOSTILE, "\n".join([HOSTILE] * 99)),
    ):
        assert len(found.key) <= 128
        assert len(found.title) <= 255
        assert len(found.body) <= 4_000
        text = found.title + found.body
        assert "@everyone" not in text
        assert all(character == "\n" or character.isprintable() for character in text)


def test_what_was_not_sent_is_told_with_the_next() -> None:
    """The number and since when; nothing where there were none."""
    first = alert("k", "info", "t", "b")
    assert with_earlier(first, 0, AT) == first
    assert (
        with_earlier(first, 1_200, AT).body
        == "b\n\n1,200 more of these alerts since 2026-01-02 03:04 UTC were not sent."
    )
