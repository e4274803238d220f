"""Prometheus metrics, summed over all workers of an instance.

Label values come from closed lists (routes, kinds, loaded versions), never from a client's input.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector

from config.settings import HOOK_CONVENTIONS
from serving.instance.folder import METRICS_VARIABLE
from serving.problems import KINDS

if TYPE_CHECKING:
    from prometheus_client import Metric

    from serving.instance.state import ServiceState
    from serving.model.served import ServedModel

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
VERSION = ("model", "version", "variant")
LIVE_FILES = ("counter", "histogram", "gauge_livemin")


class Metrics:
    """All metrics of a process.

    Parameters
    ----------
    registry
        Registry of the metrics; a new one by default.
    """

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        own = self._registry = registry or CollectorRegistry()
        self.requests = Counter(
            "perennial_requests",
            "Answered requests; version is empty if no model answered",
            ["route", *VERSION, "code"],
            registry=own,
        )
        self.duration = Histogram(
            "perennial_request_duration_seconds",
            "Time from the request's headers to its answer",
            ["route", *VERSION],
            buckets=SECONDS,
            registry=own,
        )
        self.errors = Counter(
            "perennial_errors", "Requests answered with a problem, by its kind", ["kind", *VERSION], registry=own
        )
        self.predictions = Counter(
            "perennial_predictions",
            "Answered rows by bin of their score; le is the upper edge of a decile of the reference, or the class",
            [*VERSION, "le"],
            registry=own,
        )
        self.in_flight = Gauge(
            "perennial_requests_in_flight", "Requests in progress", registry=own, multiprocess_mode="livesum"
        )
        self.log_queue = Gauge(
            "perennial_log_queue_requests",
            "Requests that wait to be written to the prediction log",
            registry=own,
            multiprocess_mode="livesum",
        )
        self.log_up = Gauge(
            "perennial_log_up",
            "Whether the prediction log can be written, 0 or 1",
            registry=own,
            multiprocess_mode="livemin",
        )
        self.log_rows = Counter(
            "perennial_log_rows", "Rows written to the prediction log, or dropped", ["result"], registry=own
        )
        self.log_write = Histogram(
            "perennial_log_write_seconds", "Time of a write to the prediction log", buckets=SECONDS, registry=own
        )
        self.swaps = Counter(
            "perennial_model_loads",
            "Versions that workers loaded, refused or unloaded",
            ["model", "result"],
            registry=own,
        )
        self.models_loaded = Gauge(
            "perennial_models_loaded", "Models in the memory of the workers", registry=own, multiprocess_mode="livesum"
        )
        self.models_memory = Gauge(
            "perennial_models_memory_bytes",
            "Estimated memory of the models that the workers have loaded",
            registry=own,
            multiprocess_mode="livesum",
        )
        self.load_seconds = Histogram(
            "perennial_model_load_seconds", "Time of a model's load", buckets=SECONDS, registry=own
        )
        self.bundle_failures = Counter(
            "perennial_bundle_failures",
            "Champions that could not be fetched: bundle (not the registered one) or storage (unavailable)",
            ["model", "kind"],
            registry=own,
        )
        self.release_failures = Counter(
            "perennial_release_failures",
            "Requests that a version failed while a release ran, by the kind of problem; another one answered most",
            [*VERSION, "kind"],
            registry=own,
        )
        self.shadow_requests = Counter(
            "perennial_shadow_requests",
            "Copies of requests for a version in the shadow: sent, dropped or too_large; then answered or failed",
            ["model", "version", "result"],
            registry=own,
        )
        self.shadow_seconds = Histogram(
            "perennial_shadow_duration_seconds",
            "Time of a copy's answer in the shadow, without waits for the processor; no client waits for it",
            ["model", "version"],
            buckets=SECONDS,
            registry=own,
        )
        self.labels = Counter("perennial_labels", "Received labels", ["model", "result"], registry=own)
        self.hooks = Counter(
            "perennial_hook_deliveries",
            "Webhook deliveries by result: accepted, known, ignored, or the kind of problem in the answer",
            ["convention", "result"],
            registry=own,
        )
        self.restarts = Counter("perennial_worker_restarts", "Workers that ended and were restarted", registry=own)
        # The minimum over all processes counts, and the supervisor has no log.
        self.log_up.set(1)
        for result in ("written", "dropped"):
            self.log_rows.labels(result)
        for convention in HOOK_CONVENTIONS:
            self.hooks.labels(convention, "accepted")
        for kind in KINDS:
            self.errors.labels(kind, "", "", "")

    def live(self) -> Iterable[Metric]:
        """Counters, histograms and the gauge ``perennial_log_up`` of all processes."""
        if METRICS_VARIABLE not in os.environ:
            return self._registry.collect()
        files = _live_files(Path(os.environ[METRICS_VARIABLE]))
        merged: Iterable[Metric] = MultiProcessCollector.merge(files)  # type: ignore[no-untyped-call] # not typed
        return merged

    def expose(self, state: ServiceState | None, loaded: Iterable[ServedModel], stopped: Iterable[str] = ()) -> bytes:
        """Metrics of all processes as text, with the served versions and drift and performance of their windows.

        Parameters
        ----------
        state, loaded
            What this worker follows, and the versions that it answers with.
        stopped
            Models with a release whose breaker is open.
        """
        if METRICS_VARIABLE in os.environ:
            registry = CollectorRegistry()
            MultiProcessCollector(registry)  # type: ignore[no-untyped-call] # not typed
        else:
            registry = self._registry
        text = generate_latest(registry)
        extra = CollectorRegistry()
        for collector in served_collectors(state, loaded, stopped):
            extra.register(collector)
        return text + generate_latest(extra)


def served_collectors(
    state: ServiceState | None, loaded: Iterable[ServedModel], stopped: Iterable[str] = ()
) -> tuple[Collector, ...]:
    """Collectors of metrics that are computed at each scrape: processes, served versions, and running releases."""
    return _Processes(), _Served(state, loaded), _Releases(state, frozenset(stopped))


def _live_files(folder: Path) -> list[str]:
    # A file that was just created is empty and cannot be read yet.
    return [str(path) for kind in LIVE_FILES for path in folder.glob(f"{kind}_*.db") if path.stat().st_size]


def forget_process(pid: int) -> None:
    """Remove an ended process from the gauges; its counters stay."""
    mark_process_dead(pid)  # type: ignore[no-untyped-call] # not typed


class ModelMetrics:
    """The labelled metrics of one version, looked up once.

    Parameters
    ----------
    metrics, model
        All metrics, and the version.
    """

    def __init__(self, metrics: Metrics, model: ServedModel) -> None:
        self._labels = (model.name, str(model.version), model.variant)
        self._metrics = metrics
        self.requests_ok = metrics.requests.labels("predict", *self._labels, "200")
        self.duration = metrics.duration.labels("predict", *self._labels)
        self.bins = [metrics.predictions.labels(*self._labels, name) for name in model.bins]


class _Processes(Collector):
    """CPU and memory of the service: this process's parent with all its children."""

    def collect(self) -> Iterable[Metric]:
        cpu, memory, count = 0.0, 0, 0
        for process in _family():
            try:
                with process.oneshot():
                    times = process.cpu_times()
                    cpu, memory = cpu + times.user + times.system, memory + process.memory_info().rss
                    count += 1
            except psutil.NoSuchProcess:  # it ended in the meantime
                continue
        yield CounterMetricFamily("process_cpu_seconds", "Processor time of all processes of the service", cpu)
        yield GaugeMetricFamily("process_resident_memory_bytes", "Resident memory of all processes together", memory)
        yield GaugeMetricFamily("perennial_processes", "Processes of the service", count)


