"""What a connection takes and answers, at the socket, with an application that answers what it got."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
import uvicorn

from serving.http import protocol
from serving.http.protocol import DRAINED, MAX_FIELDS, Limits, bounded_protocol
from serving.problems import Problem
from tests.serving.running import await_that

HEAD_BYTES = 64 * 1024
SECONDS = 0.5
"""Time for the headers; the tests that wait for its end take so long."""

CONNECTIONS = 20
PATIENCE = 20

Answer = tuple[int, dict[str, str], bytes]


class Echo:
    """Answers each request with what it got; ``/unread`` leaves the body, ``/slow`` waits for ``released``."""

    def __init__(self) -> None:
        self.released = threading.Event()
        self.began: list[str] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer a request."""
        self.began.append(scope["path"])
        while scope["path"] == "/slow" and not self.released.is_set():
            await asyncio.sleep(0.01)
        body, more = b"", scope["path"] != "/unread"
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        document = json.dumps(
            {
                "path": scope["path"],
                "body": body.decode("latin-1"),
                "headers": [[name.decode(), value.decode("latin-1")] for name, value in scope["headers"]],
            }
        ).encode()
        headers = [(b"content-length", b"%d" % len(document))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": document})


@dataclass
class Listening:
    """A server with the protocol, and the requests that it refused."""

    port: int
    app: Echo
    server: uvicorn.Server
    refusals: list[str] = field(default_factory=list)

    def connect(self) -> closing[socket.socket]:
        """Open a connection."""
        return closing(socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE))

    def answers(self, *blocks: bytes, end: bool = True) -> list[Answer]:
        """Send blocks on a connection, close its sending side, and return all answers up to the server's end."""
        with self.connect() as client:
            for block in blocks:
                client.sendall(block)
            if end:
                client.shutdown(socket.SHUT_WR)
            return list(_answers(_rest(client)))


def _send_for_ever(client: socket.socket, first: bytes, block: bytes) -> None:
    client.sendall(first)
    while True:
        client.sendall(block)


def _rest(client: socket.socket) -> bytes:
    return b"".join(iter(lambda: client.recv(65536), b""))


def _answers(content: bytes) -> Iterator[Answer]:
    while content:
        head, _, content = content.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines)
        length = int(headers.get("content-length", 0))
        yield int(first.split()[1]), headers, content[:length]
        content = content[length:]


@pytest.fixture(scope="module")
def shared() -> Iterator[Listening]:
    """Start a server for all tests."""
    with _listening() as found:
        yield found


@pytest.fixture
def listening(shared: Listening) -> Listening:
    """Return the server without connections, requests and refusals."""
    await_that(lambda: not shared.server.server_state.connections, PATIENCE)
    shared.app.began.clear()
    shared.app.released.clear()
    shared.refusals.clear()
    return shared


@contextmanager
def _listening() -> Iterator[Listening]:
    app, refusals = Echo(), []

    def refused(_client: str, problem: Problem) -> bytes:
        refusals.append(problem.kind)
        return problem.document()

    made = bounded_protocol(Limits(HEAD_BYTES, SECONDS, CONNECTIONS), refused)
    config = uvicorn.Config(app, http=made, ws="none", lifespan="off", log_config=None, timeout_graceful_shutdown=2)
    server = uvicorn.Server(config)
    with closing(socket.socket()) as opened:
        opened.bind(("127.0.0.1", 0))
        opened.listen()
        thread = threading.Thread(target=server.run, args=([opened],))
        thread.start()
        try:
            yield Listening(opened.getsockname()[1], app, server, refusals)
        finally:
            app.released.set()
            server.should_exit = True
            thread.join(PATIENCE)
            assert not thread.is_alive()


def _get(path: str = "/", *headers: str, close: bool = False) -> bytes:
    lines = [f"GET {path} HTTP/1.1", "host: localhost", *headers, *(["connection: close"] if close else [])]
    return "".join(f"{line}\r\n" for line in lines).encode() + b"\r\n"


