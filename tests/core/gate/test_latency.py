"""The latency judges the model, and says "unknown" if only the machine can be blamed."""

from __future__ import annotations

import numpy as np
import pytest

from core.gate.latency import Speed, Timings, latency


def timed(model_ms: float, cpu_ms: float, reference_ms: float, n: int = 200) -> Timings:
    """Return times with 5 % of noise; the reference needs 1 ms of CPU time."""
    noise = np.random.default_rng(7).normal(1, 0.05, (4, n))
    return Timings(*(noise * np.array([[model_ms], [cpu_ms], [reference_ms], [1.0]])))


@pytest.mark.parametrize(
    ("model_ms", "cpu_ms", "reference_ms", "speed"),
    [
        (90, 90, 1, "fast"),
        (200, 90, 8, "fast"),
        (340, 90, 4, "unknown"),
        (1_000, 300, 4, "unknown"),
        (300, 300, 1, "slow"),
        (300, 10, 1, "slow"),
        (600, 600, 1, "slow"),
        (2_400, 600, 4, "slow"),
    ],
)
def test_only_the_models_own_time_makes_it_slow(
    model_ms: float, cpu_ms: float, reference_ms: float, speed: Speed
) -> None:
    """With a bound of 250 ms, a load that slows the reference four times leaves a small model undecided."""
    assert latency(timed(model_ms, cpu_ms, reference_ms), 250).speed == speed


def test_bursts_that_hit_a_tenth_of_the_calls_are_a_busy_machine() -> None:
    """The reference's median is undisturbed; the spread of its times shows the load."""
    found = timed(90, 90, 1)
    hit = np.arange(200) % 10 == 0
    bursts = Timings(
        found.wall_ms * np.where(hit, 5, 1),
        found.cpu_ms,
        found.reference_wall_ms * np.where(hit, 5, 1),
        found.reference_cpu_ms,
    )
    assert latency(bursts, 250).speed == "unknown"
    alone = Timings(bursts.wall_ms, bursts.cpu_ms, found.reference_wall_ms, found.reference_cpu_ms)
    assert latency(alone, 250).speed == "slow"


def test_a_clock_without_ticks_is_compared_in_wall_time() -> None:
    """A CPU clock of 10 ms steps shows 0 for a short reference; its fastest wall times are the measure."""
    quiet, busy = timed(300, 300, 1), timed(300, 300, 1)
    zero = np.zeros(200)
    slowed = busy.reference_wall_ms * np.where(np.arange(200) % 2, 4, 1)
    assert latency(Timings(quiet.wall_ms, quiet.cpu_ms, quiet.reference_wall_ms, zero), 250).speed == "slow"
    assert latency(Timings(busy.wall_ms, busy.cpu_ms, slowed, zero), 250).speed == "unknown"


def test_sentences_have_the_numbers_and_no_exponents() -> None:
    """Wall time, CPU time, the machine's slowdown and the bound."""
    wall = np.array([99.7] * 20 + [1234.5] * 4)
    small = Timings(wall, np.full(24, 80.0), np.ones(24), np.ones(24))
    assert latency(small, 5000).sentence == "one row takes 100 ms, and in 95 of 100 cases at most 1,234 ms"
    assert latency(small, 1000).sentence == (
        "one row takes 100 ms, and in 95 of 100 cases at most 1,234 ms (80 ms of CPU time); "
        "at most 1,000 ms are allowed (gate.max_latency_ms)"
    )
    busy = Timings(wall, np.full(24, 80.0), np.full(24, 4.2), np.ones(24))
    assert latency(busy, 1000).sentence == (
        "the machine was too busy to measure the latency: one row takes 100 ms, and in 95 of 100 cases at most "
        "1,234 ms, but only 80 ms are CPU time, and a reference model took 4.2 times its usual time; "
        "at most 1,000 ms are allowed (gate.max_latency_ms)"
    )
