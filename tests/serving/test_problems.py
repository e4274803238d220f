"""Problem documents, byte for byte."""

from __future__ import annotations

import json
from http import HTTPStatus

import pytest

from serving.problems import KINDS, FieldError, Problem, of_status


def test_a_document_is_that_of_rfc_9457() -> None:
    """What is empty is left out, an error's pointer too."""
    errors = (FieldError("age", "expected a number", "/rows/0/age"), FieldError("id", "missing"))
    problem = Problem("invalid-request", "2 fields are wrong", errors=errors)
    assert json.loads(problem.document("r-1")) == {
        "type": "urn:perennial:problem:invalid-request",
        "title": "The request is not valid",
        "status": 422,
        "detail": "2 fields are wrong",
        "request_id": "r-1",
        "errors": [
            {"field": "age", "detail": "expected a number", "pointer": "/rows/0/age"},
            {"field": "id", "detail": "missing"},
        ],
    }
    assert json.loads(Problem("not-found", "no").document()).keys() == {"type", "title", "status", "detail"}


def test_a_time_to_come_back_is_a_header_after_the_others() -> None:
    """Zero seconds are a time too."""
    headers = ((b"connection", b"close"),)
    assert Problem("overloaded", "", retry_after=0, headers=headers).headers == (*headers, (b"retry-after", b"0"))
    assert Problem("overloaded", "", headers=headers).headers == headers


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_a_status_of_http(kind: str) -> None:
    """Of a client's or a server's error, and a title of its own."""
    status, title = KINDS[kind]
    assert 400 <= HTTPStatus(status) < 600
    assert [other for other in KINDS if KINDS[other][1] == title] == [kind]


def test_a_kind_that_is_not_listed_is_a_bug() -> None:
    """The kinds label a metric."""
    with pytest.raises(KeyError):
        Problem("teapot", "")


@pytest.mark.parametrize(
    ("status", "detail", "kind", "says"),
    [
        (404, "", "not-found", "Not Found"),
        (405, "use GET", "method-not-allowed", "use GET"),
        (400, "secret", "invalid-json", "expected a JSON document"),
        (500, "secret", "internal-error", "the request could not be answered"),
        (418, "secret", "internal-error", "the request could not be answered"),
    ],
)
def test_a_status_of_the_framework_becomes_a_problem(status: int, detail: str, kind: str, says: str) -> None:
    """What the framework says of a failure of ours stays inside."""
    problem = of_status(status, detail)
    assert (problem.kind, problem.detail) == (kind, says)
