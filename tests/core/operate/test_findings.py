"""Versions that go together, and clocks that do not."""

import doctest
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import core.operate.findings
from core.operate.findings import BOUNDS, broken_bounds, clock_finding, differing_pins, pinned_versions

NOW = datetime(2026, 11, 28, tzinfo=UTC)
LOCK = Path(__file__).resolve().parents[3] / "requirements.lock"


def test_the_examples_hold() -> None:
    """What the documentation shows is what happens."""
    assert doctest.testmod(core.operate.findings).failed == 0


def test_the_lock_keeps_to_the_bounds() -> None:
    """What we pin is what we say works, and every bound is of something pinned."""
    pinned = pinned_versions(LOCK.read_text())
    assert len(pinned) > 100
    assert broken_bounds(pinned) == []
    assert set(BOUNDS) <= set(pinned)


@pytest.mark.parametrize(
    ("name", "version", "works"),
    [
        ("sqlalchemy", "2.1.0", False),
        ("sqlalchemy", "2.0.51", True),
        ("fastapi", "0.155.1", False),
        ("fastapi", "0.150.0", True),
        ("pandas", "3.1.0", False),
        ("unknown", "1", True),
    ],
)
def test_versions_that_break_something_are_named(name: str, version: str, works: bool) -> None:
    """The message says which version it is, and what breaks."""
    found = broken_bounds({name: version})
    assert (found == []) is works
    assert works or f"{name} {version} (" in found[0]


def test_only_other_versions_differ() -> None:
    """What is not installed, an extra for one, is nobody's trouble."""
    assert differing_pins({"a": "1", "b": "2"}, {"a": "1", "b": "3", "c": "4"}) == ["b 2 instead of 3"]


@pytest.mark.parametrize(
    ("seconds", "level", "word"), [(2, "ok", "agrees"), (60, "warning", "ahead"), (-400, "problem", "behind")]
)
def test_a_clock_is_judged_by_what_webhooks_bear(seconds: float, level: str, word: str) -> None:
    """They are refused when they are 300 seconds off."""
    found = clock_finding(NOW + timedelta(seconds=seconds), NOW, "prefect.internal")
    assert found.level == level
    assert word in found.says
    assert "prefect.internal" in found.says
