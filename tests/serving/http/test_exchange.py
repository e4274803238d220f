"""What a request's headers say, and its line in the access log."""

from __future__ import annotations

from typing import Any

import pytest

from core.prediction_ids import is_prediction_id
from serving.http.exchange import Exchange, access_line
from serving.problems import FieldError, Problem

PREDICT = "/v1/models/credit/predict"


def _exchange(*headers: tuple[bytes, bytes], **more: Any) -> Exchange:
    return Exchange({"method": "POST", "path": PREDICT, "client": ("10.0.0.1", 1), "headers": headers, **more})


def test_a_path_is_a_route_and_a_model() -> None:
    """The client is the connection's."""
    found = _exchange()
    assert (found.route, found.model_name, found.client) == ("predict", "credit", "10.0.0.1")


@pytest.mark.parametrize("name", [b"host", b"authorization"])
def test_two_headers_that_may_occur_once_are_joined(name: bytes) -> None:
    """The whole is then no valid host and no valid credential."""
    assert getattr(_exchange((name, b"a"), (name, b"b")), name.decode()) == b"a, b"


def test_only_the_oldest_version_has_no_host() -> None:
    """HTTP/1.0 knows none."""
    assert _exchange().host is None
    assert _exchange(http_version="1.0").host == b""


@pytest.mark.parametrize(
    ("kind", "is_json"),
    [
        (b"application/json", True),
        (b"Application/JSON ; charset=utf-8", True),
        (b"application/json-seq", False),
        (b"text/plain", False),
        (b"", False),
    ],
)
def test_a_body_is_json_if_its_type_says_so(kind: bytes, is_json: bool) -> None:
    """Parameters and case do not matter."""
    assert _exchange((b"content-type", kind)).is_json is is_json


def test_a_request_has_the_id_of_its_client_or_of_its_prediction() -> None:
    """A malformed id of a client is ignored; a name that was given stays."""
    named = _exchange((b"x-request-id", b"abc-1"))
    named.name()
    assert named.request_id == "abc-1"
    found = _exchange((b"x-request-id", b"a\nb"))
    found.name_prediction()
    found.name()
    assert found.request_id == found.prediction
    assert is_prediction_id(found.prediction)
    other = _exchange()
    other.name()
    assert is_prediction_id(other.request_id)


def test_a_refusal_names_fields_without_their_values() -> None:
    """The access log holds no feature values."""
    found = _exchange()
    found.fail(Problem("invalid-request", "'age': found 'secret'", errors=(FieldError("age", "found 'secret'"),)))
    line = access_line(found, 0.5)
    assert (line.problem, line.detail, line.duration) == ("invalid-request", "fields: age", 500_000_000)
    assert line.request_id == found.request_id
