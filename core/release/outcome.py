"""Result of the flow ``release``: what one look at a release did."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

ReleaseStatus = Literal["none", "held", "paused", "advanced", "promoted", "completed", "rolled_back", "superseded"]


@dataclass(frozen=True)
class ReleaseOutcome:
    """Result of one look at a model's release.

    Parameters
    ----------
    model
        Name of the model.
    status
        What the look did; ``none`` if no release runs.
    reasons
        Sentences for people.
    number, version
        The release and its version; None if no release runs.
    stage, share
        State after the look.
    checks
        The guardrails by the look, see :class:`core.release.checks.Check`.
    next_version
        Version whose release was started because this one ended; None if none waited.
    """

    model: str
    status: ReleaseStatus
    reasons: tuple[str, ...]
    number: int | None = None
    version: int | None = None
    stage: str | None = None
    share: int | None = None
    checks: tuple[dict[str, Any], ...] = field(default=())
    next_version: int | None = None

    @property
    def refused(self) -> bool:
        """Whether the release ended without its version."""
        return self.status == "rolled_back"

    @property
    def moved_champion(self) -> bool:
        """Whether MLflow's aliases may have to follow."""
        return self.status in {"promoted", "completed", "rolled_back", "superseded"}

    @property
    def is_over(self) -> bool:
        """Whether no release of the model runs, so that a waiting version may start."""
        return self.status in {"none", "completed", "rolled_back", "superseded"}

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as values that JSON can hold."""
        return asdict(self)