def _post(body: bytes, path: str = "/", *headers: str) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "host: localhost", f"content-length: {len(body)}", *headers]
    return "".join(f"{line}\r\n" for line in lines).encode() + b"\r\n" + body


def _chunked(body: bytes, path: str = "/") -> bytes:
    return f"POST {path} HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n".encode() + body


def test_headers_up_to_the_bound_are_taken_and_a_byte_more_is_not(listening: Listening) -> None:
    """A request line and headers of exactly the bound are answered 200, however they are cut, and one more byte 431."""
    used = len(_get("/", "x-long: "))
    for spare, status in ((0, 200), (1, 431)):
        request = _get("/", f"x-long: {'a' * (HEAD_BYTES - used + spare)}")
        assert [one[0] for one in listening.answers(request)] == [status]
        assert [one[0] for one in listening.answers(request[:1000], request[1000:50_000], request[50_000:])] == [status]
    assert listening.refusals == ["headers-too-large"] * 2
    assert listening.app.began == ["/"] * 2


ENDLESS = {
    "header": (_get()[:-2] + b"x-endless: ", b"a", 431),
    "name of a header": (_get()[:-2], b"a", 431),
    "tiny headers": (_get()[:-2], b"a:\r\n", 431),
    "folded header": (_get()[:-2] + b"x: y\r\n", b" ", 400),
    "value that starts with spaces": (_get()[:-2] + b"x:", b" ", 431),
    "request line": (b"GET /", b"a", 414),
    "query": (b"GET /?", b"a=1&", 414),
    "absolute target": (b"GET http://", b"a", 414),
    "blank lines": (b"", b"\r\n", 431),
    "method": (b"", b"A", 400),
    "version": (b"GET / HTTP/1.", b"1", 400),
    "chunk extension": (_chunked(b"1;"), b"a", 400),
    "value of a chunk extension": (_chunked(b'1;a="'), b"a", 400),
    "length of a chunk": (_chunked(b""), b"0", 400),
    "extensions of tiny chunks": (_chunked(b""), b"1;aaaaaaaaaaaaaaaaaaaaaaaaaa\r\n \r\n", 400),
    "trailer": (_chunked(b"0\r\nx: "), b"a", 400),
    "tiny trailers": (_chunked(b"0\r\n"), b"a:\r\n", 431),
    "digits of the length": (b"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: ", b"0", 431),
}


