"""Whether predicted probabilities still match the observed frequency of events.

Ranking metrics do not show this: if events become five times as frequent, an AUC can rise although every probability is
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
from core.metrics.clusters import Clusters, design_effect, stretch
from core.metrics.metrics import Floats
from core.text import percent_text

NEEDED_ROWS = 200
"""Minimum rows for the frequency of a rare event to be nearly normal."""


@dataclass(frozen=True)
class PredictionBias:
    """Observed frequency and mean predicted probability of the positive class (binary) or of the most probable class.

    Parameters
    ----------
    observed, predicted
        Observed frequency and mean probability, 0 to 1.
    low, high
        Ends of the interval of observed minus predicted, -1 to 1.
    reference
        Observed minus predicted on the holdout, -1 to 1.
    tolerated
        By how much the difference may be larger than on the holdout, 0 to 1.
    harmed
        Whether the difference is larger by more than that and beyond chance; None if there are too few rows.
    n_rows
        Number of labelled rows.
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
    y: npt.NDArray[Any],
    output: Floats,
    reference: float,
    *,
    tolerated: float,
    confidence: float,
    clusters: Clusters | None = None,
) -> PredictionBias | None:
    """Compare predicted probabilities with the observed frequency; None for regression and without rows.

    Parameters
    ----------
    y
        Class codes, shape (n,), int64.
    output
        Predicted probabilities, shape (n, k), 0 to 1; regression: shape (n,).
    reference
        Observed minus predicted on the holdout, from :func:`reference_bias`.
    tolerated
        By how much the difference may be larger than on the holdout, at least 0.
    confidence
        Confidence of the interval, above 0 and below 1.
    clusters
        Clusters of the rows, by which the interval is widened; None for independent rows.
    """
    if output.ndim == 1 or not len(y):
        return None
    chance, event = event_chance(y, output)
    # Without bias the variance is that of the probabilities; with it, that of the rows. The larger is conservative.
    spread = max(float((chance * (1 - chance)).mean()), float((event - chance).var()))
    effect = design_effect(event - chance - float((event - chance).mean()), clusters)
    widening = 1.0 if effect is None else stretch(effect, np.inf, confidence)
    half = widening * float(ndtri((1 + confidence) / 2)) * float(np.sqrt(spread / len(y)))
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
            f"observed frequency {observed:.1%}, mean probability {predicted:.1%} on {len(y):,} labelled rows "
            f"({percent_text(confidence)} interval of the difference {bias - half:+.1%} to {bias + half:+.1%}); "
            f"the difference was {reference:+.1%} on the holdout, and {tolerated:.1%} more is tolerated"
        ),
    )


def reference_bias(evaluation: Mapping[str, Any]) -> float | None:
    """Return observed minus predicted on the holdout, from the calibration bins in an evaluation's document.

    Returns
    -------
    float or None
        -1 to 1; None for regression.
    """
    calibration = evaluation.get("calibration")
    if calibration is None:
        return None
    bins = calibration["bins"]
    n_rows = sum(part["n_rows"] for part in bins)
    return float(sum(part["n_rows"] * (part["observed"] - part["mean_predicted"]) for part in bins) / n_rows)
