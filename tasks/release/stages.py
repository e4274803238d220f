"""The stage of a running release, and the change that leads out of it."""

from __future__ import annotations

from dataclasses import dataclass

from core.release.plan import Plan, Stage
from store.releases.records import Action, ReleaseState, StageKind


@dataclass(frozen=True)
class Following:
    """The change by which a stage is left: what is done, and the state after it."""

    action: Action
    stage: StageKind
    share: int


def stage_of(state: ReleaseState) -> Stage:
    """Return the present stage of a running release.

    Raises
    ------
    ValueError
        The release is over.
    """
    stage = state.newest.stage
    if stage == "over":
        raise ValueError("expected a release that runs, found one that is over")
    return Stage(stage, state.newest.share)


def following(plan: Plan, state: ReleaseState) -> Following:
    """Return the change that leads to the stage after the present one, or to the end of the release."""
    after = plan.after(stage_of(state))
    if after is None:
        return Following("completed", "over", 100)
    return Following("promoted" if after.kind == "bake" else "advanced", after.kind, after.share)
