from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.release.decision import decide
from core.release.observed import Observed
from core.release.plan import Guardrails, Plan, Stage
from tests.core.release.samples import observed

PLAN = Plan()
STEP = Stage("step", 5)
BAKE = Stage("bake", 100)


def test_a_good_challenger_goes_through_all_stages() -> None:
    """Shadow, steps and bake: each look with enough requests advances, and the last one promotes."""
    asked = {0: (4_000, 4_000), 5: (76_000, 4_000), 25: (12_000, 4_000), 50: (4_000, 4_000), 100: (4_000, 8_000)}
    outcomes = []
    for stage in PLAN.stages:
        before, after = asked[stage.share]
        hours = 24.0 if stage.kind == "bake" else 1.0
        outcomes.append(decide(PLAN, stage, observed(before), observed(after, seed=1), hours).outcome)
    assert outcomes == ["advance", "advance", "advance", "advance", "promote"]


@pytest.mark.parametrize(
    ("errors", "slower", "shift", "named"),
    [(0.08, 1.0, 0.0, "error rate"), (0.01, 3.0, 0.0, "latency"), (0.01, 1.0, 1.5, "PSI")],
)
def test_each_harm_rolls_back(errors: float, slower: float, shift: float, named: str) -> None:
    """The reasons name the guardrail and its numbers."""
    challenger = observed(2_000, seed=2, errors=errors, slower=slower, shift=shift)
    look = decide(PLAN, STEP, observed(38_000, seed=1), challenger, waited_hours=1.0)
    assert look.outcome == "roll_back"
    assert named in " ".join(look.reasons)
    assert [check.state for check in look.checks].count("breached") == 1


def test_a_breach_counts_before_the_fewest_requests() -> None:
    """A challenger that fails half of its requests is out after thirty of them."""
    look = decide(PLAN, STEP, observed(570, seed=1), observed(30, seed=2, errors=0.5), waited_hours=0.1)
    assert look.outcome == "roll_back"


@pytest.mark.parametrize("stage", PLAN.stages, ids=lambda stage: stage.name)
@pytest.mark.parametrize("waited_hours", [0.0, 10.0])
def test_no_data_holds(stage: Stage, waited_hours: float) -> None:
    """Without a request of the challenger nothing moves, and the look says what is missing."""
    look = decide(PLAN, stage, observed(10_000), Observed(), waited_hours)
    assert look.outcome == "hold"
    assert "500 more requests" in " ".join(look.reasons)


def test_the_deadline_does_what_the_plan_says() -> None:
    """Past it a release without evidence goes back, or waits where the plan says so; both give the reason."""
    back = decide(PLAN, STEP, observed(100), observed(5), waited_hours=72.0)
    waits = decide(Plan(at_deadline="wait"), STEP, observed(100), observed(5), waited_hours=72.0)
    assert (back.outcome, waits.outcome) == ("roll_back", "hold")
    for look in (back, waits):
        assert "met its deadline of 72 h" in look.reasons[0]
        assert "5 of 500" in " ".join(look.reasons)


def test_enough_evidence_at_the_deadline_advances() -> None:
    """The deadline ends waiting, not a stage that is done."""
    assert decide(PLAN, STEP, observed(76_000), observed(4_000, seed=1), waited_hours=100.0).outcome == "advance"


def test_the_bake_lasts_its_hours() -> None:
    """Before them it holds, with every guardrail kept; a breach still rolls back."""
    early = decide(PLAN, BAKE, observed(8_000), observed(8_000, seed=1), waited_hours=23.0)
    assert early.outcome == "hold"
    assert early.reasons[0] == "waits for the bake's end: 23 h of 24 h"
    assert decide(PLAN, BAKE, observed(8_000), observed(800, errors=0.1), waited_hours=23.0).outcome == "roll_back"


def test_a_tripped_breaker_rolls_back_at_once() -> None:
    """Whatever was observed, even nothing."""
    look = decide(PLAN, STEP, Observed(), Observed(), 0.0, tripped="5 of 5 requests timed out")
    assert look.outcome == "roll_back"
    assert "5 of 5 requests timed out" in look.reasons[0]