def _family() -> list[psutil.Process]:
    own = psutil.Process()
    parent = own.parent()
    if METRICS_VARIABLE not in os.environ or parent is None:
        return [own]
    return [parent, *parent.children(recursive=True)]


class _Releases(Collector):
    """The running releases."""

    def __init__(self, state: ServiceState | None, stopped: frozenset[str]) -> None:
        self._state = state
        self._stopped = stopped

    def collect(self) -> Iterable[Metric]:
        labels = ["model", "version"]
        share = GaugeMetricFamily(
            "perennial_release_share", "Share of requests that a released version answers, 0 to 1", labels=labels
        )
        is_open = GaugeMetricFamily(
            "perennial_release_breaker_open", "Whether a released version is not asked any more, 0 or 1", labels=labels
        )
        for model in self._state.models if self._state else ():
            if (release := model.release) is not None:
                version = str(model.version if release.stage == "bake" else release.version)
                share.add_metric([model.name, version], release.share / 100)
                is_open.add_metric([model.name, version], float(model.name in self._stopped))
        yield from (share, is_open)


class _Served(Collector):
    """The served versions, and drift and performance of their newest windows."""

    def __init__(self, state: ServiceState | None, loaded: Iterable[ServedModel]) -> None:
        self._state = state
        self._loaded = list(loaded)

    def collect(self) -> Iterable[Metric]:
        info = GaugeMetricFamily(
            "perennial_model_info", "Versions that this worker answers with", labels=[*VERSION, "data_version", "kind"]
        )
        for model in self._loaded:
            about = [model.name, str(model.version), model.variant, model.manifest.data_version, model.kind]
            info.add_metric(about, 1)
        yield info
        yield from self._windows()

    def _windows(self) -> Iterable[Metric]:
        labels = ["model"]
        trouble = GaugeMetricFamily(
            "perennial_model_trouble", "Whether the champion cannot be served, 0 or 1", labels=labels
        )
        drifted = GaugeMetricFamily("perennial_drift", "Whether the newest window drifted, 0 or 1", labels=labels)
        share = GaugeMetricFamily(
            "perennial_drift_importance_share", "Share of importance that drifted in the newest window", labels=labels
        )
        psi = GaugeMetricFamily("perennial_drift_psi", "PSI of the newest window", labels=[*labels, "column"])
        at = GaugeMetricFamily("perennial_drift_measured_timestamp_seconds", "Time of the measurement", labels=labels)
        value = GaugeMetricFamily(
            "perennial_performance", "Metric of the newest window", labels=[*labels, "kind", "metric"]
        )
        reference = GaugeMetricFamily(
            "perennial_performance_reference", "The same metric on the holdout", labels=[*labels, "kind", "metric"]
        )
        for model in self._state.models if self._state else ():
            trouble.add_metric([model.name], float(model.trouble is not None))
            if model.drift is None:
                continue
            drifted.add_metric([model.name], float(model.drift.status == "drift"))
            share.add_metric([model.name], model.drift.importance_share)
            at.add_metric([model.name], model.drift.moment.timestamp())
            for column, score in model.drift.psi.items():
                psi.add_metric([model.name, column], score)
            for found in model.drift.performance:
                for family, number in ((value, found.value), (reference, found.reference)):
                    if number is not None:
                        family.add_metric([model.name, found.kind, found.metric], number)
        for name in self._state.trouble if self._state else ():
            trouble.add_metric([name], 1.0)
        yield from (trouble, drifted, share, psi, at, value, reference)
