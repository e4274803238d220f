from __future__ import annotations

from typing import Any

import pytest

from core.errors import ConfigError
from core.release.plan import Guardrails, Plan, Stage


def test_stages_in_order() -> None:
    """Shadow, the steps below 100 %, and the bake, in which the challenger is the champion."""
    assert Plan().stages == (
        Stage("shadow", 0),
        Stage("step", 5),
        Stage("step", 25),
        Stage("step", 50),
        Stage("bake", 100),
    )
    assert Plan(shadow_requests=0, steps=(100,)).stages == (Stage("bake", 100),)


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"steps": (5, 25)}, "steps"),
        ({"steps": ()}, "steps"),
        ({"steps": (25, 5, 100)}, "steps"),
        ({"steps": (0, 100)}, "steps"),
        ({"steps": (50, 50, 100)}, "steps"),
        ({"steps": (50, 120, 100)}, "steps"),
        ({"min_requests": 0}, "min_requests"),
        ({"confidence": 1.0}, "confidence"),
        ({"confidence": float("nan")}, "confidence"),
        ({"bake_hours": -1.0}, "bake_hours"),
        ({"max_wait_hours": float("inf")}, "max_wait_hours"),
        ({"min_labels": -1}, "min_labels"),
    ],
)
def test_a_wrong_plan_is_refused(wrong: dict[str, Any], named: str) -> None:
    """With the field, what is expected, and what was found."""
    with pytest.raises(ConfigError, match=rf"release\.{named}: expected .*, found"):
        Plan(**wrong)


@pytest.mark.parametrize(
    "wrong",
    [{"error_rate": 1.0}, {"latency_ratio": 0.9}, {"prediction_psi": 0.0}, {"performance_loss": float("nan")}],
)
def test_a_limit_outside_its_range_is_refused(wrong: dict[str, float]) -> None:
    """A limit that anything or nothing would keep."""
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        Guardrails(**wrong)


def test_alpha_is_shared_by_stages_and_guardrails() -> None:
    """All false breaches together have the probability that the confidence leaves."""
    plan = Plan(guardrails=Guardrails(performance_loss=None))
    assert plan.alpha * 5 * 3 == pytest.approx(0.05)


def test_each_kind_of_stage_has_its_deadline_and_its_requests() -> None:
    """The bake's deadline is counted from its end."""
    plan = Plan(shadow_requests=40, min_requests=70, shadow_hours=2.0, max_wait_hours=10.0, bake_hours=5.0)
    assert [plan.deadline_hours(stage) for stage in plan.stages] == [2, 10, 10, 10, 15]
    assert [plan.requests_needed(stage) for stage in plan.stages] == [40, 70, 70, 70, 70]
    assert [stage.name for stage in plan.stages[:2]] == ["the shadow", "the step of 5 %"]
