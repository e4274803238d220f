"""What a flow answers: done or a *no* with reasons. Errors are raised; these are values."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

TrainStatus = Literal["promoted", "waiting", "recorded", "refused", "undecided", "unchanged", "registered"]
TrainStage = Literal["validation", "leakage", "registry", "gate"]


@dataclass(frozen=True)
class IngestOutcome:
    """Answer of the flow ``ingest``.

    Parameters
    ----------
    model
        Name of the model.
    accepted
        False when the validation refused the rows.
    data_version
        The version that holds the rows; None when refused.
    batch
        Name of the batch the rows are in; None when refused.
    is_new
        Whether this run wrote the batch.
    n_rows, n_quarantined
        Rows read and rows set aside.
    reasons
        Sentences for people.
    links
        Title: path of what there is to look at.
    """

    model: str
    accepted: bool
    data_version: str | None
    batch: str | None
    is_new: bool
    n_rows: int
    n_quarantined: int
    reasons: tuple[str, ...] = ()
    links: dict[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Content that JSON can hold."""
        return asdict(self)


@dataclass(frozen=True)
class TrainOutcome:
    """Answer of the flow ``train``.

    Parameters
    ----------
    model
        Name of the model.
    status
        What the training led to::

            promoted    the version is champion now
            waiting     the gate says yes, the model's mode is manual: a person approves or rejects
            recorded    the gate says yes, the model's mode is dry_run: nothing moves
            refused     validation, the leakage checks or the gate said no
            undecided   the gate could not tell
            unchanged   the same run was registered and judged before
            registered  the version is registered and not judged yet

    stage
        What decided it; ``registry`` where the version was registered or found there.
    reasons
        Sentences for people.
    data_version
        Trained on; None when validation refused the rows.
    version, run_id, alias
        In MLflow's registry; None when nothing was registered.
    metrics
        Name: value, low, high on the holdout.
    links
        Title: address or path of what there is to look at.
    decision
        The gate's: ``promote``, ``keep`` or ``undecided``; None where it was not asked.
    champion
        The version that is champion after the run; None where there is none.
    """

    model: str
    status: TrainStatus
    stage: TrainStage
    reasons: tuple[str, ...]
    data_version: str | None = None
    version: int | None = None
    run_id: str | None = None
    alias: str | None = None
    metrics: dict[str, dict[str, float | None]] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    decision: Literal["promote", "keep", "undecided"] | None = None
    champion: int | None = None

    @property
    def refused(self) -> bool:
        """Whether a decision was negative or undecided; a repeat gives the decision on record."""
        repeated = self.status == "unchanged" and self.decision in {"keep", "undecided"}
        return repeated or self.status in {"refused", "undecided"}

    def to_dict(self) -> dict[str, Any]:
        """Content that JSON can hold."""
        return asdict(self)