def test_nan_holds() -> None:
    """One missing latency among thousands is not taken for a good one."""
    latencies = observed(4_000).latencies_ms.copy()
    latencies[7] = math.nan
    one = observed(4_000, seed=1)
    challenger = Observed(n_requests=4_000, n_failures=40, latencies_ms=latencies, predictions=one.predictions)
    look = decide(PLAN, STEP, observed(76_000), challenger, 1.0)
    assert look.outcome == "hold"
    assert "1 of the challenger are missing" in " ".join(look.reasons)


def test_nothing_watched_needs_the_requests_only() -> None:
    """A plan without guardrails counts requests."""
    bare = Plan(guardrails=Guardrails(error_rate=None, latency_ratio=None, prediction_psi=None, performance_loss=None))
    assert decide(bare, STEP, Observed(), Observed(n_requests=499), 1.0).outcome == "hold"
    assert decide(bare, STEP, Observed(), Observed(n_requests=500), 1.0).outcome == "advance"


def test_a_deadline_is_no_harm() -> None:
    """Also where nothing is watched, so that it does not end a paused release; a tripped breaker is harm."""
    bare = Plan(guardrails=Guardrails(error_rate=None, latency_ratio=None, prediction_psi=None, performance_loss=None))
    overdue = decide(bare, STEP, Observed(), Observed(), 1000.0)
    assert (overdue.outcome, overdue.checks, overdue.is_harm) == ("roll_back", (), False)
    assert decide(bare, STEP, Observed(), Observed(), 0.0, "it failed").is_harm


def test_repeated_subjects_are_told() -> None:
    """Requests of one entity never suffice, so their number is no reason to wait for more of them; no bound is NaN."""
    one = observed(5_000)
    alone = replace(one, n_effective=1.0)
    said = " ".join(decide(PLAN, PLAN.stages[0], alone, alone, 1.0).reasons)
    assert "the 5,000 requests of the challenger count as 1, because" in said
    assert "nan" not in said
    assert "count as" not in " ".join(decide(PLAN, STEP, one, replace(one, n_effective=4_000.0), 1.0).reasons)


def test_what_is_no_stage_or_no_time_is_refused() -> None:
    """A stage of another plan, and hours that are negative or NaN."""
    with pytest.raises(ValueError, match="one of the plan's stages"):
        decide(PLAN, Stage("step", 7), Observed(), Observed(), 0.0)
    for hours in (-1.0, math.nan):
        with pytest.raises(ValueError, match="hours since the start"):
            decide(PLAN, STEP, Observed(), Observed(), hours)


@given(
    n=st.integers(0, 3_000),
    base=st.integers(0, 3_000),
    failed=st.floats(0, 1),
    hours=st.floats(0, 1e4),
    place=st.integers(0, len(PLAN.stages) - 1),
    n_latencies=st.integers(0, 3_000),
)
def test_too_little_never_advances(
    n: int, base: int, failed: float, hours: float, place: int, n_latencies: int
) -> None:
    """With fewer requests than the plan asks for, or without latencies, no stage is left forwards."""
    latencies = np.full(n_latencies, 20.0)
    challenger = Observed(n_requests=n, n_failures=int(failed * n), latencies_ms=latencies)
    look = decide(PLAN, PLAN.stages[place], observed(base), challenger, hours)
    assert look.outcome in {"hold", "roll_back"}  # no predictions were counted
    assert look.reasons


def test_a_doubt_ends_with_the_bake() -> None:
    """The predecessor had few requests and gets no more: no breach promotes, missing numbers do not."""
    few = observed(600, seed=3)
    look = decide(PLAN, BAKE, few, observed(8_000, seed=1), waited_hours=24.0)
    assert look.checks[0].state == "doubtful"
    assert look.outcome == "promote"
    blind = Observed(n_requests=8_000, n_failures=80)
    assert decide(PLAN, BAKE, few, blind, waited_hours=24.0).outcome == "hold"
