"""The facts a model card states: gathered from a run's values, nothing typed by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from config.schema import ModelConfig
from core.metrics.evaluation import Evaluation
from core.references import Lineage

SMALL_SLICE = 100
MUCH_MISSING = 0.3
POOR_CALIBRATION = 0.05


@dataclass(frozen=True)
class ColumnFacts:
    """One feature as the training rows show it.

    Parameters
    ----------
    name, kind
        As the model file declares them.
    missing
        Share of training rows without a value, 0 to 1.
    importance
        Loss of the gate's metric when the column is permuted; None where it was not measured.
    """

    name: str
    kind: str
    missing: float
    importance: float | None


@dataclass(frozen=True)
class DataFacts:
    """The rows behind a model.

    Parameters
    ----------
    n_rows
        Labelled rows of the snapshot.
    n_train, n_holdout
        After the split.
    n_unlabelled, n_superseded, n_duplicates_removed
        Rows left out: without a target, replaced by a later row of the same key, in the holdout but equal to a
        training row.
    rule
        How the holdout was cut, in words.
    first, last
        Period of the rows; None without a time column.
    target
        Class: rows; or mean, standard deviation, min and max of a regression target.
    columns
        The features, most important first.
    """

    n_rows: int
    n_train: int
    n_holdout: int
    n_unlabelled: int
    n_superseded: int
    n_duplicates_removed: int
    rule: str
    first: str | None
    last: str | None
    target: Mapping[str, float]
    columns: Sequence[ColumnFacts]


@dataclass(frozen=True)
class CardFacts:
    """Everything a model card is rendered from, but the gate's verdict: that falls after the card is made."""

    config: ModelConfig
    lineage: Lineage
    data: DataFacts
    evaluation: Evaluation
    params: Mapping[str, Any]
    cv_scores: Mapping[str, Sequence[float]]
    validation: Sequence[str]
    leakage: Sequence[str]
    onnx: str

    @property
    def limits(self) -> list[str]:
        """Sentences that warn a user of the model, each derived from a fact."""
        return [*_data_limits(self.data), *_score_limits(self.evaluation), *_slice_limits(self.evaluation)]


def _data_limits(data: DataFacts) -> list[str]:
    limits = []
    if data.last is not None:
        limits.append(f"It has seen rows up to {data.last}; what changed later is unknown to it.")
    sparse = [column.name for column in data.columns if column.missing > MUCH_MISSING]
    if sparse:
        limits.append(f"More than {MUCH_MISSING:.0%} of the training rows have no value in: {', '.join(sparse)}.")
    return limits


def _score_limits(evaluation: Evaluation) -> list[str]:
    calibration = evaluation.calibration
    if calibration is None or calibration.ece <= POOR_CALIBRATION:
        return []
    return [
        f"Its probabilities are off by {calibration.ece:.3f} on average (expected calibration error); "
        "do not read them as frequencies."
    ]


def _slice_limits(evaluation: Evaluation) -> list[str]:
    small = [f"{part.column} = {part.level}" for part in evaluation.slices if part.n_rows < SMALL_SLICE]
    limits = []
    if small:
        limits.append(f"Fewer than {SMALL_SLICE} holdout rows stand behind: {', '.join(small)}.")
    overall = evaluation.metrics[evaluation.metric]
    for part in evaluation.slices:
        estimate = part.metrics.get(evaluation.metric)
        if estimate is None or None in (estimate.low, estimate.high, overall.low, overall.high):
            continue
        if estimate.high < overall.low or estimate.low > overall.high:  # type: ignore[operator] # not None: above
            limits.append(
                f"{evaluation.metric} on {part.column} = {part.level} is {estimate.value:.3f}, "
                f"clearly apart from {overall.value:.3f} overall."
            )
    return limits
