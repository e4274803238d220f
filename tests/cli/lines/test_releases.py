"""Releases on a terminal."""

from __future__ import annotations

from typing import Any

from cli.lines.releases import look_lines, release_lines
from core.release.outcome import ReleaseOutcome

CHECK = {"name": "error_rate", "state": "ok", "sentence": "failed 0.1 % of 500 requests"}
SIDE: dict[str, Any] = {"requests": 1500, "failures": 2, "p50": 1.25, "p99": None, "labels": 0}


def found(**given: Any) -> dict[str, Any]:
    """Return the status of a release in its first step."""
    step = {
        "at": "2026-03-01T06:00:00+00:00",
        "stage": "step",
        "share": 5,
        "action": "advanced",
        "actor": "release",
        "reason": "all guardrails hold",
    }
    look = {"reasons": ["needs about 300 more requests"], "checks": [CHECK], "champion": SIDE, "challenger": SIDE}
    return {
        "model": "credit",
        "release": 2,
        "version": 4,
        "champion": 3,
        "running": True,
        "paused": False,
        "stage": "step",
        "share": 5,
        "since": "2026-03-01T06:00:00+00:00",
        "steps": [step],
        "look": look,
        "trips": [],
    } | given


def test_a_running_release() -> None:
    """Its state, what it waits for, both versions side by side, and its steps."""
    text = "\n".join(release_lines(found()))
    assert "release 2 of credit: version 4, step, 5 % since 2026-03-01 06:00:00 UTC; the champion is version 3" in text
    assert "needs about 300 more requests" in text
    assert "1,500" in text
    assert "1.2 ms" in text
    assert "error rate" in text
    assert "all guardrails hold" in text


def test_other_states() -> None:
    """Paused, baking, over, not looked at yet, tripped, never there."""
    assert "paused" in release_lines(found(paused=True))[0]
    assert "version 3, stays loaded" in release_lines(found(stage="bake", share=100))[0]
    assert "no look yet" in release_lines(found(look=None))[1]
    over = found(running=False, look=None, steps=[{**found()["steps"][0], "action": "rolled_back"}])
    assert release_lines(over)[0].endswith("is over: rolled back")
    trip = {"instance": "host:/srv", "kind": "breaker", "reason": "12 of 20 failed"}
    assert "  breaker in host:/srv: 12 of 20 failed" in release_lines(found(trips=[trip]))
    assert "no release yet" in release_lines({"model": "credit", "release": None})[0]


def test_a_look() -> None:
    """What it did, why, and what begins next."""
    outcome = ReleaseOutcome("credit", "rolled_back", ("too many failed",), 2, 4, "over", 0, (CHECK,), next_version=5)
    lines = look_lines(outcome)
    assert lines[:3] == [
        "rolled back: version 4, over, 0 %",
        "  too many failed",
        "  the release of version 5 begins",
    ]
    assert look_lines(ReleaseOutcome("credit", "none", ("no release runs",)))[0] == "none"
