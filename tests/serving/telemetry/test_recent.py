"""Live numbers: what happened in the last minute, in one process and over several."""

from __future__ import annotations

import asyncio
import doctest
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import serving.telemetry.recent
from serving.instance.folder import METRICS_VARIABLE
from serving.telemetry.metrics import SECONDS, Metrics
from serving.telemetry.recent import (
    SAMPLE_SECONDS,
    WINDOW_SECONDS,
    Live,
    Totals,
    bucket_quantile,
    read_totals,
    window_between,
)

EDGES = [*SECONDS, math.inf]
VERSION_1, VERSION_2 = ("predict", "credit", "1", "champion"), ("predict", "credit", "2", "champion")


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


@pytest.fixture(autouse=True)
def _one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(METRICS_VARIABLE, raising=False)


@pytest.fixture
def metrics() -> Metrics:
    """Metrics of a process of its own."""
    return Metrics()


def _answered(metrics: Metrics, labels: tuple[str, ...], code: str, seconds: float, n: int = 1) -> None:
    metrics.requests.labels(*labels, code).inc(n)
    for _ in range(n):
        metrics.duration.labels(*labels).observe(seconds)


def test_examples() -> None:
    """The examples in the docstrings hold."""
    assert doctest.testmod(serving.telemetry.recent).failed == 0


@pytest.mark.parametrize("share", [0.01, 0.5, 0.9, 0.99])
def test_a_quantile_lies_in_the_bucket_of_the_true_one(share: float) -> None:
    """Whatever the values, the estimate is not off by more than the bucket is wide."""
    values = np.sort(np.random.default_rng(1).lognormal(-5, 2, 5000).clip(0, 9.9))
    counts = [float(np.sum(values <= edge)) for edge in EDGES]
    true = values[math.ceil(share * len(values)) - 1]
    place = np.searchsorted(EDGES, true)
    found = bucket_quantile(share, EDGES, counts)
    assert found is not None
    assert [0.0, *EDGES][place] <= found <= EDGES[place]


@pytest.mark.parametrize(
    ("share", "counts", "expected"),
    [
        (0.5, [0, 0, 0, 0], None),
        (0.5, [], None),
        (0.5, [4, 4, 4, 4], 0.5),
        (0.5, [0, 4, 4, 4], 1.5),
        (0.5, [2, 2, 4, 4], 1.0),
        (0.75, [2, 2, 4, 4], 3.0),
        (0.99, [0, 0, 0, 1], 4.0),
    ],
)
def test_a_quantile_of_hand_made_buckets(share: float, counts: list[float], expected: float | None) -> None:
    """Spread evenly within a bucket; empty buckets are passed over; above the last edge only the edge is known."""
    assert bucket_quantile(share, [1.0, 2.0, 4.0, math.inf][: len(counts)], counts) == expected


def test_totals_are_those_of_all_versions_and_of_predictions_only(metrics: Metrics) -> None:
    """A swap does not begin the count anew; labels, pages and health are not predictions."""
    _answered(metrics, VERSION_1, "200", 0.002, 3)
    _answered(metrics, VERSION_2, "200", 0.002, 2)
    _answered(metrics, VERSION_2, "422", 0.002)
    _answered(metrics, ("predict", "", "", ""), "401", 0.001, 4)
    _answered(metrics, ("labels", "", "", ""), "200", 0.001, 9)
    found = read_totals(metrics.live(), 7.0)
    assert found.codes == {"credit": {"200": 5, "422": 1}, "": {"401": 4}}
    assert found.durations["credit"][math.inf] == 6
    assert found.durations["credit"][0.001] == 0
    assert (found.at, found.log_up) == (7.0, True)


def test_a_window_tells_rate_errors_and_latency(metrics: Metrics) -> None:
    """Only what happened within the window counts; failures and refusals are told apart."""
    _answered(metrics, VERSION_1, "500", 9.0, 50)
    before = read_totals(metrics.live(), 100.0)
    _answered(metrics, VERSION_1, "200", 0.002, 96)
    _answered(metrics, VERSION_1, "422", 0.002, 3)
    _answered(metrics, VERSION_1, "504", 9.0, 1)
    window = window_between(before, read_totals(metrics.live(), 150.0))
    assert window is not None
    found = window.of("credit")
    assert (found.requests, found.per_second, window.seconds) == (100, 2.0, 50.0)
    assert (found.client_errors, found.server_errors) == (0.03, 0.01)
    assert found.codes == {"200": 96, "422": 3, "504": 1}
    assert found.p50 == pytest.approx(0.001 + 0.0015 * 50 / 99)
    assert found.p99 == 0.0025


def test_a_model_without_requests_has_no_latency(metrics: Metrics) -> None:
    """Its rate is nought, and what there is not is not made up; one that nobody ever asked is no exception."""
    _answered(metrics, VERSION_1, "200", 0.002)
    window = window_between(read_totals(metrics.live(), 0.0), read_totals(metrics.live(), 60.0))
    assert window is not None
    for name in ("credit", "unknown"):
        found = window.of(name)
        assert (found.requests, found.per_second) == (0, 0.0)
        assert (found.p50, found.p99, found.client_errors, found.server_errors) == (None,) * 4


