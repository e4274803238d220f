"""Challengers that fail, in a real service with two workers: what clients see, and how the release ends."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from statistics import median
from typing import Any

import pytest
from sqlalchemy import select

from core.release.outcome import ReleaseOutcome
from store.database import reading
from store.releases.reports import trips
from store.tables import PredictionRequestRow
from tests.factories import make_project
from tests.serving.running import await_that
from tests.tasks.release.graphs import Fault, not_finite, raising, slow
from tests.tasks.release.live import MODEL, PLAN, Trial, trial

pytestmark = pytest.mark.slow

SHADOW: dict[str, Any] = {"min_labels": 0}
STEP: dict[str, Any] = {"min_labels": 0, "shadow": {"requests": 0, "hours": 1}}
LATENCY = {"guardrails": {**PLAN["guardrails"], "latency_ratio": 3.0}}

MANY, FEW, ALL = 40, 24, 100
"""Ages below which rows fail: about a third of the rows, a tenth, and all of them."""

_keys = count()


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trial]:
    """Return a service whose champion is sound."""
    with trial(make_project(tmp_path_factory.mktemp("faults")), "binary") as found:
        yield found


def _released(one: Trial, fault: Fault, plan: dict[str, Any], batch: int = 240) -> ReleaseOutcome:
    """Release a version with a fault until it is out; every client has a good answer."""
    one.plan = {**PLAN, **plan}
    one.answers.clear()
    one.begin(one.register(chr(ord("b") + next(_keys)), 0.002, change=fault))
    try:
        last = one.follow(batch)[-1]
    finally:
        one.end()
    assert last.status == "rolled_back", last
    assert {status for status, _ in one.answers} == {200}
    assert one.broken == 0
    return last


def _failures(one: Trial, outcome: ReleaseOutcome) -> int:
    return one.logged(PredictionRequestRow.version == outcome.version, PredictionRequestRow.failure.is_not(None))


def test_failures_in_the_shadow_end_the_release(one: Trial) -> None:
    """Clients only meet the champion, and the look finds the error rate."""
    last = _released(one, raising(MANY), SHADOW)
    assert {found["version"] for _, found in one.answers} == {1}
    assert "guardrail is breached in the shadow" in last.reasons[0]
    assert any("error rate" in reason for reason in last.reasons)
    assert _failures(one, last) > 50


def test_a_slow_version_in_the_shadow_is_not_advanced(one: Trial) -> None:
    """It answers beside the workers, so that no client waits for it; a look needs many requests to call it fast."""
    one.plan = {**PLAN, **SHADOW, **LATENCY}
    one.answers.clear()
    version = one.register(chr(ord("b") + next(_keys)), 0.002, change=slow())
    one.begin(version)
    row = PredictionRequestRow
    await_that(lambda: bool(one.send(4)) and one.logged(row.version == version, row.variant == "shadow") >= 20, 600)
    last = one.look()
    one.end()
    assert {(status, found["version"]) for status, found in one.answers} == {(200, 1)}
    assert last.status in {"held", "rolled_back"}, last  # how slow the champion is on this machine decides
    assert next(check for check in last.checks if check["name"] == "latency")["state"] != "ok"
    with reading(one.engine) as connection:
        chosen = select(row.latency_ms).where(row.version == version, row.variant == "shadow")
        assert median(connection.scalars(chosen)) > 15


@pytest.mark.parametrize("fault", [raising(MANY), not_finite(MANY)], ids=["raises", "NaN"])
def test_failures_at_a_share_are_answered_by_the_champion(one: Trial, fault: Fault) -> None:
    """The breaker stops the version after a few of them, and the look ends its release for that reason."""
    last = _released(one, fault, STEP)
    assert {found["version"] for _, found in one.answers} <= {1, last.version}
    assert "the service stopped asking the challenger" in last.reasons[0]
    assert 3 <= _failures(one, last) <= 2 * 20
    assert [trip.kind for trip in trips(one.engine, MODEL, last.number or 0)] == ["breaker"]


def test_rare_failures_at_a_share_end_the_release(one: Trial) -> None:
    """Whether the breaker finds them or the error rate shows them."""
    guardrails = {**PLAN["guardrails"], "error_rate": 0.01}
    last = _released(one, not_finite(FEW), {**STEP, "guardrails": guardrails})
    assert any("the service stopped asking" in reason or "error rate" in reason for reason in last.reasons)


def test_a_slow_version_at_a_share_is_stopped(one: Trial) -> None:
    """By the breaker, before any look: other clients of the worker wait for it."""
    last = _released(one, slow(), STEP, batch=120)
    assert "the median of its last 20 answers is" in last.reasons[0]


def test_a_version_that_does_not_load_is_never_asked(one: Trial) -> None:
    """It does not answer its own example; the service tells that after a minute, and stays as it is."""
    one.plan = {**PLAN, **STEP}
    one.answers.clear()
    number = one.begin(one.register(chr(ord("b") + next(_keys)), 0.002, change=raising(ALL))).release.number
    await_that(lambda: len(one.send(4)) == 4 and bool(trips(one.engine, MODEL, number)), 300)
    assert [trip.kind for trip in trips(one.engine, MODEL, number)] == ["load"]
    last = one.look()
    one.end()
    assert last.status == "rolled_back"
    assert "cannot be loaded" in last.reasons[0]
    assert {(status, found["version"]) for status, found in one.answers} == {(200, 1)}
    assert _failures(one, last) == 0