@pytest.mark.parametrize("name", ENDLESS)
def test_what_never_ends_is_refused_before_it_is_kept(listening: Listening, name: str) -> None:
    """Each part of a request that has no end is answered 4xx after at most 64 KiB, and the answer can be read."""
    first, unit, status = ENDLESS[name]
    found = listening.answers(first, unit * (2**20 // len(unit)), end=False)
    assert [one[0] for one in found] == [status]
    assert found[0][1]["connection"] == "close"
    assert json.loads(found[0][2])["status"] == status


def test_many_headers_are_refused(listening: Listening) -> None:
    """More headers than the bound are refused, although they take few bytes."""
    assert [one[0] for one in listening.answers(_get("/", *["a:1"] * (MAX_FIELDS - 1)))] == [200]
    assert [one[0] for one in listening.answers(_get("/", *["a:1"] * MAX_FIELDS))] == [431]


@pytest.mark.parametrize("begun", [_get()[:-2] + b"x-slow: ", b"GET /", b"\r\n", _get() + b"GET /"])
def test_headers_that_do_not_end_in_time_are_refused(listening: Listening, begun: bytes) -> None:
    """A client that sends a byte from time to time gets 408 at the end of its time, and no time is added."""
    began = time.monotonic()
    with listening.connect() as client:
        client.sendall(begun)
        client.settimeout(SECONDS / 5)
        content = b""
        while time.monotonic() - began < PATIENCE:
            try:
                received = client.recv(65536)
            except TimeoutError:
                client.sendall(b"\r\n" if begun == b"\r\n" else b"a")
                continue
            content += received
            if not received:
                break
    assert [one[0] for one in _answers(content)] == [200] * (begun.count(b"GET") - 1) + [408]
    assert time.monotonic() - began >= SECONDS / 2  # the clock of the event loop may be late


def test_a_connection_that_sends_nothing_is_closed(listening: Listening) -> None:
    """A client that sends no byte is disconnected without an answer."""
    assert listening.answers(end=False) == []
    assert listening.refusals == []


def test_an_idle_connection_stays_open(listening: Listening) -> None:
    """Between two requests the time for headers does not run."""
    with listening.connect() as client:
        for _ in range(2):
            client.sendall(_get())
            assert b"200 OK" in client.recv(65536)
            time.sleep(1.5 * SECONDS)


def test_idle_connections_give_way(listening: Listening) -> None:
    """Beyond the bound the longest idle connections close, a busy one stays, and a new one is answered."""
    with ExitStack() as stack:
        busy, *idle = (stack.enter_context(listening.connect()) for _ in range(CONNECTIONS))
        busy.sendall(_get("/slow"))
        for one in idle:
            one.sendall(_get()[:-2])
        state, app = listening.server.server_state, listening.app
        await_that(lambda: len(state.connections) == CONNECTIONS and len(app.began) == 1, PATIENCE)
        for _ in range(5):
            new = stack.enter_context(listening.connect())
            new.sendall(_get("/new"))
            assert b"200 OK" in new.recv(65536)
        assert [one.recv(65536) for one in idle[:5]] == [b""] * 5
        listening.app.released.set()
        assert b"200 OK" in busy.recv(65536)


def test_trailers_are_no_headers(listening: Listening) -> None:
    """A field after the body is not among the headers, which access control and the application read."""
    request = _chunked(b"2\r\nhi\r\n0\r\nhost: 127.0.0.1\r\nauthorization: Bearer x\r\n\r\n")
    ((status, _, body),) = listening.answers(request)
    assert (status, json.loads(body)["body"]) == (200, "hi")
    assert [name for name, _ in json.loads(body)["headers"]] == ["host", "transfer-encoding"]


@pytest.mark.parametrize("n", [DRAINED + 1, 8 * 2**20])
def test_an_answer_before_the_end_of_a_long_body_can_be_read(listening: Listening, n: int) -> None:
    """A client that first sends its whole body and then reads gets the answer, and the connection closes."""
    assert [one[0] for one in listening.answers(_post(b"a" * n, "/unread"), end=False)] == [200]
    long_chunks = _chunked(b"10000\r\n%b\r\n" % (b"a" * 65536) * (n // 65536), "/unread")
    ((status, headers, _),) = listening.answers(long_chunks, end=False)
    assert (status, headers["connection"]) == (200, "close")


def test_a_connection_outlives_a_short_body_that_is_not_read(listening: Listening) -> None:
    """The rest of a body that fits is discarded, and the next request of the connection is answered."""
    found = listening.answers(_post(b"GET /smuggled HTTP/1.1\r\n\r\n" * 5000, "/unread"), _get("/next"))
    assert [json.loads(one[2])["path"] for one in found] == ["/unread", "/next"]
    assert "/smuggled" not in listening.app.began


def test_the_rest_of_a_short_body_must_come_in_time(listening: Listening, monkeypatch: pytest.MonkeyPatch) -> None:
    """After its answer a client cannot keep the connection by sending its body byte by byte."""
    monkeypatch.setattr(protocol, "LINGER_SECONDS", 0.3)
    found = listening.answers(_post(b"a" * 100, "/unread")[:-50], end=False)
    assert [one[0] for one in found] == [200]


def test_what_a_client_sends_after_the_last_answer_is_bounded(
    listening: Listening, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client that goes on sending for ever after its answer is disconnected."""
    monkeypatch.setattr(protocol, "LINGER_BYTES", 2**20)
    head = b"POST /unread HTTP/1.1\r\nhost: localhost\r\ncontent-length: 999999999999\r\n\r\n"
    with listening.connect() as client, pytest.raises(ConnectionError):
        _send_for_ever(client, head, b"a" * 65536)


def test_a_client_that_does_not_read_is_disconnected(listening: Listening, monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests whose answers are not read end with the connection, and hold no place for ever."""
    monkeypatch.setattr(protocol, "STALL_SECONDS", 0.2)
    with listening.connect() as client, pytest.raises(ConnectionError):
        _send_for_ever(client, _post(b"a" * 60_000), _post(b"a" * 60_000))


def test_a_client_that_does_not_read_takes_no_place(listening: Listening) -> None:
    """Requests behind answers that are not read are not begun, and are answered when they are read."""
    n = 300
    with listening.connect() as client:
        sender = threading.Thread(target=client.sendall, args=(_post(b"a" * 60_000) * n,))
        sender.start()
        state, app = listening.server.server_state, listening.app
        await_that(lambda: len(app.began) > 5 and not state.tasks, PATIENCE)
        began = len(app.began)
        time.sleep(0.2)
        assert len(app.began) == began < n
        assert not state.tasks
        content = b""
        while content.count(b"HTTP/1.1 200") < n:
            content += client.recv(2**20)
        sender.join()


def test_a_client_that_closes_its_sending_side_gets_its_answers(listening: Listening) -> None:
    """A half-closed connection is answered, however late, also where several requests came at once."""
    threading.Timer(0.3, listening.app.released.set).start()
    found = listening.answers(_get("/a"), _post(b"b" * 10_000, "/slow"), _get("/c") + _get("/d"))
    assert [json.loads(one[2])["path"] for one in found] == ["/a", "/slow", "/c", "/d"]


def test_a_body_that_is_cut_off_is_no_request(listening: Listening) -> None:
    """A client that closes its sending side within a body gets no answer to it, and those before are answered."""
    listening.app.released.set()
    found = listening.answers(_get("/slow") + _post(b"a" * 100, "/cut")[:-1])
    assert [json.loads(one[2])["path"] for one in found] == ["/slow"]


def test_pipelined_requests_are_answered_in_order_and_wait_unparsed(listening: Listening) -> None:
    """Of requests that are sent at once, few are read before their turn, and all are answered."""
    n, most = 4000, 0
    with listening.connect() as client:
        sender = threading.Thread(target=client.sendall, args=(_get("/slow") + _get() * n + _get("/last", close=True),))
        sender.start()
        await_that(lambda: bool(listening.app.began), PATIENCE)
        connections = listening.server.server_state.connections
        most = max(len(one.pipeline) for one in connections)  # type: ignore[union-attr]
        listening.app.released.set()
        found = [*_answers(_rest(client))]
        sender.join()
    assert len(found) == n + 2
    assert json.loads(found[-1][2])["path"] == "/last"
    assert most <= protocol.SLICE // len(_get())


def test_the_body_of_a_request_that_waited_arrives(listening: Listening) -> None:
    """A request with a body behind one in progress is answered with its body, although both came at once."""
    body = b"x" * 300_000
    threading.Timer(0.2, listening.app.released.set).start()
    found = listening.answers(_get("/slow") + _post(body) + _post(body[:10]) + _get("/e", close=True), end=False)
    assert [len(json.loads(one[2])["body"]) for one in found] == [0, 300_000, 10, 0]


@pytest.mark.parametrize(
    "wrong", [b"\x00\r\n\r\n", b"GET /\xff HTTP/1.1\r\n\r\n", b"GET / HTTP/2.0\r\nhost: a\r\n\r\n"]
)
def test_a_wrong_request_is_answered_after_those_before_it(listening: Listening, wrong: bytes) -> None:
    """What cannot be read is refused in its turn, once, and closes the connection."""
    threading.Timer(0.1, listening.app.released.set).start()
    found = listening.answers(_get("/slow") + _get("/b") + wrong + _get("/c"), end=False)
    assert [one[0] for one in found] == [200, 200, 400]
    assert listening.app.began == ["/slow", "/b"]


@pytest.mark.parametrize("before", [b"", _get("/slow"), _get("/slow") + _get("/b")])
def test_a_wrong_body_is_answered_once(listening: Listening, before: bytes) -> None:
    """Where a body is wrong after the application began to read it, there is one answer, and it is 400."""
    threading.Timer(0.1, listening.app.released.set).start()
    with listening.connect() as client:
        client.sendall(before + _chunked(b"2\r\nhi\r\n"))
        time.sleep(0.2)
        client.sendall(b"no length\r\n")
        found = [*_answers(_rest(client))]
    assert [one[0] for one in found] == [200] * before.count(b"GET") + [400]


def test_a_wrong_body_that_waits_for_its_permission_is_answered_once(listening: Listening) -> None:
    """A client that expects 100 Continue and sends a wrong body at once gets 400 alone, and nothing fails."""
    request = _chunked(b"no length\r\n").replace(b"\r\n\r\n", b"\r\nexpect: 100-continue\r\n\r\n", 1)
    assert [one[0] for one in listening.answers(request)] == [400]


def test_nothing_is_answered_after_the_last_request(listening: Listening) -> None:
    """What follows a request with ``Connection: close`` is discarded."""
    found = listening.answers(_get("/a", close=True) + _get("/b") * 100, end=False)
    assert [json.loads(one[2])["path"] for one in found] == ["/a"]
    assert listening.app.began == ["/a"]


@pytest.mark.parametrize("cut", [0, 10, 5000])
def test_the_body_of_a_request_that_offers_an_upgrade_is_its_body(listening: Listening, cut: int) -> None:
    """A client that offers HTTP/2 with its request is answered by HTTP/1.1, and its body is not read as a request."""
    body = _get("/smuggled") + b"a" * 6000
    request = _post(body, "/up", "upgrade: h2c", "connection: upgrade, http2-settings", "http2-settings: AAMA")
    found = listening.answers(request[: -cut - 1], request[-cut - 1 :], end=False)
    assert [(one[0], json.loads(one[2])["body"]) for one in found] == [(200, body.decode())]
    assert listening.app.began == ["/up"]


def test_the_host_of_an_absolute_target_counts(listening: Listening) -> None:
    """With an absolute target, the application gets its host and not the one of the header."""
    for target, host in (("http://example.org:81/a?b", "example.org:81"), ("http://[::1]/a", "[::1]")):
        ((status, _, body),) = listening.answers(_get(target))
        found = json.loads(body)
        assert (status, found["path"], found["headers"]) == (200, "/a", [["host", host]])


@pytest.mark.parametrize("target", ["example.org:80", "http://user@localhost/", "/a b", ""])
def test_a_target_without_a_path_is_refused(listening: Listening, target: str) -> None:
    """Targets that name no path are a 400, and the application is not asked."""
    assert [one[0] for one in listening.answers(_get(target))] == [400]
    assert listening.app.began == []


@pytest.mark.parametrize(
    "lines",
    [
        "transfer-encoding: gzip, chunked",
        "transfer-encoding: x\r\ntransfer-encoding: chunked",
        "transfer-encoding: chunked\r\ntransfer-encoding: chunked",
        "transfer-encoding: chunked, chunked",
        "transfer-encoding: identity",
        "transfer-encoding: chunked\r\ncontent-length: 5",
        "content-length: 5\r\ntransfer-encoding: chunked",
        "content-length: 5\r\ncontent-length: 5",
        "content-length: +5",
    ],
)
def test_a_body_has_one_length(listening: Listening, lines: str) -> None:
    """A body whose length two servers could read differently is a 400, and nothing in it is a request."""
    request = f"POST / HTTP/1.1\r\nhost: localhost\r\n{lines}\r\n\r\n0\r\n\r\n".encode() + _get("/smuggled")
    assert [one[0] for one in listening.answers(request)] == [400]
    assert listening.app.began == []


def test_the_end_of_the_server_does_not_wait_for_lingering_clients() -> None:
    """A client that keeps its connection after its last answer does not delay the end."""
    with _listening() as listening, listening.connect() as client:
        client.sendall(_get("/a", close=True))
        assert b"200 OK" in client.recv(65536)
        listening.server.should_exit = True
        await_that(lambda: not listening.server.server_state.connections, PATIENCE)
