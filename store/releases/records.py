"""What the operational database holds of a release."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal

from core.release import plan
from store.champions import Champion

StageKind = Literal[plan.StageKind, "over"]
"""A stage of the plan, or ``over``."""
Action = Literal[
    "started",
    "advanced",
    "paused",
    "resumed",
    "promoted",
    "completed",
    "rolled_back",
    "aborted",
    "superseded",
]
StartKind = Literal["gate", "approval", "manual"]

ENTERING: frozenset[Action] = frozenset({"started", "advanced", "promoted"})
"""Actions that begin a stage."""

RETURNING: frozenset[Action] = frozenset({"rolled_back", "aborted"})
"""Actions that end a release without the version; while it bakes, they return to the version before."""

EXPECTING: frozenset[Action] = frozenset({"advanced", "completed"})
"""Actions that are only right while the champion is the one that the release expects."""


@dataclass(frozen=True)
class Release:
    """A release as it was started.

    Parameters
    ----------
    model, number
        Name of the model; 1, 2, … of its releases.
    version, manifest
        The version that is released, and the SHA-256 of its bundle's manifest.
    champion, champion_sequence
        Version that it is compared with, and that champion's entry in the history.
    plan
        The section ``release`` of the model file, as JSON.
    salt
        Text that the requests of a share are drawn with, see :func:`core.release.routing.goes_to_challenger`.
    kind
        What started it: the gate, a person's approval, or a person's command.
    reason, actor
        Why it was started, and by whom.
    started_at
        Time with time zone.
    """

    model: str
    number: int
    version: int
    manifest: str
    champion: int
    champion_sequence: int
    plan: str
    salt: str
    kind: StartKind
    reason: str
    actor: str
    started_at: datetime


@dataclass(frozen=True)
class Step:
    """A change of a release's state.

    Parameters
    ----------
    model, number, sequence
        The release, and 1, 2, … of its changes without gaps.
    stage, share
        State from then on: the stage, and the percentage of requests that the version answers; 0 in the shadow.
    action
        What was done.
    reason, actor
        Why, and by whom.
    document
        JSON text of the look that it follows from; empty if a person did it.
    at
        Time with time zone; never before that of the preceding change.
    """

    model: str
    number: int
    sequence: int
    stage: StageKind
    share: int
    action: Action
    reason: str
    actor: str
    document: str
    at: datetime

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as values that JSON can hold, the time in ISO 8601."""
        look = json.loads(self.document) if self.document else None
        return {**asdict(self), "at": self.at.isoformat(), "document": look}


@dataclass(frozen=True)
class ReleaseState:
    """A release and all changes of its state, oldest first; there is at least one."""

    release: Release
    steps: tuple[Step, ...]

    @property
    def newest(self) -> Step:
        """The newest change, which is the state."""
        return self.steps[-1]

    @property
    def is_over(self) -> bool:
        """Whether the release has ended."""
        return self.newest.stage == "over"

    @property
    def is_paused(self) -> bool:
        """Whether a person stopped it from moving on, and did not resume it yet."""
        return not self.is_over and _is_paused(self.steps)

    def hours_in_stage(self, now: datetime) -> float:
        """Return the hours from the beginning of the present stage to a time, without those in which it was paused."""
        entered = self.entered
        within = [step for step in self.steps if step.sequence > entered.sequence]
        paused = _is_paused(self.steps[: entered.sequence])
        seconds, since = 0.0, entered.at
        for step in within:
            if step.action not in ("paused", "resumed"):
                continue
            seconds += 0.0 if paused else (step.at - since).total_seconds()
            paused, since = step.action == "paused", step.at
        seconds += 0.0 if paused else (now - since).total_seconds()
        return max(0.0, seconds / 3600)

    @property
    def entered(self) -> Step:
        """The change by which the present stage began; of an ended release, the last stage."""
        return next(step for step in reversed(self.steps) if step.action in ENTERING)

    @property
    def before(self) -> Step | None:
        """The change by which the stage before the present one began; None in the first."""
        present = self.entered
        earlier = [step for step in self.steps if step.action in ENTERING and step.sequence < present.sequence]
        return earlier[-1] if earlier else None

    @property
    def champion_sequence(self) -> int:
        """Entry of the champion that the release expects: its own version's from the promotion on."""
        return self.release.champion_sequence + self.is_promoted

    @property
    def is_promoted(self) -> bool:
        """Whether the release made its version champion."""
        return any(step.action == "promoted" for step in self.steps)

    def expects(self, champion: Champion | None) -> bool:
        """Return whether the champion is the one that the release expects."""
        return champion is not None and champion.sequence == self.champion_sequence


def _is_paused(steps: tuple[Step, ...]) -> bool:
    said = [step.action for step in steps if step.action in ("paused", "resumed")]
    return said[-1:] == ["paused"]


@dataclass(frozen=True)
class Trip:
    """A service stopped asking a version on its own.

    Parameters
    ----------
    model, number
        The release.
    instance
        Identifies the service.
    kind
        ``breaker``: the version failed too often; ``load``: its bundle cannot be loaded.
    reason
        A sentence.
    at
        Time with time zone.
    """

    model: str
    number: int
    instance: str
    kind: Literal["breaker", "load"]
    reason: str
    at: datetime


@dataclass(frozen=True)
class RecordedLook:
    """The newest look in a stage: how many there were, its document as JSON text, and its time."""

    looks: int
    document: str
    at: datetime
