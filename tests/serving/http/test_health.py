"""Health is known before the framework is imported, and said as the framework says it."""

from __future__ import annotations

import json
from collections.abc import Iterator

import httpx
import pytest

from serving.http.app import HealthAnswer
from serving.http.health import HEALTH, health, health_document
from serving.http.service import DRAINING
from tests.serving.running import Example, Running, running


@pytest.fixture(scope="module")
def service(examples: dict[str, Example], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Return a service of one model."""
    with running(tmp_path_factory.mktemp("health"), [examples["credit"].state]) as found:
        yield found


@pytest.mark.parametrize("route", HEALTH)
def test_health_has_the_documented_form(service: Running, route: str) -> None:
    """The document that the OpenAPI schema describes; a refusal names its reason."""
    service.service.draining = True
    try:
        status, content = health(service.service, route)
        assert health_document(service.service, route) == (status, HealthAnswer(**content).model_dump_json().encode())
    finally:
        service.service.draining = False
    assert content == (
        {"status": "live", "reason": None} if route == "live" else {"status": "not ready", "reason": DRAINING}
    )
    assert status == (200 if route == "live" else 503)


@pytest.mark.parametrize("route", HEALTH)
def test_health_is_answered_by_the_entry(service: Running, route: str) -> None:
    """With the headers of every answer; another method goes to the framework."""
    answer = service.request("GET", f"/health/{route}", headers={"x-request-id": "mine"})
    assert (answer.status_code, answer.headers["x-request-id"]) == (200, "mine")
    assert answer.headers["content-type"] == "application/json"
    assert json.loads(answer.content)["status"] == ("live" if route == "live" else "ready")
    refused: httpx.Response = service.request("POST", f"/health/{route}")
    assert (refused.status_code, refused.json()["type"]) == (405, "urn:perennial:problem:method-not-allowed")
