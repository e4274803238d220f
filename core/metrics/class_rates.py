"""How much more frequent a class has become, as a ratio of its rates.

Differences of shares do not show rare events: a fraud rate that rises from 0.59 % to 0.89 % moves by 0.3 points and has
a PSI of 0.0012, but there is half as much fraud again. The ratio of the rates has the same meaning at every base rate.

References
----------
Koopman (1984), Confidence intervals for the ratio of two binomial proportions, Biometrics 40, 513-517: the score
interval. Its ends are the ratios that the score test does not reject, so it agrees with the chi-square test that the
rates are equal, also for few events.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

from core.text import percent_text, readable, significant

Counts = npt.NDArray[np.int64]

FARTHEST = 50.0
"""Largest logarithm of a ratio in which an end is searched: 5e21."""


@dataclass(frozen=True)
class ClassRate:
    """The rate of one class in a window, beside its rate in the reference.

    Parameters
    ----------
    name
        The class.
    rate, reference
        Share of the class among the labelled rows of the window and of the reference, 0 to 1.
    ratio
        Rate by reference; None if the reference has no row of the class.
    low, high
        Ends of its interval; ``high`` is None if there is no upper end.
    confidence
        Confidence of the interval, above 0 and below 1.
    bound
        Ratio up to which a change is small, above 1; its inverse is the lower bound.
    """

    name: str
    rate: float
    reference: float
    ratio: float | None
    low: float
    high: float | None
    confidence: float
    bound: float

    @property
    def is_large(self) -> bool:
        """Whether the ratio is outside its bounds, chance aside."""
        return self.ratio is None or not 1 / self.bound <= self.ratio <= self.bound

    @property
    def sentence(self) -> str:
        """The two rates and their ratio: ``rate of yes 0.59 % -> 0.89 %, ratio 1.51 (99.5 % interval 1.3 to 1.7)``."""
        rates = f"rate of {readable(self.name, 60)} {rate_text(self.reference)} -> {rate_text(self.rate)}"
        if self.ratio is None:
            return f"{rates}, a class that the reference does not have"
        high = "no upper end" if self.high is None else f"{self.high:.3g}"
        ends = f"{percent_text(round(self.confidence, 5))} interval {self.low:.3g} to {high}"
        return f"{rates}, ratio {self.ratio:.3g} ({ends}; {_bounds_text(self.bound)} is small)"


def _bounds_text(bound: float) -> str:
    """Format both bounds with as many digits as they need to differ."""
    digits = next((n for n in range(3, 9) if f"{bound:.{n}g}" != "1"), 9)
    return f"{1 / bound:.{digits}g} to {bound:.{digits}g}"


def rate_text(rate: float) -> str:
    """Format a rate in percent with two significant digits or more.

    Examples
    --------
    >>> rate_text(0.00593), rate_text(0.1234), rate_text(0.0)
    ('0.59 %', '12.3 %', '0 %')
    """
    return f"{significant(100 * rate, 2 if rate < 0.1 else 3)} %"


def class_rate(
    levels: Sequence[str],
    reference: Counts,
    current: Counts,
    *,
    bound: float,
    confidence: float,
    design: float = 1.0,
) -> ClassRate:
    """Return the rate of the class whose rate changed most clearly.

    Most clearly is by the score statistic of the class against all others, so that a class of few rows is not chosen
    for a large ratio that may be chance. A class with more than half of the reference is not chosen: its rate changes
    because those of the others do, and by a ratio near 1.

    Parameters
    ----------
    levels
        Names of the classes.
    reference, current
        Labelled rows per class, shape (n_classes,) or with further bins, int64; each side has at least one row.
    bound
        Ratio up to which a change is small, above 1.
    confidence
        Confidence of the interval, above 0 and below 1.
    design
        Design effect of clustered rows, at least 1: the interval is that of as many fewer rows and events (Rao & Scott
        1992, A simple method for the analysis of clustered binary data, Biometrics 48, 577-585).
    """
    n, m = int(reference.sum()), int(current.sum())
    counts = zip(reference[: len(levels)].tolist(), current[: len(levels)].tolist(), strict=True)
    clearness = [_score(1.0, now, m, before, n) if 2 * before <= n else -1.0 for before, now in counts]
    place = int(np.argmax(clearness))
    before, now = int(reference[place]), int(current[place])
    low, high = ratio_interval(now / design, m / design, before / design, n / design, confidence)
    ratio = (now / m) / (before / n) if before else None
    return ClassRate(levels[place], now / m, before / n, ratio, low, high, confidence, bound)


def ratio_interval(
    now: float, n_now: float, before: float, n_before: float, confidence: float
) -> tuple[float, float | None]:
    """Return Koopman's score interval of the ratio of two rates.

    Parameters
    ----------
    now, n_now
        Events and rows of the first rate; n_now above 0.
    before, n_before
        Events and rows of the second rate; n_before above 0.
    confidence
        Share of intervals that should cover the true ratio, above 0 and below 1.

    Returns
    -------
    low, high
        At least 0; high is None where the second rate has no event.

    Examples
    --------
    >>> low, high = ratio_interval(30, 1_000, 15, 1_000, 0.95)
    >>> round(low, 3), round(high, 3)
    (1.094, 3.662)
    """
    critical = float(ndtri((1 + confidence) / 2)) ** 2

    def beyond(log_ratio: float) -> float:
        return _score(math.exp(log_ratio), now, n_now, before, n_before) - critical

    centre = math.log((now + 0.5 * (not now)) / n_now) - math.log((before + 0.5 * (not before)) / n_before)
    # At 0 or infinite ratios the statistic is at most the critical value towards that side: there is no end.
    low = math.exp(_root(beyond, centre - FARTHEST, centre)) if now and beyond(centre) < 0 else 0.0
    high = math.exp(_root(beyond, centre + FARTHEST, centre)) if before and beyond(centre) < 0 else None
    return low, high


def _root(function: Callable[[float], float], above: float, below: float) -> float:
    """Return where a function changes its sign, by bisection to the last digit.

    SciPy has faster ones; importing :mod:`scipy.optimize` for four roots takes longer than a window's decision.
    """
    if function(above) < 0:
        raise ValueError(f"expected a value of at least 0 at {above:g}, where the ratio is out of every bound")
    middle = (above + below) / 2
    while middle not in (above, below):
        above, below = (middle, below) if function(middle) >= 0 else (above, middle)
        middle = (above + below) / 2
    return middle


def _score(ratio: float, x: float, m: float, y: float, n: float) -> float:
    """Return the score statistic of ``x / m`` being ``ratio`` times ``y / n``: chi-square, one degree of freedom."""
    if not x + y:
        return 0.0
    b = ratio * (m + y) + x + n
    # The smaller root, written so that rare events do not cancel: the other root times it is ratio (x + y) / (m + n).
    p = 2 * ratio * (x + y) / (b + math.sqrt(max(b * b - 4 * ratio * (m + n) * (x + y), 0.0)))
    return _squared(x, m, min(p, 1.0)) + _squared(y, n, min(p / ratio, 1.0))


def _squared(events: float, rows: float, rate: float) -> float:
    distance = events - rows * rate
    return distance**2 / (rows * rate * (1 - rate)) if 0 < rate < 1 else math.inf if round(distance, 6) else 0.0
