"""The reference of metrics."""

from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from reference.metrics import page, rows
from serving.telemetry.metrics import Metrics

ROWS = {row.name: row for row in rows()}


def test_every_metric_that_is_exposed_is_on_the_page() -> None:
    """What a scrape shows is documented, with its type and what it counts."""
    text = Metrics(CollectorRegistry()).expose(None, []).decode()
    exposed = {family.name: family for family in text_string_to_metric_families(text)}
    names = {name.removesuffix("_total") for name in ROWS}
    assert {name for name in exposed if not name.endswith("_created")} == names
    assert all(f"`{name}`" in page() for name in ROWS)
    assert all(row.description and exposed[row.name.removesuffix("_total")].type == row.type for row in ROWS.values())


def test_labels_are_those_of_the_samples() -> None:
    """The labels that a query may use, also of metrics that have no sample yet."""
    assert ROWS["perennial_requests_total"].labels == ("route", "model", "version", "variant", "code")
    assert ROWS["perennial_drift_psi"].labels == ("model", "column")
    assert ROWS["perennial_processes"].labels == ()
