"""Measure the latency of single rows, in turns with the reference model."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from core.gate.latency import Latency, Timings, latency

N_TIMED = 200
MAX_TIMED_SECONDS = 30.0
"""Maximum wall time of one measurement, of model and reference together."""

ROUNDS = 3
PAUSE_SECONDS = 1.0
"""Measurements at most, and the pause between two, if the machine is busy: a short load has passed by then."""

REFERENCE_MS = (0.2, 20.0)
"""Bounds of the time of the reference in one turn; between them it takes as long as the model, so that a load hits both
equally often."""

Call = Callable[[], object]


def timed_latency(predict: Callable[[int], object], reference: Call, max_latency_ms: float) -> Latency:
    """Measure a model's latency; on a busy machine, again after a pause, up to three times.

    Parameters
    ----------
    predict
        Predicts one row; its argument is the number of the prediction.
    reference
        Predicts once with the reference model.
    max_latency_ms
        Bound of the 95th percentile of the wall time, in milliseconds.
    """
    found = latency(timings(predict, reference), max_latency_ms)
    for _ in range(ROUNDS - 1):
        if found.speed != "unknown":
            break
        time.sleep(PAUSE_SECONDS)
        found = latency(timings(predict, reference), max_latency_ms)
    return found


def timings(predict: Callable[[int], object], reference: Call) -> Timings:
    """Measure up to 200 predictions, each followed by the reference; stop early for a model that is far too slow."""
    reference()
    turns: list[tuple[float, float, float, float]] = []
    shortest, usual, ends = np.inf, _clocked(reference)[0], time.perf_counter() + MAX_TIMED_SECONDS
    while not turns or (len(turns) < N_TIMED and time.perf_counter() < ends):
        place = len(turns)
        model = _clocked(lambda place=place: predict(place))  # type: ignore[misc] # mypy infers no type of a lambda with defaults
        shortest = min(shortest, model[0])
        calls = max(1, round(float(np.clip(shortest, *REFERENCE_MS)) / usual))
        wall, cpu = _clocked(lambda calls=calls: [reference() for _ in range(calls)])  # type: ignore[misc] # as above
        usual = min(usual, wall / calls)
        turns.append((*model, wall / calls, cpu / calls))
    return Timings(*np.array(turns).T)


def _clocked(call: Call) -> tuple[float, float]:
    """Return the wall time and the calling thread's CPU time of a call, in milliseconds."""
    began, busy = time.perf_counter(), time.thread_time()
    call()
    worked, ended = time.thread_time() - busy, time.perf_counter()
    return 1000 * (ended - began), 1000 * worked
