"""The page of Prometheus metrics."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.metrics import MetricWrapperBase

from reference.markdown import code, document, table
from serving.telemetry.metrics import Metrics, served_collectors

LEAD = """
`GET /metrics` of the prediction service, summed over its workers, in Prometheus's text format. `variant` is
`champion` or `challenger`; times are in seconds.
"""


@dataclass(frozen=True)
class MetricRow:
    """A metric: its name in the exposition, its type, its labels and what it counts."""

    name: str
    type: str
    labels: tuple[str, ...]
    description: str


def rows() -> Iterator[MetricRow]:
    """Yield every metric."""
    metrics = Metrics(CollectorRegistry())
    for one in vars(metrics).values():
        if isinstance(one, MetricWrapperBase):
            yield from _rows(one.describe(), one)
    for collector in served_collectors(None, ()):
        for family in collector.collect():
            yield from _rows([family], family)


def _rows(families: Iterable[Metric], labelled: MetricWrapperBase | Metric) -> Iterator[MetricRow]:
    # There is no public name for the labels of a metric without samples:
    # https://github.com/prometheus/client_python/issues/844
    labels = tuple(getattr(labelled, "_labelnames", ()))
    for family in families:
        suffix = "_total" if family.type == "counter" else ""
        yield MetricRow(family.name + suffix, family.type, labels, family.documentation)


def page() -> str:
    """Return the page."""
    cells = [
        (code(row.name), row.type, ", ".join(code(label) for label in row.labels), row.description) for row in rows()
    ]
    histograms = "A histogram has the series `_bucket` (label `le`), `_sum` and `_count`."
    return document(
        "Metrics", LEAD, [("The metrics", f"{table(('metric', 'type', 'labels', 'what'), cells)}\n{histograms}")]
    )
