"""Whether predicted probabilities still are as high as what comes true.

Ranking is blind to it: where five times as many rows come true as before, an AUC can rise while every probability is
far too low.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

from core.metrics.calibration import event_chance
from core.metrics.metrics import Floats
from core.text import percent_text

NEEDED_ROWS = 200
"""Rows from which the mean of a rare event is nearly normal."""


@dataclass(frozen=True)
class PredictionBias:
    """Mean of what came true beside the mean of what was predicted, of the positive class or of the most probable one.

    Parameters
    ----------
    observed, predicted
        Shares, 0 to 1.
    low, high
        Ends of the interval of observed minus predicted.
    reference
        The same difference on the holdout.
    tolerated
        By how much the difference may be larger than on the holdout.
    harmed
        Whether it is larger by more than that and beyond chance; None where the rows are too few to tell.
    n_rows
        Labelled rows.
    reason
        One sentence for people.
    """

    observed: float
    predicted: float
    low: float
    high: float
    reference: float
    tolerated: float
    harmed: bool | None
    n_rows: int
    reason: str


def prediction_bias(
    y: npt.NDArray[Any], output: Floats, reference: float, *, tolerated: float, confidence: float
) -> PredictionBias | None:
    """Compare predicted probabilities with what came true; None for numbers and without rows.

    Parameters
    ----------
    y
        Class codes, shape (n,).
    output
        Probabilities (n, k).
    reference
        From :func:`reference_bias`.
    tolerated
        At least 0.
    confidence
        Of the interval.
    """
    if output.ndim == 1 or not len(y):
        return None
    chance, event = event_chance(y, output)
    # Without bias the spread is that of the chances; with it, that of the rows. The larger one is the safe one.
    spread = max(float((chance * (1 - chance)).mean()), float((event - chance).var()))
    half = float(ndtri((1 + confidence) / 2)) * float(np.sqrt(spread / len(y)))
    observed, predicted = float(event.mean()), float(chance.mean())
    bias, allowed = observed - predicted, abs(reference) + tolerated
    enough = len(y) >= NEEDED_ROWS
    harmed = abs(bias) > allowed and abs(bias) - half > abs(reference) if enough else None
    return PredictionBias(
        observed=observed,
        predicted=predicted,
        low=bias - half,
        high=bias + half,
        reference=reference,
        tolerated=tolerated,
        harmed=harmed,
        n_rows=len(y),
        reason=(
            f"{observed:.1%} came true where {predicted:.1%} were predicted, on {len(y):,} labelled rows "
            f"({percent_text(confidence)} interval of the difference {bias - half:+.1%} to {bias + half:+.1%}); "
            f"it was {reference:+.1%} on the holdout, and {tolerated:.1%} more are tolerated"
        ),
    )


def reference_bias(evaluation: Mapping[str, Any]) -> float | None:
    """Difference of observed and predicted on the holdout, from the bins that an evaluation's document keeps.

    Returns
    -------
    float or None
        None for numbers.
    """
    calibration = evaluation.get("calibration")
    if calibration is None:
        return None
    bins = calibration["bins"]
    n_rows = sum(part["n_rows"] for part in bins)
    return float(sum(part["n_rows"] * (part["observed"] - part["mean_predicted"]) for part in bins) / n_rows)
