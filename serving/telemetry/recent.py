"""Request counts, error shares and latencies of the last minute, over all workers.

Every worker reads the totals of all workers at the same times and remembers them for a minute. So each worker returns
the same numbers, without asking another worker.
"""

from __future__ import annotations

import asyncio
import logging
import math
import struct
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from prometheus_client import Metric
    from prometheus_client.samples import Sample

_logger = logging.getLogger("perennial.live")

SAMPLE_SECONDS = 5.0
"""Interval of the remembered readings; numbers over a shorter time are not returned."""

WINDOW_SECONDS = 60.0
FRESH_SECONDS = 1.0
"""Age up to which a reading is reused: with many clients, the files are still read only once a second."""

NO_MODEL = ""
"""Model label of requests that were answered before a model was called."""

_Key = TypeVar("_Key")

_ROUTE = "predict"
_REQUESTS, _DURATION, _LOG_UP = (
    "perennial_requests_total",
    "perennial_request_duration_seconds_bucket",
    "perennial_log_up",
)


@dataclass(frozen=True)
class Totals:
    """Counters since the service started.

    Parameters
    ----------
    at
        Time of the reading, in seconds of the clock.
    codes
        Prediction requests per model and status code, over all versions of the model.
    durations
        Prediction requests per model and upper edge in seconds; cumulative, as in the Prometheus text format.
    log_up
        Whether every worker can write the prediction log.
    """

    at: float
    codes: Mapping[str, Mapping[str, float]]
    durations: Mapping[str, Mapping[float, float]]
    log_up: bool = True


@dataclass(frozen=True)
class Rates:
    """Requests to a model within a window.

    Parameters
    ----------
    requests, per_second
        Answered requests, successful or not: their number and rate.
    client_errors, server_errors
        Shares of requests answered with 4xx and with 5xx, 0 to 1; None without requests.
    p50, p99
        Median and 99th percentile of the duration in seconds, see :func:`bucket_quantile`; None without requests.
    codes
        Requests by status code, without zeros.
    """

    requests: int
    per_second: float
    client_errors: float | None
    server_errors: float | None
    p50: float | None
    p99: float | None
    codes: Mapping[str, int]


@dataclass(frozen=True)
class Window:
    """The last minute, or a shorter time after the worker's start.

    Parameters
    ----------
    seconds
        Its length.
    rates
        Rates by model; requests that no model answered are under :data:`NO_MODEL`.
    log_up
        Whether every worker could write the prediction log at the end of the window.
    """

    seconds: float
    rates: Mapping[str, Rates]
    log_up: bool

    def of(self, model: str) -> Rates:
        """Return the rates of a model; zero requests for a model that was never called."""
        return self.rates.get(model) or _rates({}, {}, self.seconds)


class Live:
    """Remembers the totals of the last minute.

    Parameters
    ----------
    collect
        Returns the metrics of all workers.
    clock
        Seconds; the same in all processes of the machine.
    """

    def __init__(self, collect: Callable[[], Iterable[Metric]], clock: Callable[[], float] = time.monotonic) -> None:
        self._collect = collect
        self._clock = clock
        # A window ends between two readings, so one reading more than fits into it is kept.
        self._remembered: deque[Totals] = deque(maxlen=round(WINDOW_SECONDS / SAMPLE_SECONDS) + 1)
        self._newest: Totals | None = None

    async def follow(self) -> None:
        """Read and remember the totals, now and at every full interval of the clock, until cancelled."""
        while True:
            await asyncio.to_thread(self.sample)
            await asyncio.sleep(SAMPLE_SECONDS - self._clock() % SAMPLE_SECONDS)

    def sample(self) -> None:
        """Read and remember the totals."""
        if (found := self._read()) is not None:
            self._remembered.append(found)

    def window(self) -> Window | None:
        """Return the window up to now; None if the observed time is too short."""
        newest = self._newest
        if newest is None or self._clock() - newest.at >= FRESH_SECONDS:
            newest = self._read()
        if newest is None or not self._remembered:
            return None
        return window_between(self._remembered[0], newest)

    def _read(self) -> Totals | None:
        try:
            self._newest = read_totals(self._collect(), self._clock())
        except (OSError, ValueError, RuntimeError, struct.error) as error:
            # Another worker is just creating its file, or the folder was removed: the next reading may succeed.
            _logger.warning("the workers' metrics cannot be read: %s", error)
            return None
        return self._newest


