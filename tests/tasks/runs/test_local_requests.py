"""Requests that pages of other sites make do not reach Prefect's server."""

import asyncio
from typing import Any

import pytest

from tasks.runs.local_requests import LocalRequests, Message, Receive, Send

OWN = [(b"host", b"127.0.0.1:4200")]
FOREIGN = [[(b"host", b"evil.example")], [*OWN, (b"origin", b"https://evil.example")], []]


class Inner:
    """An application that counts its calls."""

    calls = 0

    async def __call__(self, _scope: Message, _receive: Receive, _send: Send) -> None:
        """Count."""
        self.calls += 1


def _sent(inner: Inner, scope: dict[str, Any]) -> list[Message]:
    sent: list[Message] = []

    async def receive() -> Message:
        return {}

    async def send(message: Message) -> None:
        sent.append(message)

    asyncio.run(LocalRequests(inner)(scope, receive, send))
    return sent


@pytest.mark.parametrize("kind", ["http", "websocket"])
def test_requests_of_this_machine_and_the_lifespan_pass(kind: str) -> None:
    """The server answers them."""
    inner = Inner()
    assert _sent(inner, {"type": kind, "headers": OWN}) == []
    assert _sent(inner, {"type": "lifespan"}) == []
    assert inner.calls == 2


@pytest.mark.parametrize("headers", FOREIGN)
def test_requests_of_other_sites_are_refused(headers: list[tuple[bytes, bytes]]) -> None:
    """By 403 with a reason; a websocket is closed before it opens."""
    inner = Inner()
    start, body = _sent(inner, {"type": "http", "headers": headers})
    assert start["status"] == 403
    assert b"expected the header Host to be a loopback address" in body["body"]
    assert _sent(inner, {"type": "websocket", "headers": headers}) == [{"type": "websocket.close", "code": 1008}]
    assert inner.calls == 0
