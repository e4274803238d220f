"""Model and reference are measured in turns; a load from other processes does not make a model slow."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest

from core.gate.latency import latency
from serving.rehearsal import timing
from serving.rehearsal.reference import reference_model
from serving.rehearsal.rehearse import rehearse
from serving.rehearsal.timing import timed_latency, timings
from tasks.registry.bundle import Bundle
from tests.serving.bundles import TRUSTED


@contextmanager
def busy_machine(per_core: int = 3) -> Iterator[None]:
    """Keep every core busy with other processes."""
    n_processes = per_core * (os.cpu_count() or 1)
    spinning = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(n_processes)]
    try:
        yield
    finally:
        for process in spinning:
            process.kill()
            process.wait()


def test_the_reference_takes_as_long_as_the_model() -> None:
    """A call of some milliseconds is followed by that many calls of the reference, so a load hits both equally."""
    calls: list[str] = []

    def reference() -> None:
        calls.append("reference")
        time.sleep(0.001)

    def predict(place: int) -> None:
        calls.append(f"model {place}")
        time.sleep(0.02)

    found = timings(predict, reference)
    assert [call for call in calls if call != "reference"] == [f"model {place}" for place in range(200)]
    assert calls.count("reference") / 200 > 3
    assert len(found.wall_ms) == len(found.reference_wall_ms) == 200
    assert np.median(found.wall_ms) >= 20
    assert 1 <= np.median(found.reference_wall_ms) < 20
    assert np.median(found.cpu_ms) < np.median(found.wall_ms) / 2


def test_a_model_that_is_far_too_slow_is_not_asked_200_times(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time is bounded, and one answer is measured in any case."""
    monkeypatch.setattr(timing, "MAX_TIMED_SECONDS", 0.02)
    assert len(timings(lambda _: time.sleep(0.03), lambda: None).wall_ms) == 1


def test_a_busy_machine_is_measured_again_after_a_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """A load that ends between two measurements leaves no doubt behind it."""
    monkeypatch.setattr(timing, "PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(timing, "N_TIMED", 50)
    quiet = iter([*[False] * 60, *[True] * 300])

    def predict(_: int) -> None:
        time.sleep(0.001 if next(quiet) else 0.02)

    turns = iter(range(10_000))
    found = timed_latency(predict, lambda: time.sleep(0.0002 * (1 + 9 * (next(turns) % 2))), 10)
    assert found.speed == "fast"
    assert found.p95_ms < 10


@pytest.mark.slow
def test_load_gives_no_verdict_about_a_model(graph_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    """The real rehearsal beside three busy processes per core: a slow model fails, a quick one passes or is unknown."""
    monkeypatch.setattr(timing, "PAUSE_SECONDS", 0.1)
    monkeypatch.setattr(timing, "N_TIMED", 40)
    monkeypatch.setattr(timing, "ROUNDS", 1)

    def rehearsed(max_latency_ms: float) -> bool | None:
        return rehearse(graph_bundle.folder, graph_bundle.manifest_sha256, TRUSTED, max_latency_ms).passed

    own_ms = rehearse(graph_bundle.folder, graph_bundle.manifest_sha256, TRUSTED, 5000).cpu_ms
    assert own_ms is not None
    assert rehearsed(own_ms / 4) is False
    with busy_machine():
        assert rehearsed(own_ms / 4) is False
        assert rehearsed(6 * own_ms) is not False


def test_wall_time_alone_would_have_refused_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same measurement shows why: beside a load, the 95th percentile is many times the model's own time."""
    monkeypatch.setattr(timing, "N_TIMED", 40)
    reference = reference_model()
    with busy_machine():
        found = timings(lambda _: [reference() for _ in range(20)], reference)
    bound = 2 * float(np.median(found.cpu_ms))
    judged = latency(found, bound)
    assert judged.p95_ms > bound
    assert judged.slowdown > 2
    assert judged.speed == "unknown"