def read_totals(families: Iterable[Metric], at: float) -> Totals:
    """Return the totals in metrics, summed over the versions of each model.

    Parameters
    ----------
    families
        Metric families as prometheus_client collects them, of one process or of all.
    at
        Time of the reading, in seconds of the clock.
    """
    codes: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    durations: dict[str, dict[float, float]] = defaultdict(lambda: defaultdict(float))
    log_up = True
    for sample in (sample for family in families for sample in family.samples):
        labels = sample.labels
        if sample.name == _LOG_UP:
            log_up = sample.value > 0
        elif labels.get("route") == _ROUTE:
            _add(sample, codes[labels["model"]], durations[labels["model"]])
    return Totals(at, codes, durations, log_up)


def _add(sample: Sample, codes: dict[str, float], durations: dict[float, float]) -> None:
    if sample.name == _REQUESTS:
        codes[sample.labels["code"]] += sample.value
    elif sample.name == _DURATION:
        durations[float(sample.labels["le"])] += sample.value


def window_between(older: Totals, newer: Totals) -> Window | None:
    """Return the window between two readings; None if they are less than :data:`SAMPLE_SECONDS` apart."""
    seconds = newer.at - older.at
    if seconds < SAMPLE_SECONDS:
        return None
    rates = {
        model: _rates(
            _grown(older.codes.get(model, {}), codes),
            _grown(older.durations.get(model, {}), newer.durations.get(model, {})),
            seconds,
        )
        for model, codes in newer.codes.items()
    }
    return Window(seconds, rates, newer.log_up)


def _grown(older: Mapping[_Key, float], newer: Mapping[_Key, float]) -> dict[_Key, int]:
    # Totals shrink when a new service started in the same folder while this worker drains.
    return {key: max(0, round(value - older.get(key, 0.0))) for key, value in newer.items()}


def _rates(codes: Mapping[str, int], durations: Mapping[float, int], seconds: float) -> Rates:
    n = sum(codes.values())
    edges = sorted(durations)
    counts = [durations[edge] for edge in edges]
    return Rates(
        requests=n,
        per_second=n / seconds,
        client_errors=_share(codes, "4", n),
        server_errors=_share(codes, "5", n),
        p50=bucket_quantile(0.5, edges, counts),
        p99=bucket_quantile(0.99, edges, counts),
        codes={code: count for code, count in sorted(codes.items()) if count},
    )


def _share(codes: Mapping[str, int], first_digit: str, n: int) -> float | None:
    return sum(count for code, count in codes.items() if code.startswith(first_digit)) / n if n else None


def bucket_quantile(share: float, edges: Sequence[float], counts: Sequence[float]) -> float | None:
    """Estimate a quantile from the buckets of a histogram.

    Values are assumed to be spread evenly within a bucket. For a quantile above the last finite edge, that edge is
    returned.

    Parameters
    ----------
    share
        Between 0 and 1, both exclusive.
    edges
        Upper edges of the buckets, ascending and positive; the last is infinite.
    counts
        Number of values up to each edge, so ascending too.

    Returns
    -------
    float or None
        None if there are no values.

    References
    ----------
    ``histogram_quantile`` of Prometheus, https://prometheus.io/docs/prometheus/latest/querying/functions/

    Examples
    --------
    >>> bucket_quantile(0.5, [0.1, 0.2, math.inf], [10, 30, 30])
    0.125
    >>> bucket_quantile(0.5, [0.1, 0.2, math.inf], [0, 0, 8])
    0.2
    """
    if not counts or not counts[-1]:
        return None
    rank = share * counts[-1]
    starts = pairwise([0.0, *edges])
    below = 0.0
    for (start, edge), count in zip(starts, counts, strict=True):
        if count >= rank:
            return start if math.isinf(edge) else start + (edge - start) * (rank - below) / (count - below)
        below = count
    return None
