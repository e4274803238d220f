"""Whether predicted probabilities are as often right as they say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

from core.metrics.metrics import Floats

MAX_BINS = 10
ROWS_PER_BIN = 30


@dataclass(frozen=True)
class CalibrationBin:
    """Rows of similar predicted probability.

    Parameters
    ----------
    low, high
        Smallest and largest probability predicted for them.
    n_rows
        How many they are.
    mean_predicted
        Mean of their predicted probabilities.
    observed
        Share of them for which the event came true.
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
        By rising probability, of about equal numbers of rows.
    ece
        Expected calibration error: mean distance of predicted and observed, weighted by rows, in [0, 1].
    brier
        Mean squared distance of the probability and what came true (0 or 1), in [0, 1].
    """

    bins: tuple[CalibrationBin, ...]
    ece: float
    brier: float


@dataclass(frozen=True)
class CalibrationChange:
    """How much less a challenger's probabilities can be trusted than a champion's, on the same rows.

    Parameters
    ----------
    champion, challenger
        Their expected calibration errors, in [0, 1].
    loss
        The challenger's error minus the champion's: positive is worse.
    low, high
        Ends of the loss's interval.
    """

    champion: float
    challenger: float
    loss: float
    low: float
    high: float


def calibration(y: npt.NDArray[Any], output: Floats, confidence: float) -> Calibration | None:
    """Calibration of the positive class (binary) or of the most probable class (multiclass); None for numbers.

    Bins hold about equal numbers of rows (at most 10 bins, at least 30 rows each where there are as many); rows of
    equal probability share a bin. The expected calibration error is biased upwards where bins hold few rows: compare
    models on the same holdout only.

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
    y: npt.NDArray[Any], champion: Floats, challenger: Floats, confidence: float
) -> CalibrationChange | None:
    """Change of the expected calibration error from champion to challenger, with its paired interval.

    Each model keeps its own bins, as in :func:`calibration`. A row adds to the error the distance of its probability
    and what came true, with the sign of its bin's sum; the interval is the normal one of the rows' differences. Where
    both models are calibrated those signs are chance, and the interval is too wide rather than too narrow: it is
    above zero for 1 to 2 of 100 pairs that are calibrated alike. It holds the loss as these bins measure it, with the
    bias of :func:`calibration`.

    Parameters
    ----------
    y
        Class codes, shape (n,).
    champion, challenger
        Their outputs on the rows: probabilities (n, k).
    confidence
        Share of intervals that are to cover the truth, between 0 and 1.

    Returns
    -------
    CalibrationChange or None
        None for numbers, for fewer than 30 rows and where a probability is not finite.
    """
    if champion.ndim == 1 or len(y) < ROWS_PER_BIN or not (np.isfinite(champion) & np.isfinite(challenger)).all():
        return None
    before, after = _shares_of_error(y, champion), _shares_of_error(y, challenger)
    loss = float((after - before).mean())
    half = float(ndtri((1 + confidence) / 2) * (after - before).std(ddof=1) / np.sqrt(len(y)))
    return CalibrationChange(float(before.mean()), float(after.mean()), loss, loss - half, loss + half)


def event_chance(y: npt.NDArray[Any], output: Floats) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Probability of the event and whether it came true.

    The event of a binary task is the positive class, of a multiclass task that the most probable class is right.
    """
    if output.shape[1] == 2:
        return output[:, 1], y == 1
    return output.max(axis=1), output.argmax(axis=1) == y


def wilson_interval(share: float, n: int, confidence: float) -> tuple[float, float]:
    """Score interval of a share of n independent trials.

    Examples
    --------
    >>> [round(end, 4) for end in wilson_interval(0.0, 10, 0.95)]
    [0.0, 0.2775]

    References
    ----------
    Wilson (1927), Probable inference, the law of succession, and statistical inference, JASA 22, 209-212.
    """
    squared = float(ndtri((1 + confidence) / 2)) ** 2
    centre = (share + squared / (2 * n)) / (1 + squared / n)
    half = np.sqrt(squared * (share * (1 - share) / n + squared / (4 * n**2))) / (1 + squared / n)
    # It holds the share, but for rounding where that is 0 or 1; a figure would not draw an interval beside its point.
    return min(share, max(0.0, float(centre - half))), max(share, min(1.0, float(centre + half)))


def _shares_of_error(y: npt.NDArray[Any], output: Floats) -> Floats:
    """Share of each row in the expected calibration error, which is their mean."""
    chance, event = event_chance(y, output)
    order = np.argsort(chance, kind="stable")
    distance = chance[order] - event[order]
    starts = _bin_starts(chance[order])
    signs = np.sign(np.add.reduceat(distance, starts))
    shares = np.empty(len(y))
    shares[order] = distance * np.repeat(signs, np.diff(np.append(starts, len(y))))
    return shares


def _bin_starts(rising: Floats) -> npt.NDArray[np.intp]:
    """Positions where bins begin, moved down to the first row of an equal probability."""
    n_bins = max(1, min(MAX_BINS, len(rising) // ROWS_PER_BIN))
    wanted = np.linspace(0, len(rising), n_bins, endpoint=False).astype(int)
    return np.unique(np.searchsorted(rising, rising[wanted], side="left"))


def _bin(chance: Floats, event: npt.NDArray[np.bool_], confidence: float) -> CalibrationBin:
    observed = float(event.mean())
    low, high = wilson_interval(observed, len(event), confidence)
    return CalibrationBin(float(chance[0]), float(chance[-1]), len(event), float(chance.mean()), observed, low, high)
