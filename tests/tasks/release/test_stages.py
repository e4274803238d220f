"""A stage is left for the next one of the plan, and the last one for the end."""

from __future__ import annotations

from dataclasses import replace

import pytest

from core.release.plan import Plan, Stage
from store.releases.records import ReleaseState, StageKind, Step
from tasks.release.stages import Following, following, stage_of
from tests.store.releases.samples import AT, release_of

PLAN = Plan(steps=(5, 50, 100))


def state(stage: StageKind, share: int) -> ReleaseState:
    """Return a release in a stage."""
    release = replace(release_of("credit"), number=1)
    return ReleaseState(release, (Step("credit", 1, 1, stage, share, "started", "why", "ann", "", AT),))


@pytest.mark.parametrize(
    ("stage", "share", "expected"),
    [
        ("shadow", 0, Following("advanced", "step", 5)),
        ("step", 5, Following("advanced", "step", 50)),
        ("step", 50, Following("promoted", "bake", 100)),
        ("bake", 100, Following("completed", "over", 100)),
    ],
)
def test_what_follows(stage: StageKind, share: int, expected: Following) -> None:
    """Before the bake the version becomes champion."""
    assert following(PLAN, state(stage, share)) == expected


def test_an_ended_release_has_no_stage() -> None:
    """A caller that asks has not looked."""
    assert stage_of(state("step", 5)) == Stage("step", 5)
    with pytest.raises(ValueError, match="over"):
        stage_of(state("over", 0))
