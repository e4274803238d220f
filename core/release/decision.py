"""The decision after a look at a release: advance, hold, roll back, or promote."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from core.release.checks import Check, State, error_rate_check, latency_check, performance_check, predictions_check
from core.release.observed import Observed
from core.release.plan import Plan, Stage, StageKind
from core.text import counted, number, significant

Outcome = Literal["advance", "hold", "roll_back", "promote"]

TOLD_EFFECT = 3.0
"""Design effect of repeated subjects from which a hold says so: it needs three times as many requests."""

_KEPT: dict[StageKind, tuple[State, ...]] = {"shadow": ("ok",), "step": ("ok",), "bake": ("ok", "doubtful")}
"""States with which a stage is left. In the bake the predecessor answers no more, so that a doubt about its numbers
would never end; every guardrail was shown to be kept in the steps before."""


@dataclass(frozen=True)
class Look:
    """What one look at a release decides.

    Parameters
    ----------
    outcome
        ``advance`` to the next stage, ``hold``, ``roll_back`` to the champion, or ``promote``: the release is complete.
    checks
        The guardrails that are watched; empty if the breaker tripped.
    reasons
        Sentences for people: why, and what a hold waits for.
    is_harm
        Whether harm was shown: a guardrail is breached, or the breaker tripped. Otherwise a rollback is for a deadline.
    """

    outcome: Outcome
    checks: tuple[Check, ...]
    reasons: tuple[str, ...]
    is_harm: bool = False


def decide(
    plan: Plan,
    stage: Stage,
    champion: Observed,
    challenger: Observed,
    waited_hours: float,
    tripped: str | None = None,
) -> Look:
    """Decide about a release from what both variants did in the present stage.

    A tripped breaker and any breach roll back. A stage is left when the challenger had enough requests, every required
    check is ok, and, in the bake, its hours are over. Anything else holds until the deadline: no data or missing
    numbers never advance or promote, and a doubtful check does not advance. In the bake a doubtful check does not keep
    from promoting, because the predecessor answers no more. A look changes nothing, so it may be repeated.

    Parameters
    ----------
    plan
        The plan of the release.
    stage
        The present stage, one of the plan's.
    champion, challenger
        What the two did from the start of the stage on; in the bake, ``champion`` is what the predecessor did in the
        last stage in which it answered.
    waited_hours
        Hours since the start of the stage without those in which it was paused, at least 0.
    tripped
        Why the service's breaker stopped asking the challenger; None if it did not.

    Raises
    ------
    ValueError
        The stage is not one of the plan's, or the hours are negative or NaN.
    """
    if stage not in plan.stages:
        raise ValueError(f"expected one of the plan's stages {plan.stages}, found {stage}")
    if not waited_hours >= 0:
        raise ValueError(f"expected hours since the start of the stage, at least 0, found {waited_hours}")
    if tripped is not None:
        return Look("roll_back", (), (f"the service stopped asking the challenger in {stage.name}: {tripped}",), True)
    checks = _checks(plan, stage, champion, challenger)
    breaches = tuple(check.sentence for check in checks if check.state == "breached")
    if breaches:
        return Look("roll_back", checks, (f"a guardrail is breached in {stage.name}", *breaches), is_harm=True)
    waits = tuple(_waits(plan, stage, challenger, checks, waited_hours))
    if not waits:
        return _left(plan, stage, checks, challenger)
    repeated = tuple(_repeated(("challenger", challenger), ("champion", champion)))
    return _held(plan, stage, checks, waits, repeated, waited_hours)


def _checks(plan: Plan, stage: Stage, champion: Observed, challenger: Observed) -> tuple[Check, ...]:
    found = (
        error_rate_check(plan, stage, champion, challenger),
        latency_check(plan, champion, challenger),
        predictions_check(plan, champion, challenger),
        performance_check(plan, stage, champion, challenger),
    )
    return tuple(check for check in found if check is not None)


def _waits(
    plan: Plan, stage: Stage, challenger: Observed, checks: Sequence[Check], waited_hours: float
) -> Iterator[str]:
    needed, had = plan.requests_needed(stage), challenger.n_requests
    if had < needed:
        yield f"{counted(needed - had, 'more request')} of the challenger: {had:,} of {needed:,}"
    if stage.kind == "bake" and waited_hours < plan.bake_hours:
        yield f"the bake's end: {_hours(waited_hours)} of {_hours(plan.bake_hours)}"
    for check in checks:
        if check.required and check.state not in _KEPT[stage.kind]:
            yield _wait(check)


def _wait(check: Check) -> str:
    if check.needs is None:
        return check.sentence
    return f"{check.sentence}; needs about {_more(check)}"


def _more(check: Check) -> str:
    noun = "labelled row" if check.name == "performance" else "request"
    needs = check.needs or 0
    return counted(needs, f"more {noun}") if needs < 100 else f"{significant(_rounded(needs), 2)} more {noun}s"


def _rounded(needs: int) -> float:
    digits = len(str(needs)) - 2
    return float(math.ceil(needs / 10**digits) * 10**digits)


def _left(plan: Plan, stage: Stage, checks: tuple[Check, ...], challenger: Observed) -> Look:
    done = f"{counted(challenger.n_requests, 'request')} of the challenger in {stage.name}, no guardrail is breached"
    outcome: Outcome = "promote" if stage == plan.stages[-1] else "advance"
    return Look(outcome, checks, (done, *(check.sentence for check in checks)))


def _repeated(*sides: tuple[str, Observed]) -> Iterator[str]:
    """Say it where repeated subjects make requests count for little: more of the same would not help."""
    for who, one in sides:
        if one.effect >= TOLD_EFFECT:
            independent = significant(one.n_requests / one.effect, 2)
            yield (
                f"the {one.n_requests:,} requests of the {who} count as {independent}, because they are of few "
                "subjects, again and again: requests with other keys are needed"
            )


def _held(
    plan: Plan,
    stage: Stage,
    checks: tuple[Check, ...],
    waits: tuple[str, ...],
    repeated: tuple[str, ...],
    waited_hours: float,
) -> Look:
    deadline = plan.deadline_hours(stage)
    if waited_hours < deadline:
        left = f"deadline of {stage.name} in {_hours(deadline - waited_hours)}"
        return Look("hold", checks, (*(f"waits for {wait}" for wait in waits), *repeated, left))
    met = f"{stage.name} met its deadline of {_hours(deadline)} without enough evidence"
    missed = (*(f"missing: {wait}" for wait in waits), *repeated)
    if plan.at_deadline == "roll_back":
        return Look("roll_back", checks, (met, *missed))
    return Look("hold", checks, (f"{met}; the plan says wait", *missed))


def _hours(hours: float) -> str:
    return f"{number(round(hours, 1))} h"
