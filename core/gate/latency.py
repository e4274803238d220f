"""Whether a model answers fast enough, judged apart from the load of the machine that measured it.

Wall time is what a caller waits for, but on a busy machine it measures the machine. So other clocks run beside it: the
CPU time of the thread that predicts, and both times of a small fixed reference model in the same process, in turns with
the model. The reference does the same work in every call; if it takes much longer than its own CPU time, or than in its
fastest tenth, the machine was busy.

References
----------
Mytkowicz, Diwan, Hauswirth & Sweeney (2009), Producing wrong data without doing anything obviously wrong!, ASPLOS XIV,
265-276 (the setting of a measurement biases it; randomised or interleaved measurements show it).
Kalibera & Jones (2013), Rigorous benchmarking in reasonable time, ISMM, 63-74 (repetition on every level that varies).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from core.text import number, significant

BUSY = 1.5
"""A machine is busy if the 95th percentile of the reference's wall times is above this multiple of the 10th percentile
of its CPU times. On a quiet machine the multiple is 1.1 to 1.3."""

CONTENTION = 2.0
"""By how much a load can increase CPU time itself: threads of one core share its units, and processes share caches."""

Speed = Literal["fast", "slow", "unknown"]


@dataclass(frozen=True, eq=False)
class Timings:
    """Times of single predictions of a model, and of a reference model measured in turns with it.

    Parameters
    ----------
    wall_ms, cpu_ms
        Wall time and CPU time of the predicting thread, by prediction, in milliseconds, shape (n,), n at least 1.
    reference_wall_ms, reference_cpu_ms
        The same for the reference, by call, shape (m,), m at least 1.
    """

    wall_ms: npt.NDArray[np.float64]
    cpu_ms: npt.NDArray[np.float64]
    reference_wall_ms: npt.NDArray[np.float64]
    reference_cpu_ms: npt.NDArray[np.float64]


@dataclass(frozen=True)
class Latency:
    """The latency of one row, and what it says about the model.

    Parameters
    ----------
    speed
        ``fast``; ``slow``; or ``unknown``: too slow by the wall clock, on a machine too busy to blame the model.
    p50_ms, p95_ms
        Percentiles of the wall time.
    cpu_ms
        Median of the CPU time.
    slowdown
        By how much the machine slowed the reference: 95th percentile of its wall time over the 10th of its CPU time.
    sentence
        The numbers, for people.
    """

    speed: Speed
    p50_ms: float
    p95_ms: float
    cpu_ms: float
    slowdown: float
    sentence: str


def latency(timings: Timings, max_latency_ms: float) -> Latency:
    """Judge the times of a model against a bound.

    ============================================  =============  =============
    measurement                                   quiet machine  busy machine
    ============================================  =============  =============
    p95 of wall time within the bound             fast           fast
    median CPU time above twice the bound         slow           slow
    neither                                       slow           unknown
    ============================================  =============  =============

    A load makes a model slower, never faster, so a model that is fast enough beside a load is fast. CPU time excludes
    the wait for a processor, and a load at most doubles it (:data:`CONTENTION`), so a median beyond twice the bound is
    the model's own.

    Parameters
    ----------
    timings
        Times of the model and the reference.
    max_latency_ms
        Bound of the 95th percentile of the wall time of one row, in milliseconds.

    Examples
    --------
    >>> busy = Timings(np.full(9, 300.0), np.full(9, 90.0), np.full(9, 4.0), np.full(9, 1.0))
    >>> latency(busy, 250).speed, latency(busy, 40).speed
    ('unknown', 'slow')
    """
    p50, p95 = np.percentile(timings.wall_ms, [50, 95]).tolist()
    cpu = float(np.median(timings.cpu_ms))
    slowdown = _slowdown(timings)
    speed: Speed = "unknown" if slowdown > BUSY else "slow"
    if p95 <= max_latency_ms:
        speed = "fast"
    elif cpu > CONTENTION * max_latency_ms:
        speed = "slow"
    found = Latency(speed, p50, p95, cpu, slowdown, "")
    return Latency(speed, p50, p95, cpu, slowdown, _sentence(found, max_latency_ms))


def _slowdown(timings: Timings) -> float:
    # Clocks of CPU time may tick in steps of milliseconds; a reference shorter than a step is compared in wall time.
    cpu = float(np.percentile(timings.reference_cpu_ms, 10))
    quick = float(np.percentile(timings.reference_wall_ms, 10))
    return float(np.percentile(timings.reference_wall_ms, 95)) / (min(cpu, quick) if cpu > 0 else quick)


def _sentence(found: Latency, max_latency_ms: float) -> str:
    times = (
        f"one row takes {significant(found.p50_ms, 2)} ms, and in 95 of 100 cases at most "
        f"{significant(found.p95_ms, 2)} ms"
    )
    allowed = f"at most {number(max_latency_ms)} ms are allowed (gate.max_latency_ms)"
    if found.speed == "fast":
        return times
    if found.speed == "slow":
        return f"{times} ({significant(found.cpu_ms, 2)} ms of CPU time); {allowed}"
    return (
        f"the machine was too busy to measure the latency: {times}, but only {significant(found.cpu_ms, 2)} ms are CPU "
        f"time, and a reference model took {significant(found.slowdown, 2)} times its usual time; {allowed}"
    )
