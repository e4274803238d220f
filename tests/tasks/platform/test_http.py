"""Short questions over HTTP."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tasks.platform.http import Answer, ask, prefect_headers
from tasks.platform.ports import free_port


class Echo(BaseHTTPRequestHandler):
    """Answers with what it was asked."""

    def do_GET(self) -> None:
        """Answer a question."""
        size = int(self.headers.get("content-length", 0))
        body = json.dumps([self.command, self.headers.get("x-who"), self.rfile.read(size).decode()]).encode()
        self.send_response(404 if self.path == "/gone" else 200)
        self.send_header("X-Told", "yes")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET  # noqa: N815 - the name that http.server calls

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@pytest.fixture
def url(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Return the address of a server, with a proxy in the environment that does not exist."""
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    with ThreadingHTTPServer(("127.0.0.1", 0), Echo) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_loopback_is_asked_directly(url: str) -> None:
    """A proxy of the environment does not know this machine; any status is an answer."""
    found = ask(url, headers={"X-Who": "me"}, seconds=5)
    assert found is not None
    assert (found.status, found.headers["x-told"], found.json()) == (200, "yes", ["GET", "me", ""])
    gone = ask(f"{url}/gone", body={"a": 1}, seconds=5)
    assert gone is not None
    assert gone.status == 404
    assert gone.json()[0] == "POST"
    assert json.loads(gone.json()[2]) == {"a": 1}


@pytest.mark.parametrize(
    "address", ["http://127.0.0.1:{port}", "http://", "nonsense", "http://[::1", "ftp://127.0.0.1/x"]
)
def test_what_does_not_answer_is_none(address: str) -> None:
    """A port without a server, or no address at all."""
    assert ask(address.format(port=free_port()), seconds=1) is None


def test_a_body_that_is_no_document_is_none() -> None:
    """A page of a proxy, an empty answer, bytes."""
    assert [Answer(200, {}, body).json() for body in (b"<html>", b"", b"\xff\xfe")] == [None, None, None]


def test_prefect_wants_a_key_or_a_password(monkeypatch: pytest.MonkeyPatch) -> None:
    """The key of Prefect Cloud comes first; a server without either gets no header."""
    monkeypatch.delenv("PREFECT_API_KEY", raising=False)
    monkeypatch.delenv("PREFECT_API_AUTH_STRING", raising=False)
    assert prefect_headers() == {}
    monkeypatch.setenv("PREFECT_API_AUTH_STRING", "admin:pä")
    assert prefect_headers() == {"Authorization": "Basic YWRtaW46cMOk"}
    monkeypatch.setenv("PREFECT_API_KEY", "pnu_1")
    assert prefect_headers() == {"Authorization": "Bearer pnu_1"}
