"""Requests from the grammar of ``benchmarks.http_fuzz`` at the socket of a service."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from benchmarks.http_fuzz import Stream, faults, fuzz, streams
from tests.serving.running import Example, running
from tests.serving.service_processes import bodies

SEED = 20
N_REQUESTS = 1500


def test_no_request_of_the_grammar_breaks_the_service(tmp_path: Path, examples: dict[str, Example]) -> None:
    """Each connection ends with well-formed answers to the requests that a strict parser reads, and none is a 5xx."""
    good = bodies()
    with running(tmp_path, [examples["credit"].state], log="async") as service:
        found = asyncio.run(fuzz(service.port, streams(SEED, good), N_REQUESTS, good[0]))
        assert found.failures == []
        assert '"error"' not in service.logged
    assert found.n_requests >= N_REQUESTS
    assert {200, 400, 404, 405, 413, 414, 431} <= set(found.statuses)


def test_the_grammar_is_reproducible() -> None:
    """The same seed makes the same streams, and another seed others."""
    first, again, other = (streams(seed, [b"{}"]) for seed in (1, 1, 2))
    made = [next(first) for _ in range(50)]
    assert made == [next(again) for _ in range(50)]
    assert made != [next(other) for _ in range(50)]


_REQUEST = b"GET / HTTP/1.1\r\nhost: a\r\nx-request-id: r1\r\n\r\n"
_HIDDEN = b"POST / HTTP/1.1\r\nhost: a\r\nx-request-id: r1\r\ncontent-length: %d\r\n\r\n%b"


def _answer(status: int, body: bytes = b"", name: bytes = b"r1") -> bytes:
    return b"HTTP/1.1 %d X\r\ncontent-length: %d\r\nx-request-id: %b\r\n\r\n%b" % (status, len(body), name, body)


@pytest.mark.parametrize(
    ("sent", "received", "fault"),
    [
        (_REQUEST, _answer(200), None),
        (_REQUEST, b"HTTP/1.1 100 Continue\r\n\r\n" + _answer(200), None),
        (_REQUEST, _answer(404, b'{"status": 404}'), None),
        (_REQUEST, b"", None),
        (_REQUEST, _answer(500, b'{"status": 500}'), "status 500"),
        (_REQUEST, _answer(404, b"not found"), "without a problem document"),
        (_REQUEST, _answer(404, b'{"status": 400}'), "another status"),
        (_REQUEST, _answer(200, b"ab")[:-1], "cut off"),
        (_REQUEST, b"HTTP/1.1 200 OK\n\n", "not the head"),
        (_REQUEST, _answer(200) * 2, "a strict parser"),
        (_HIDDEN % (46, _REQUEST), _answer(200) + _answer(200, name=b"r1"), "a strict parser"),
    ],
)
def test_a_wrong_answer_is_a_fault(sent: bytes, received: bytes, fault: str | None) -> None:
    """Answers that are malformed, 5xx, without a document or to no request are found."""
    found = list(faults(Stream((sent,), 1), received))
    assert (found == []) if fault is None else (len(found) == 1 and fault in found[0])
