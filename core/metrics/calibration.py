"""Calibration: whether predicted probabilities match observed frequencies."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

from core.metrics.clusters import Clusters, design_effect, stretch
from core.metrics.metrics import Floats
from core.wilson import wilson_interval

MAX_BINS = 10
ROWS_PER_BIN = 30


@dataclass(frozen=True)
class CalibrationBin:
    """Rows of similar predicted probability.

    Parameters
    ----------
    low, high
        Smallest and largest predicted probability, 0 to 1.
    n_rows
        Number of rows.
    mean_predicted
        Mean of the predicted probabilities, 0 to 1.
    observed
        Share of the rows with the event, 0 to 1.
    observed_low, observed_high
        Wilson interval of that share.
    """

    low: float
    high: float
    n_rows: int
    mean_predicted: float
    observed: float
    observed_low: float
    observed_high: float


@dataclass(frozen=True)
class Calibration:
    """Reliability of predicted probabilities.

    Parameters
    ----------
    bins
        Bins of about equal numbers of rows, by ascending probability.
    ece
        Expected calibration error: mean difference of predicted and observed, weighted by rows, in [0, 1].
    brier
        Mean squared difference of the probability and the outcome (0 or 1), in [0, 1].
    """

    bins: tuple[CalibrationBin, ...]
    ece: float
    brier: float


@dataclass(frozen=True)
class CalibrationChange:
    """Change of the expected calibration error from a champion to a challenger, on the same rows.

    Parameters
    ----------
    champion, challenger
        Their expected calibration errors, in [0, 1].
    loss
        The challenger's error minus the champion's, in [-1, 1]: positive is worse.
    low, high
        Ends of the interval of the loss.
    champion_low
        Lower end of the interval of the champion's error; None in verdicts from before it was measured.
    event_rate
        Share of the rows with the event, see :func:`event_chance`.
    """

    champion: float
    challenger: float
    loss: float
    low: float
    high: float
    champion_low: float | None = None
    event_rate: float = 0.5

    @property
    def scale(self) -> float:
        """Scale of the bounds for the error, see :func:`event_scale`."""
        return event_scale(self.event_rate)


def event_scale(rate: float) -> float:
    """Return the standard deviation of an event, relative to that of an event with probability 0.5; 0 to 1.

    An error of 0.02 is small where the event has probability 0.5, and doubles an event with probability 0.02. So bounds
    for errors of probabilities are multiplied by this number.

    Examples
    --------
    >>> [round(event_scale(rate), 2) for rate in (0.5, 0.1, 0.01)]
    [1.0, 0.6, 0.2]
    """
    return 2 * math.sqrt(rate * (1 - rate))


def calibration(y: npt.NDArray[Any], output: Floats, confidence: float) -> Calibration | None:
    """Return the calibration of the positive class (binary) or of the most probable class (multiclass).

    Bins have about equal numbers of rows (at most 10 bins, at least 30 rows each if there are enough rows); rows of
    equal probability are in one bin. The expected calibration error is biased upwards with few rows per bin, so compare
    models only on the same holdout.

    Parameters
    ----------
    y
        Class codes, shape (n,), int64.
    output
        Predicted probabilities, shape (n, k), 0 to 1; regression: shape (n,).
    confidence
        Confidence of the bins' intervals, above 0 and below 1.

    Returns
    -------
    Calibration or None
        None for regression.

    References
    ----------
    Naeini, Cooper & Hauskrecht (2015), Obtaining well calibrated probabilities using Bayesian binning, AAAI
    (the error). Nixon et al. (2019), Measuring calibration in deep learning, CVPR workshops (bins of equal mass).
    """
    if output.ndim == 1:
        return None
    chance, event = event_chance(y, output)
    order = np.argsort(chance, kind="stable")
    chance, event = chance[order], event[order]
    starts = _bin_starts(chance)
    ends = np.append(starts[1:], len(chance))
    bins = tuple(_bin(chance[start:end], event[start:end], confidence) for start, end in zip(starts, ends, strict=True))
    ece = sum(part.n_rows * abs(part.mean_predicted - part.observed) for part in bins) / len(chance)
    return Calibration(bins, ece, float(((chance - event) ** 2).mean()))


def calibration_change(
    y: npt.NDArray[Any],
    champion: Floats,
    challenger: Floats,
    confidence: float,
    clusters: Clusters | None = None,
) -> CalibrationChange | None:
    """Return the change of the expected calibration error from champion to challenger, with its paired interval.

    Each model has its own bins, as in :func:`calibration`. A row contributes the difference of its probability and its
    outcome, with the sign of its bin's sum; the interval is the normal one of the rows' differences. If both models are
    calibrated these signs are random, and the interval is conservative: it is above zero for 1 to 2 of 100 pairs that
    are equally calibrated. The loss has the bias of :func:`calibration`.

    Parameters
    ----------
    y
        Class codes, shape (n,), int64.
    champion, challenger
        Their predicted probabilities for the rows, shape (n, k), 0 to 1.
    confidence
        Share of intervals that should cover the truth, above 0 and below 1.
    clusters
        Clusters of the rows, by which the intervals are widened; None for independent rows.

    Returns
    -------
    CalibrationChange or None
        None for regression, for fewer than 30 rows, and if a probability is not finite.
    """
    if champion.ndim == 1 or len(y) < ROWS_PER_BIN or not (np.isfinite(champion) & np.isfinite(challenger)).all():
        return None
    before, after = _shares_of_error(y, champion), _shares_of_error(y, challenger)
    loss, half = _mean_and_half(after - before, confidence, clusters)
    error, error_half = _mean_and_half(before, confidence, clusters)
    rate = float(event_chance(y, champion)[1].mean())
    return CalibrationChange(error, float(after.mean()), loss, loss - half, loss + half, error - error_half, rate)


def event_chance(y: npt.NDArray[Any], output: Floats) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Return the probability of the event, shape (n,), float64, and whether it occurred, shape (n,), bool.

    Binary: the event is the positive class. Multiclass: the event is that the most probable class is the true one.

    Parameters
    ----------
    y
        Class codes, shape (n,), int64.
    output
        Predicted probabilities, shape (n, k), 0 to 1.
    """
    if output.shape[1] == 2:
        return output[:, 1], y == 1
    return output.max(axis=1), output.argmax(axis=1) == y


