"""The plan of a release: its stages, its guardrails, and how the error probability is shared among them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from typing import Literal

from core.errors import ConfigError

StageKind = Literal["shadow", "step", "bake"]
AtDeadline = Literal["roll_back", "wait"]


@dataclass(frozen=True, kw_only=True)
class Guardrails:
    """How much harm a challenger may do; None does not watch it. Reasons: docs/decisions/release.md.

    Parameters
    ----------
    error_rate
        Largest rise of the share of failed requests over the champion's, at least 0 and below 1: 0.01 is one point.
    latency_ratio
        Largest ratio of the challenger's latency quantiles to the champion's, at least 1.
    prediction_psi
        Largest PSI between the predictions of the two, above 0.
    performance_loss
        Largest loss of the gate's metric on labelled rows, in units of the metric, at least 0.

    Raises
    ------
    ConfigError
        A limit is outside its range.
    """

    error_rate: float | None = 0.01
    latency_ratio: float | None = 1.5
    prediction_psi: float | None = 0.1
    performance_loss: float | None = 0.01

    def __post_init__(self) -> None:
        _require(_is_in(self.error_rate, 0.0, 1.0), "guardrails.error_rate", "0 to below 1", self.error_rate)
        _require(
            _is_in(self.latency_ratio, 1.0, math.inf), "guardrails.latency_ratio", "at least 1", self.latency_ratio
        )
        psi = self.prediction_psi
        _require(_is_in(psi, 0.0, math.inf) and psi != 0, "guardrails.prediction_psi", "above 0", psi)
        loss = self.performance_loss
        _require(_is_in(loss, 0.0, math.inf), "guardrails.performance_loss", "at least 0", loss)

    @property
    def n_watched(self) -> int:
        """Number of guardrails that are watched, 0 to 4."""
        return sum(getattr(self, one.name) is not None for one in fields(self))


@dataclass(frozen=True)
class Stage:
    """One stage of a release.

    Parameters
    ----------
    kind
        ``shadow``: the challenger answers copies. ``step``: it answers its share. ``bake``: it is the champion now, and
        is compared with what its predecessor did in the last stage in which it answered.
    share
        Percent of the requests that the challenger answers: 0 in the shadow, 100 in the bake.
    """

    kind: StageKind
    share: int

    @property
    def name(self) -> str:
        """The stage in words."""
        return {"shadow": "the shadow", "step": f"the step of {self.share} %", "bake": "the bake"}[self.kind]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The plan of a release.

    Parameters
    ----------
    steps
        Percents of the requests that the challenger answers, one after the other, rising to 100.
    min_requests
        Fewest requests of the challenger before a step or the bake is left.
    max_wait_hours
        Hours after which a step that is not left meets its deadline; in the bake, hours after its end.
    shadow_requests
        Fewest requests of the challenger before the shadow is left; 0 leaves the shadow out.
    shadow_hours
        Hours after which the shadow meets its deadline.
    bake_hours
        Hours in which a breach still returns to the predecessor.
    at_deadline
        What a look does at the deadline: ``roll_back``, or ``wait`` on and say so.
    min_labels
        Fewest labelled rows of the challenger in each stage that is left; with 0 the performance can stop a release,
        but a release does not wait for it.
    confidence
        One less the probability that a challenger as good as the champion is rolled back over all stages, looks and
        guardrails; each bound that lets a stage be left holds with it too. Above 0.5 and below 1.
    guardrails
        The limits of harm.
    metric
        The gate's metric, for the performance; None does not watch it.

    Raises
    ------
    ConfigError
        A value is outside its range, or the steps do not rise to 100.
    """

    steps: tuple[int, ...] = (5, 25, 50, 100)
    min_requests: int = 500
    max_wait_hours: float = 72.0
    shadow_requests: int = 500
    shadow_hours: float = 72.0
    bake_hours: float = 24.0
    at_deadline: AtDeadline = "roll_back"
    min_labels: int = 0
    confidence: float = 0.95
    guardrails: Guardrails = field(default_factory=Guardrails)
    metric: str | None = None

    def __post_init__(self) -> None:
        rising = all(low < high for low, high in zip((0, *self.steps), self.steps, strict=False))
        _require(rising and self.steps[-1:] == (100,), "steps", "whole percents that rise to 100", self.steps)
        _require(self.min_requests >= 1, "min_requests", "at least 1", self.min_requests)
        _require(self.shadow_requests >= 0, "shadow_requests", "at least 0", self.shadow_requests)
        _require(self.min_labels >= 0, "min_labels", "at least 0", self.min_labels)
        _require(0.5 < self.confidence < 1, "confidence", "above 0.5 and below 1", self.confidence)
        for name in ("max_wait_hours", "shadow_hours", "bake_hours"):
            hours = getattr(self, name)
            _require(math.isfinite(hours) and hours >= 0, name, "at least 0 hours", hours)

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The stages in order: the shadow if there is one, the steps below 100 %, the bake."""
        shadow = (Stage("shadow", 0),) if self.shadow_requests else ()
        return (*shadow, *(Stage("step", share) for share in self.steps[:-1]), Stage("bake", 100))

    def after(self, stage: Stage) -> Stage | None:
        """Return the stage after one of the plan's; None after the last one."""
        later = self.stages[self.stages.index(stage) + 1 :]
        return later[0] if later else None

    @property
    def alpha(self) -> float:
        """Probability of a false breach of one guardrail in one stage: an equal share of the release's."""
        return (1 - self.confidence) / (len(self.stages) * max(self.guardrails.n_watched, 1))

    def deadline_hours(self, stage: Stage) -> float:
        """Hours after the start of a stage at which it meets its deadline."""
        bake = self.bake_hours if stage.kind == "bake" else 0.0
        return self.shadow_hours if stage.kind == "shadow" else bake + self.max_wait_hours

    def requests_needed(self, stage: Stage) -> int:
        """Fewest requests of the challenger before a stage is left."""
        return self.shadow_requests if stage.kind == "shadow" else self.min_requests


def _is_in(value: float | None, low: float, below: float) -> bool:
    return value is None or low <= value < below


def _require(holds: bool, name: str, expected: str, found: object) -> None:
    if not holds:
        raise ConfigError(f"release.{name}: expected {expected}, found {found}")
