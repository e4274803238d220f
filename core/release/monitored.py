"""What a variant did by the metrics of a monitoring system: counters and buckets to :class:`Observed`.

It is approximate: latencies are interpolated in their buckets, and a counter's increase is extrapolated to the stage.
What is missing or NaN stays missing, so that the check that needs it is unknown, and nothing advances.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from core.metrics.metrics import Floats
from core.release.observed import Observed

Counts = npt.NDArray[np.int64]

MOST_REQUESTS = 10_000_000
"""Requests that are held as an array; of more, all counts are scaled down, which is less evidence and no other rate."""

MOST_BEYOND = 0.005
"""Share of requests beyond the last finite edge: with more, p99.5, the highest watched quantile, is not known."""

BEYOND = 10.0
"""Latency of the challenger beyond the last finite edge, in multiples of it; the champion's is the edge."""

_GOOD = re.compile(r"[1-4]\d\d")


def requests_and_failures(by_code: Mapping[str, float]) -> tuple[int, int]:
    """Return numbers of requests and failures; a failure is any code but 1xx to 4xx, also one that is no code.

    Parameters
    ----------
    by_code
        Requests by HTTP status code; a NaN makes all of them unknown, which are none.

    Examples
    --------
    >>> requests_and_failures({"200": 99.7, "404": 3.0, "503": 1.2, "0": 1.0})
    (105, 3)
    >>> requests_and_failures({"200": float("nan"), "500": 1.0})
    (0, 0)
    """
    if not all(math.isfinite(count) and count >= 0 for count in by_code.values()):
        return 0, 0
    failures = math.ceil(sum(count for code, count in by_code.items() if not _GOOD.fullmatch(code)))
    good = math.floor(sum(count for code, count in by_code.items() if _GOOD.fullmatch(code)) + 0.5)
    return good + failures, failures


def latencies_ms(buckets: Mapping[str, float], n: int, to_ms: float, beyond: float) -> Floats:
    """Return latencies as a histogram has them: evenly within each bucket, as ``histogram_quantile`` interpolates.

    Parameters
    ----------
    buckets
        Cumulative counts by upper edge, one of them ``+Inf``.
    n
        Number of latencies to return, at least 0.
    to_ms
        Milliseconds in a unit of the edges.
    beyond
        What a latency beyond the last finite edge is taken for, in multiples of that edge, at least 1.

    Returns
    -------
    Floats
        Milliseconds, ascending, shape (n,), float64; all NaN if more than ``MOST_BEYOND`` are beyond the last finite
        edge, or the counts are no histogram; shape (0,) without buckets or counts.

    Examples
    --------
    >>> latencies_ms({"0.1": 2, "0.2": 4, "+Inf": 4}, 4, 1000, 1).tolist()
    [25.0, 75.0, 125.0, 175.0]
    """
    parsed = sorted((_edge(text), count) for text, count in buckets.items())
    edges = np.array([edge for edge, _ in parsed], dtype=np.float64)
    counts = np.array([count for _, count in parsed], dtype=np.float64)
    if not n or not len(counts) or counts[-1] == 0:
        return np.empty(0, dtype=np.float64)
    total = counts[-1]
    is_histogram = np.isfinite(counts).all() and len(counts) > 1 and edges[-1] == np.inf and not np.isnan(edges).any()
    if not is_histogram or total - counts[-2] > MOST_BEYOND * total:
        return np.full(n, np.nan)
    # The increases of buckets are extrapolated one by one, so that one may be above the next.
    shares = np.concatenate(([0.0], np.minimum.accumulate(counts[:-1][::-1])[::-1] / total))
    finite = np.concatenate(([0.0], edges[:-1]))
    places = (np.arange(n) + 0.5) / n
    found = np.interp(places, shares, finite)
    found[places > shares[-1]] = finite[-1] * beyond
    return found * to_ms


def prediction_counts(by_bin: Mapping[str, float], bins: Sequence[str]) -> Counts:
    """Return counts of predictions by bin of the champion's reference.

    Parameters
    ----------
    by_bin
        Counts by name of the bin: its upper edge, or the class.
    bins
        Names of the reference's bins, in order, shape (b,).

    Returns
    -------
    Counts
        Shape (b,), int64; shape (0,) if a count is NaN or a bin is none of the reference's: the two versions are
        counted in different bins then, and cannot be compared.

    Examples
    --------
    >>> prediction_counts({"0.5": 10.2, "+Inf": 3.0}, ["0.25", "0.5", "+Inf"]).tolist()
    [0, 10, 3]
    >>> prediction_counts({"0.4": 10.2}, ["0.25", "0.5", "+Inf"]).tolist()
    []
    """
    places = {_bin(name): place for place, name in enumerate(bins)}
    counts = np.zeros(len(bins), dtype=np.int64)
    for name, count in by_bin.items():
        place = places.get(_bin(name))
        if place is None or not math.isfinite(count):
            return np.empty(0, dtype=np.int64)
        counts[place] += round(count)
    return counts


def observed(
    by_code: Mapping[str, float],
    buckets: Mapping[str, float],
    by_bin: Mapping[str, float],
    bins: Sequence[str],
    *,
    to_ms: float,
    beyond: float,
) -> Observed:
    """Return what a variant did.

    Parameters
    ----------
    by_code
        Requests by status code, see :func:`requests_and_failures`.
    buckets, to_ms, beyond
        The histogram of latencies, see :func:`latencies_ms`. It has failed requests too.
    by_bin, bins
        The predictions, see :func:`prediction_counts`.
    """
    n, failures = requests_and_failures(by_code)
    scale = min(1.0, MOST_REQUESTS / max(n, 1))
    n, failures = math.floor(n * scale), math.ceil(failures * scale)
    return Observed(
        n_requests=n,
        n_failures=failures,
        latencies_ms=latencies_ms(buckets, n, to_ms, beyond),
        predictions=prediction_counts(by_bin, bins),
    )


def _edge(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _bin(name: str) -> str:
    """Return the name of a bin such that the same edge has the same: 0.10 and 1e-1."""
    edge = _edge(name)
    return name if math.isnan(edge) else f"{edge:.6g}"