def _mean_and_half(shares: Floats, confidence: float, clusters: Clusters | None) -> tuple[float, float]:
    """Return the mean of rows' shares, and half the width of its normal interval, widened by the rows' clusters."""
    half = ndtri((1 + confidence) / 2) * shares.std(ddof=1) / np.sqrt(len(shares))
    effect = design_effect(shares - shares.mean(), clusters)
    return float(shares.mean()), float(half) if effect is None else float(half) * stretch(effect, np.inf, confidence)


def _shares_of_error(y: npt.NDArray[Any], output: Floats) -> Floats:
    """Return each row's contribution to the expected calibration error, which is their mean, shape (n,)."""
    chance, event = event_chance(y, output)
    order = np.argsort(chance, kind="stable")
    distance = chance[order] - event[order]
    starts = _bin_starts(chance[order])
    signs = np.sign(np.add.reduceat(distance, starts))
    shares = np.empty(len(y))
    shares[order] = distance * np.repeat(signs, np.diff(np.append(starts, len(y))))
    return shares


def _bin_starts(rising: Floats) -> npt.NDArray[np.intp]:
    """Return the positions at which bins start, moved to the first row of equal probability."""
    n_bins = max(1, min(MAX_BINS, len(rising) // ROWS_PER_BIN))
    wanted = np.linspace(0, len(rising), n_bins, endpoint=False).astype(int)
    return np.unique(np.searchsorted(rising, rising[wanted], side="left"))


def _bin(chance: Floats, event: npt.NDArray[np.bool_], confidence: float) -> CalibrationBin:
    observed = float(event.mean())
    low, high = wilson_interval(observed, len(event), confidence)
    return CalibrationBin(float(chance[0]), float(chance[-1]), len(event), float(chance.mean()), observed, low, high)
