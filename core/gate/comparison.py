"""Champion and challenger on the same rows: the gain, the gain on every slice, and the change of calibration.

Slices are multiple tests: among ten slices that are no worse, at least one looks worse at the 5 % level with
probability 0.4. Holm's step-down procedure keeps the probability of any false alarm at the level of a single test.

Repeated looks at the same rows are multiple tests too: a model retrained every night against one champion will one
night be better by chance. The k-th look spends 1/k² of the first look's error probability; the shares add up to π²/6,
so the probability of any false promotion is at most 1.645 times that of a single look, for any number of looks.

References
----------
Holm (1979), A simple sequentially rejective multiple test procedure, Scandinavian Journal of Statistics 6, 65-70.
Foster & Stine (2008), Alpha-investing: a procedure for sequential control of expected false discoveries, Journal of the
Royal Statistical Society B 70, 429-444 (how to spend an error probability over a sequence of tests).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt
import pandas as pd

from config.schema import ModelConfig
from core.metrics.bootstrap import MIN_ROWS
from core.metrics.calibration import CalibrationChange, calibration_change
from core.metrics.clusters import Clusters
from core.metrics.metrics import METRICS, Floats
from core.metrics.paired import Difference, p_worse, paired_differences, paired_gain
from core.metrics.slices import Slice, slice_rows


@dataclass(frozen=True)
class SliceGain:
    """The gain on one part of the rows.

    Parameters
    ----------
    column, level
        As in :class:`core.metrics.slices.Slice`.
    n_rows
        Rows of the slice.
    difference
        None where the slice is too small to be compared.
    p_value
        Probability of a gain as low as this one if the challenger is exactly ``gate.slice_margin`` worse; None where
        the slice has too few rows to estimate its noise.
    worse
        Whether the challenger is significantly worse here, corrected for the number of slices.
    note
        Why there is no p-value, as text; empty where there is one.
    """

    column: str
    level: str
    n_rows: int
    difference: Difference | None
    p_value: float | None
    worse: bool
    note: str = ""


@dataclass(frozen=True)
class Comparison:
    """All measured differences between challenger and champion.

    Parameters
    ----------
    metric
        The gate's metric.
    n_rows
        Rows both were scored on.
    difference
        Over all rows, its interval at ``confidence``.
    slices
        Slices by column in the model file's order, then levels by size.
    calibration
        None for a regression.
    confidence
        Confidence of the interval of ``difference``: the gate's, corrected for repeated looks.
    looks
        This look (1) plus, for each earlier look of the champion's tenure, the share of these rows that it also used.
    probabilities
        Gain in the Brier score, a proper score of the probabilities as a whole, its interval at the gate's confidence;
        None for a regression, and in verdicts from before it was measured.
    """

    metric: str
    n_rows: int
    difference: Difference
    slices: tuple[SliceGain, ...]
    calibration: CalibrationChange | None
    confidence: float
    looks: float = 1.0
    probabilities: Difference | None = None


def compare(
    y: npt.NDArray[Any],
    champion: Floats,
    challenger: Floats,
    frame: pd.DataFrame,
    config: ModelConfig,
    *,
    looks: float = 1.0,
    clusters: Clusters | None = None,
) -> Comparison:
    """Compare two models' outputs on rows that neither has trained on.

    Parameters
    ----------
    y
        Encoded target, shape (n,).
    champion, challenger
        Probabilities (n, k) of the same classes, or values (n,).
    frame
        The same rows, with the columns of ``config.evaluation.slices``.
    config
        Metric, slices and statistics; the same configuration gives the same intervals.
    looks
        See :class:`Comparison`; at least 1.
    clusters
        Clusters of the rows; None for independent rows.
    """
    gate = config.gate
    confidence = corrected_confidence(gate.confidence, looks)
    differences = paired_differences(
        y,
        champion,
        {"challenger": challenger},
        gate.metric,
        resamples=gate.resamples,
        confidence=confidence,
        seed=config.training.seed,
        clusters=clusters,
    )
    return Comparison(
        metric=gate.metric,
        n_rows=len(y),
        difference=differences["challenger"],
        slices=tuple(_slice_gains(y, champion, challenger, frame, config, clusters or Clusters())),
        calibration=calibration_change(y, champion, challenger, gate.confidence, clusters),
        confidence=confidence,
        looks=looks,
        probabilities=(
            paired_gain(y, champion, challenger, "brier", gate.confidence, clusters) if champion.ndim == 2 else None
        ),
    )


def corrected_confidence(confidence: float, looks: float) -> float:
    """Confidence of the interval at the k-th look: the error probability is divided by k².

    Examples
    --------
    >>> corrected_confidence(0.95, 1), round(corrected_confidence(0.95, 5), 4)
    (0.95, 0.998)
    """
    return confidence if looks <= 1 else 1 - (1 - confidence) / looks**2


def holm(p_values: Sequence[float | None], level: float) -> tuple[bool, ...]:
    """Return which hypotheses are rejected, with a family-wise error rate of at most ``level``.

    A hypothesis without a p-value is not tested, is not rejected and does not count towards the correction.

    Examples
    --------
    >>> holm([0.02, 0.012, None, 0.3], 0.05)
    (True, True, False, False)

    References
    ----------
    Holm (1979), A simple sequentially rejective multiple test procedure, Scandinavian Journal of Statistics 6, 65-70.
    """
    tested = sorted((p, place) for place, p in enumerate(p_values) if p is not None)
    fallen: set[int] = set()
    for rank, (p, place) in enumerate(tested):
        if p > level / (len(tested) - rank):
            break
        fallen.add(place)
    return tuple(place in fallen for place in range(len(p_values)))


def _slice_gains(
    y: npt.NDArray[Any],
    champion: Floats,
    challenger: Floats,
    frame: pd.DataFrame,
    config: ModelConfig,
    clusters: Clusters,
) -> Iterator[SliceGain]:
    gate, parts = config.gate, list(slice_rows(frame, config.evaluation.slices))
    gains = [
        paired_gain(
            y[part.rows],
            champion[part.rows],
            challenger[part.rows],
            gate.metric,
            gate.confidence,
            clusters.take(part.rows),
        )
        for part in parts
    ]
    p_values = [p_worse(y[part.rows], gain, gate.slice_margin) for part, gain in zip(parts, gains, strict=True)]
    for part, gain, p_value, worse in zip(parts, gains, p_values, holm(p_values, 1 - gate.confidence), strict=True):
        yield SliceGain(part.column, part.level, len(part.rows), gain, p_value, worse, _note(part, gain, p_value))


def _note(part: Slice, gain: Difference, p_value: float | None) -> str:
    if p_value is not None:
        return ""
    if len(part.rows) < MIN_ROWS:
        return f"fewer than {MIN_ROWS} rows: not judged"
    if gain.gain is None:
        return f"{METRICS[gain.metric].label} is not defined on these rows: not judged"
    return "too few rows of one class to estimate the noise: not judged"
