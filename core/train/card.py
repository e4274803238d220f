"""The facts of a model card, collected from the values of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from config.schema import ModelConfig
from core.metrics.evaluation import Evaluation
from core.references import Lineage
from core.text import counted
from core.train.portfolio import Choice

SMALL_SLICE = 100
MUCH_MISSING = 0.3
POOR_CALIBRATION = 0.05


@dataclass(frozen=True)
class ColumnFacts:
    """Facts about one feature in the training rows.

    Parameters
    ----------
    name, kind
        Name and kind in the model file.
    missing
        Share of training rows without a value, 0 to 1.
    importance
        Loss of the gate's metric when the column is permuted, in units of the metric; None if it was not measured.
    """

    name: str
    kind: str
    missing: float
    importance: float | None


@dataclass(frozen=True)
class DataFacts:
    """Facts about the rows of a training.

    Parameters
    ----------
    n_rows
        Number of labelled rows of the snapshot.
    n_train, n_holdout
        Number of rows on each side of the split.
    n_unlabelled, n_superseded, n_duplicates_removed
        Number of rows left out: without a target, replaced by a later row of the same key, and removed from the holdout
        because a training row has the same features.
    rule
        How the holdout was split off, as a sentence.
    n_repeated
        Number of labelled rows that equal an earlier one in every column; they are kept.
    first, last
        Earliest and latest time of the rows; None without a time column.
    target
        Number of rows by class; regression: mean, standard deviation, minimum and maximum of the target.
    columns
        The features, the most important first.
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
    n_repeated: int = 0

    @property
    def repetition(self) -> str | None:
        """Sentence about repeated rows; None if there are none."""
        if not self.n_repeated:
            return None
        return (
            f"of {counted(self.n_rows, 'row')}, {self.n_rows - self.n_repeated:,} are distinct: "
            f"{self.n_repeated:,} equal an earlier row in every column, and each counts as often as it is stored"
        )


@dataclass(frozen=True)
class CardFacts:
    """All inputs of a model card, except the gate's verdict, which is decided after the card is written.

    Parameters
    ----------
    config
        The model file.
    lineage
        What the model was trained from.
    data
        Facts about the rows.
    evaluation
        Measurements on the holdout.
    params
        Parameters of the estimator.
    cv_scores
        Scores of cross-validation by metric, one per fold; empty without cross-validation.
    validation, leakage
        Sentences of the validation and of the leakage checks.
    onnx
        Sentence about the export to ONNX.
    choice
        The candidates and which was chosen; None if one estimator is configured.
    """

    config: ModelConfig
    lineage: Lineage
    data: DataFacts
    evaluation: Evaluation
    params: Mapping[str, Any]
    cv_scores: Mapping[str, Sequence[float]]
    validation: Sequence[str]
    leakage: Sequence[str]
    onnx: str
    choice: Choice | None = None

    @property
    def limits(self) -> list[str]:
        """Sentences about limits of the model, each derived from a fact."""
        return [*_data_limits(self.data), *_score_limits(self.evaluation), *_slice_limits(self.evaluation)]


def _data_limits(data: DataFacts) -> list[str]:
    limits = []
    if data.last is not None:
        limits.append(f"It was trained on rows up to {data.last}; later changes are unknown to it.")
    if data.repetition is not None:
        limits.append(f"It was trained on repeated rows: {data.repetition}.")
    sparse = [column.name for column in data.columns if column.missing > MUCH_MISSING]
    if sparse:
        limits.append(f"More than {MUCH_MISSING:.0%} of the training rows have no value in: {', '.join(sparse)}.")
    return limits


def _score_limits(evaluation: Evaluation) -> list[str]:
    calibration = evaluation.calibration
    if calibration is None or calibration.ece <= POOR_CALIBRATION:
        return []
    return [
        f"Its probabilities differ from observed frequencies by {calibration.ece:.3f} on average (expected calibration "
        "error); do not use them as frequencies."
    ]


def _slice_limits(evaluation: Evaluation) -> list[str]:
    small = [f"{part.column} = {part.level}" for part in evaluation.slices if part.n_rows < SMALL_SLICE]
    limits = []
    if small:
        limits.append(f"Fewer than {SMALL_SLICE} holdout rows are in: {', '.join(small)}.")
    overall = evaluation.metrics[evaluation.metric]
    for part in evaluation.slices:
        estimate = part.metrics.get(evaluation.metric)
        if estimate is None or None in (estimate.low, estimate.high, overall.low, overall.high):
            continue
        if estimate.high < overall.low or estimate.low > overall.high:  # type: ignore[operator] # not None: above
            limits.append(
                f"{evaluation.metric} on {part.column} = {part.level} is {estimate.value:.3f}, "
                f"and {overall.value:.3f} overall; the intervals do not overlap."
            )
    return limits
