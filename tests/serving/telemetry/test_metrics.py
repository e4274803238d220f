"""What a scrape shows."""

from __future__ import annotations

import os
from collections.abc import Sequence

import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

from core.drift.windows import Status
from serving.instance.folder import METRICS_VARIABLE
from serving.instance.state import DriftSummary, ModelState, PerformanceSummary, ServiceState
from serving.problems import KINDS
from serving.telemetry.metrics import Metrics

Samples = dict[tuple[str, tuple[str, ...]], float]


@pytest.fixture(autouse=True)
def _one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(METRICS_VARIABLE, raising=False)


def _state(name: str, drift: DriftSummary | None = None, trouble: str | None = None) -> ModelState:
    return ModelState(name, 3, "champion", 1, "2026-01-01", "gate", "", "f", "/", "d", (), drift, trouble)


def _samples(*models: ModelState, **trouble: str) -> Samples:
    text = Metrics().expose(ServiceState(models, (), trouble), []).decode()
    families = text_string_to_metric_families(text)
    return {
        (one.name, tuple(value for _, value in sorted(one.labels.items()))): one.value
        for family in families
        for one in family.samples
    }


def _of(samples: Samples, name: str) -> dict[tuple[str, ...], float]:
    return {labels: value for (found, labels), value in samples.items() if found == name}


def test_every_kind_of_problem_is_there_before_it_happens() -> None:
    """A rate over a series that appears with its first error would miss that error."""
    found = _of(_samples(), "perennial_errors_total")
    assert {labels[0] for labels in found} == set(KINDS)
    assert set(found.values()) == {0.0}


def test_a_window_is_told_with_what_it_knows() -> None:
    """An unknown value has no sample: zero would be a number."""
    performance = [
        PerformanceSummary("realised", "roc_auc", 0.7, None),
        PerformanceSummary("estimated", "roc_auc", None, 0.8),
    ]
    drift = DriftSummary("drift", 3, 10, "2026-01-02T03:04:05+00:00", 0.5, {'odd "name"\n': 0.25}, performance)
    samples = _samples(_state("credit", drift), _state("grade"))
    assert _of(samples, "perennial_drift") == {("credit",): 1.0}
    assert _of(samples, "perennial_drift_psi") == {('odd "name"\n', "credit"): 0.25}
    assert _of(samples, "perennial_drift_measured_timestamp_seconds") == {("credit",): 1767323045.0}
    assert _of(samples, "perennial_performance") == {("realised", "roc_auc", "credit"): 0.7}
    assert _of(samples, "perennial_performance_reference") == {("estimated", "roc_auc", "credit"): 0.8}


@pytest.mark.parametrize("status", ["ok", "watch", "insufficient"])
def test_only_drift_is_drift(status: Status) -> None:
    """An alert on it stands for a decision."""
    drift = DriftSummary(status, 3, 10, "2026-01-02T03:04:05+00:00", 0.5, {}, [])
    assert _of(_samples(_state("credit", drift)), "perennial_drift") == {("credit",): 0.0}


def test_trouble_is_told_of_served_and_unserved_models() -> None:
    """A model without any version is among them."""
    samples = _samples(_state("credit"), _state("grade", trouble="no"), price="gone")
    assert _of(samples, "perennial_model_trouble") == {("credit",): 0.0, ("grade",): 1.0, ("price",): 1.0}


def test_the_processes_of_one_are_this_one() -> None:
    """With memory of the order that the system tells."""
    samples = _samples()
    assert _of(samples, "perennial_processes") == {(): 1.0}
    memory = _of(samples, "process_resident_memory_bytes")[()]
    assert memory == pytest.approx(psutil.Process(os.getpid()).memory_info().rss, rel=0.5)


def test_two_sets_of_metrics_count_apart() -> None:
    """Each has a registry of its own, so that tests and services in one process do not add up."""
    first, second = Metrics(), Metrics()
    first.restarts.inc()
    values: Sequence[float] = [metrics.restarts._value.get() for metrics in (first, second)]
    assert values == [1.0, 0.0]
