"""Health is known before the framework is imported, and said as the framework says it."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from serving.http.app import HealthAnswer
from serving.http.health import HEALTH, health, health_document
from serving.http.service import DRAINING
from serving.routes import LIVE, READY
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
    live = (200, {"status": "live", "reason": None})
    assert (status, content) == (live if route == LIVE.name else (503, {"status": "not ready", "reason": DRAINING}))


@pytest.mark.parametrize("path", [LIVE.path, READY.path])
def test_health_is_answered_without_the_framework(service: Running, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the headers of every answer; another method goes to the framework."""
    refused = service.request("POST", path)
    assert (refused.status_code, refused.json()["type"]) == (405, "urn:perennial:problem:method-not-allowed")
    entry = service.server.config.loaded_app
    monkeypatch.setattr(entry, "_app", None)
    answer = service.request("GET", path, headers={"x-request-id": "mine"})
    assert (answer.status_code, answer.headers["x-request-id"]) == (200, "mine")
    assert answer.headers["content-type"] == "application/json"
    assert json.loads(answer.content)["status"] == ("live" if path == LIVE.path else "ready")
