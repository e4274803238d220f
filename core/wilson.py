"""The score interval of a share."""

from __future__ import annotations

import numpy as np
from scipy.special import ndtri


def wilson_interval(share: float, n: int, confidence: float) -> tuple[float, float]:
    """Return the score interval of a share of n independent trials.

    Parameters
    ----------
    share
        Observed share, 0 to 1.
    n
        Number of trials, at least 1.
    confidence
        Confidence of the interval, above 0 and below 1.

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
    # The interval contains the share except for rounding at 0 and 1, and a figure needs the point inside its interval.
    return min(share, max(0.0, float(centre - half))), max(share, min(1.0, float(centre + half)))