def test_the_first_seconds_have_no_numbers(metrics: Metrics) -> None:
    """Nothing was remembered, or too short ago: no number rather than one of a moment."""
    clock = Clock()
    live = Live(metrics.live, clock)
    assert live.window() is None
    live.sample()
    clock.now += SAMPLE_SECONDS - 0.1
    assert live.window() is None
    clock.now += 1.1
    assert live.window() is not None


def test_a_minute_is_remembered_and_no_more(metrics: Metrics) -> None:
    """After ten minutes the window is one minute, give or take one interval, and what was before has left it."""
    clock = Clock()
    live = Live(metrics.live, clock)
    _answered(metrics, VERSION_1, "200", 0.002, 100)
    for _ in range(120):
        live.sample()
        clock.now += SAMPLE_SECONDS
    _answered(metrics, VERSION_1, "200", 0.002, 13)
    window = live.window()
    assert window is not None
    assert WINDOW_SECONDS <= window.seconds <= WINDOW_SECONDS + SAMPLE_SECONDS
    assert window.of("credit").requests == 13


def test_many_who_look_read_once_a_second(metrics: Metrics) -> None:
    """The cost of the page does not grow with those who look at it."""
    clock, n_read = Clock(), 0

    def collect() -> object:
        nonlocal n_read
        n_read += 1
        return metrics.live()

    live = Live(collect, clock)  # type: ignore[arg-type] # counts and passes on
    live.sample()
    clock.now += 10
    for _ in range(20):
        assert live.window() is not None
    assert n_read == 2


def test_metrics_that_cannot_be_read_are_read_again_later(metrics: Metrics, caplog: pytest.LogCaptureFixture) -> None:
    """The task goes on, the reason is logged, and the numbers come back."""
    clock, broken = Clock(), True

    def collect() -> object:
        if broken:
            raise FileNotFoundError("counter_1.db")
        return metrics.live()

    live = Live(collect, clock)  # type: ignore[arg-type] # fails and passes on
    live.sample()
    assert live.window() is None
    assert "counter_1.db" in caplog.text
    broken = False
    live.sample()
    clock.now += SAMPLE_SECONDS
    assert live.window() is not None


def test_totals_that_shrank_are_no_negative_rate() -> None:
    """A service that began anew in the same folder counts from nought again."""
    before = Totals(0.0, {"credit": {"200": 10.0}}, {"credit": {math.inf: 10.0}})
    after = Totals(10.0, {"credit": {"200": 4.0}}, {"credit": {math.inf: 4.0}})
    window = window_between(before, after)
    assert window is not None
    assert window.of("credit").requests == 0


def test_all_workers_read_at_the_same_moments(metrics: Metrics, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever starts when: the pause ends at a full interval of the machine's clock, so all windows begin alike."""
    clock, pauses = Clock(), []
    clock.now = 1003.5

    async def paused(seconds: float) -> None:
        pauses.append(seconds)
        raise asyncio.CancelledError

    monkeypatch.setattr(asyncio, "sleep", paused)
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(Live(metrics.live, clock).follow())
    assert pauses == [1.5]


WORKER = """
from serving.telemetry.metrics import Metrics
metrics = Metrics()
metrics.requests.labels("predict", "credit", "1", "champion", "200").inc(5)
metrics.duration.labels("predict", "credit", "1", "champion").observe(0.002)
metrics.log_up.set(LOG_UP)
"""


def _count_in_a_process(folder: Path, log_up: int = 1) -> None:
    environment = os.environ | {METRICS_VARIABLE: str(folder)}
    code = WORKER.replace("LOG_UP", str(log_up))
    subprocess.run([sys.executable, "-c", code], env=environment, cwd=Path(__file__).parents[3], check=True)


def test_totals_are_summed_over_processes(tmp_path: Path, metrics: Metrics, monkeypatch: pytest.MonkeyPatch) -> None:
    """What workers counted that have ended counts on; a file that was just made is passed over."""
    for _ in range(2):
        _count_in_a_process(tmp_path)
    (tmp_path / "counter_1.db").touch()
    monkeypatch.setenv(METRICS_VARIABLE, str(tmp_path))
    found = read_totals(metrics.live(), 0.0)
    assert found.codes["credit"] == {"200": 10}
    assert found.durations["credit"][0.0025] == 2
    assert found.log_up


def test_one_worker_without_its_log_is_told_by_all(
    tmp_path: Path, metrics: Metrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worst of the workers counts; a process that has no log is not the worst."""
    _count_in_a_process(tmp_path)
    _count_in_a_process(tmp_path, log_up=0)
    monkeypatch.setenv(METRICS_VARIABLE, str(tmp_path))
    assert not read_totals(metrics.live(), 0.0).log_up
