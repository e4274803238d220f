"""Lines of the access log: one for each request, whatever is in it."""

from __future__ import annotations

import io
import json
from typing import Literal

import msgspec
import pytest

import serving.telemetry.logs
from serving.telemetry.logs import AccessLine, AccessLog, now_text

LINE = AccessLine(
    timestamp="2026-01-02T03:04:05.678Z",
    level="info",
    message="POST predict 200",
    ecs="8.11.0",
    service="perennial-serving",
    dataset="perennial.access",
    duration=1_234_567,
    method="POST",
    request_id="r-1",
    status=200,
    path="/v1/models/credit/predict",
    model="credit",
    version=3,
)


def _written(style: Literal["json", "text"], *lines: AccessLine) -> list[str]:
    stream = io.BytesIO()
    log = AccessLog(style, stream)
    for line in lines:
        log.add(line)
    log.close()
    log.close()
    return stream.getvalue().decode().split("\n")[:-1]


def test_a_line_is_json() -> None:
    """Fields that say nothing are left out."""
    (written,) = map(json.loads, _written("json", LINE))
    assert written["http.response.status_code"] == 200
    assert written["event.duration"] == 1_234_567
    assert "error.code" not in written


def test_a_line_is_for_people() -> None:
    """When, what, who and how long, and why not."""
    refused = msgspec.structs.replace(LINE, status=422, problem="invalid-request", detail="fields: Größe")
    assert _written("text", LINE, refused) == [
        "03:04:05.678 200 POST /v1/models/credit/predict credit v3 1.2 ms r-1",
        "03:04:05.678 422 POST /v1/models/credit/predict credit v3 1.2 ms r-1 invalid-request: fields: Größe",
    ]


@pytest.mark.parametrize("style", ["json", "text"])
def test_no_client_writes_lines_of_its_own(style: Literal["json", "text"]) -> None:
    """Ends of lines and commands to terminals are escaped in paths and in the names of fields."""
    hostile = "/x\n03:04:05.678 200 POST /faked\r\x1b[31m\x85\u2028"
    (written,) = _written(style, msgspec.structs.replace(LINE, path=hostile, problem="not-found", detail=hostile))
    assert not any(character in written for character in "\n\r\x1b")
    assert len(written.splitlines()) == 1 or style == "json"
    if style == "json":
        assert json.loads(written)["url.path"] == hostile


def test_a_reader_who_is_gone_stops_nobody() -> None:
    """The service answers on without its log."""
    stream = io.BytesIO()
    stream.close()
    log = AccessLog("json", stream)
    log.add(LINE)
    log.close()


def test_lines_that_nobody_reads_are_dropped_and_counted(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Memory is for requests."""
    monkeypatch.setattr(serving.telemetry.logs, "MAX_WAITING", 10)
    assert len(_written("json", *25 * [LINE])) == 10
    assert "15 lines of the access log were dropped" in caplog.text


def test_moments_are_of_ecs() -> None:
    """In milliseconds of UTC."""
    assert len(now_text()) == len("2026-01-02T03:04:05.678Z")
    assert now_text().endswith("Z")
