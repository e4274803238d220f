"""The status document: what a worker holds, in the words of the page and of programs."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from config.settings import ServingSettings
from serving.access.access import Access
from serving.access.rates import SharedRates
from serving.http.service import Service
from serving.http.status import SHOWN_COLUMNS, StatusAnswer, registry_pages, service_status
from serving.instance.state import DriftSummary, ModelState, ServiceState, write_state
from serving.processes.worker import build_service
from serving.telemetry.metrics import Metrics
from serving.telemetry.recent import Rates, Window
from tests.serving.running import Example, changed


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("https://mlflow.example.org", "https://mlflow.example.org"),
        ("http://user:secret@mlflow:5000/base/?token=secret#x", "http://mlflow:5000/base"),
        ("sqlite:////var/mlflow.db", None),
        ("javascript:alert(1)", None),
        ("http://[broken", None),
        ("", None),
    ],
)
def test_a_link_to_mlflow_tells_no_secret(uri: str, expected: str | None) -> None:
    """Passwords and tokens of the address stay here, and what is no page is no link."""
    assert registry_pages(uri) == expected


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    """Return a service that has looked at nothing yet."""
    settings = ServingSettings(log="async")
    with closing(SharedRates(tmp_path / "rates")) as rates:
        address = f"sqlite:///{tmp_path / 'p.db'}"
        yield build_service(settings, tmp_path, address, Metrics(), Access(settings, rates))


def _told(service: Service, folder: Path, *models: ModelState, **trouble: str) -> StatusAnswer:
    write_state(folder, ServiceState(models, (), trouble))
    asyncio.run(service.look())
    return service_status(service, None, "")


def test_a_service_without_a_state_is_not_ready(service: Service) -> None:
    """Nothing is made up in the first seconds."""
    found = service_status(service, None, "sqlite:///x")
    assert (found.status, found.reason) == ("not ready", "no champion is known yet")
    assert (found.models, found.unserved, found.unanswered) == ([], [], None)
    assert (found.log.writable, found.log.mode) == (True, "async")


def test_trouble_is_anything_that_is_not_served(service: Service, tmp_path: Path, examples: dict[str, Example]) -> None:
    """A model without a version, and one whose newer version does not load; the rest goes on."""
    credit = examples["credit"].state
    well = _told(service, tmp_path, credit)
    assert (well.status, well.models[0].trouble, well.models[0].drift) == ("ok", None, None)
    unserved = _told(service, tmp_path, credit, grade="its bundle is gone")
    assert unserved.status == "trouble"
    assert [(one.model, one.reason) for one in unserved.unserved] == [("grade", "its bundle is gone")]
    newer = _told(service, tmp_path, changed(credit, version=2, manifest="0" * 64, trouble="no"))
    assert (newer.status, newer.models[0].version) == ("trouble", 1)
    assert newer.models[0].trouble == "this worker could not load the bundle of version 2; see the service's log"


def test_the_revision_changes_with_what_a_page_shows(
    service: Service, tmp_path: Path, examples: dict[str, Example]
) -> None:
    """And not with the clock and the live numbers, which the page reads by themselves."""
    credit = examples["credit"].state
    first = _told(service, tmp_path, credit)
    window = Window(60.0, {"credit": Rates(5, 0.1, 0.0, 0.0, 0.001, 0.5, {"200": 5})}, log_up=True)
    live = service_status(service, window, "")
    assert live.models[0].live is not None
    assert (live.models[0].live.p50_ms, live.models[0].live.p99_ms) == (1.0, 500.0)
    assert live.revision == first.revision
    assert _told(service, tmp_path, changed(credit, reason="another")).revision != first.revision
    silent = service_status(service, Window(60.0, {}, log_up=False), "")
    assert (silent.log.writable, silent.log.reason) == (
        False,
        "another worker cannot write it; see that worker's lines in the service's log",
    )


def test_the_columns_that_drifted_most_are_named(
    service: Service, tmp_path: Path, examples: dict[str, Example]
) -> None:
    """Those of equal PSI by their names, and how many there are."""
    psi = {"g": 0.0, "f": 0.3, "e": 0.1, "d": 0.1, "c": 0.1, "b": 0.1, "a": 0.1}
    drift = DriftSummary("drift", 1, 10, "2026-01-02T03:04:05+00:00", 0.5, psi, [])
    (model,) = _told(service, tmp_path, changed(examples["credit"].state, drift=drift)).models
    assert model.drift is not None
    assert [one.column for one in model.drift.columns] == ["f", "a", "b", "c", "d"]
    assert (model.drift.n_columns, SHOWN_COLUMNS) == (7, 5)
