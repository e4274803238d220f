"""Results of flows: done, or refused with reasons. Errors are raised instead."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

TrainStatus = Literal["promoted", "releasing", "waiting", "recorded", "refused", "undecided", "unchanged", "registered"]
TrainStage = Literal["validation", "leakage", "registry", "gate"]


@dataclass(frozen=True)
class ScoreBand:
    """Rows whose scores are alike, or whose predicted class is the same.

    Parameters
    ----------
    name
        The range of the scores, or the class.
    n_rows, n_labelled
        Served rows, at least 1, and those of them with a label.
    """

    name: str
    n_rows: int
    n_labelled: int

    @property
    def share(self) -> float:
        """Labelled share of the rows, 0 to 1."""
        return self.n_labelled / self.n_rows


@dataclass(frozen=True)
class LabelSelection:
    """How evenly labels cover the scores.

    Parameters
    ----------
    bands
        All bands, in order of the score.
    lowest
        Name of the band whose lower coverage is the most certain.
    ratio, upper
        Its labelled share as a ratio to that of all other rows, at least 0, and the upper bound of that ratio.
    bound
        ``labels.min_band_ratio`` of the model file.
    """

    bands: tuple[ScoreBand, ...]
    lowest: str
    ratio: float
    upper: float
    bound: float

    @property
    def is_selected(self) -> bool:
        """Whether the rows with labels are a selected sample beyond chance and the bound."""
        return self.upper < self.bound


@dataclass(frozen=True)
class IngestOutcome:
    """Result of the flow ``ingest``.

    Parameters
    ----------
    model
        Name of the model.
    accepted
        False if the validation refused the rows.
    data_version
        The data version that contains the rows; None if refused.
    batch
        Name of the batch that contains the rows; None if refused.
    is_new
        Whether this run wrote the batch.
    n_rows, n_quarantined
        Number of rows read, and number of rows set aside.
    reasons
        Sentences for people.
    links
        Paths of pages by title.
    n_new, n_known, n_replaced
        Of the rows that were not set aside: rows that are new, rows that earlier batches hold already, and rows that
        replace an older row of their key.
    n_gone
        Rows of earlier batches of the source that it no longer holds; they stay in the data.
    selection
        For served rows: how evenly labels cover the scores; None where it cannot be told.
    served
        Of the served rows that were ingested beside those of the source; None if there were none to ingest.
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
    n_new: int = 0
    n_known: int = 0
    n_replaced: int = 0
    n_gone: int = 0
    selection: LabelSelection | None = None
    served: IngestOutcome | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as values that JSON can hold."""
        return asdict(self)


@dataclass(frozen=True)
class TrainOutcome:
    """Result of the flow ``train``.

    Parameters
    ----------
    model
        Name of the model.
    status
        Result of the training::

            promoted    the version is the champion now
            releasing   the gate decided to promote; a release gives the version its traffic step by step
            waiting     the gate decided to promote; its mode is manual: a person approves or rejects
            recorded    the gate decided to promote; its mode is dry_run: the champion does not change
            refused     the validation, a leakage check or the gate refused
            undecided   the gate had not enough evidence to decide
            unchanged   the same run was registered and judged before
            registered  the version is registered, but not judged yet

    stage
        What decided; ``registry`` if the version was registered or found there.
    reasons
        Sentences for people.
    data_version
        The data version trained on; None if the validation refused the rows.
    version, run_id, alias
        Version, run and alias in MLflow's registry; None if nothing was registered.
    metrics
        ``value``, ``low`` and ``high`` on the holdout, by name of the metric.
    links
        Addresses or paths of pages by title.
    decision
        The gate's decision: ``promote``, ``keep`` or ``undecided``; None if the gate did not judge the version.
    champion
        The champion's version after the run; None if there is none.
    notes
        Remarks on the rows of the training, such as repeated ones; they decide nothing.
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
    notes: tuple[str, ...] = ()

    @property
    def refused(self) -> bool:
        """Whether a decision was negative or undecided; a repeat gives the decision on record."""
        repeated = self.status == "unchanged" and self.decision in {"keep", "undecided"}
        return repeated or self.status in {"refused", "undecided"}

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as values that JSON can hold."""
        return asdict(self)
