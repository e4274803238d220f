"""What happens to a request before and after the application, message by message."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from config.settings import ServingSettings
from serving.access.access import Access
from serving.access.rates import SharedRates
from serving.http.entry import Entry, Message, Receive, Send
from serving.http.exchange import Exchange, Scope
from serving.http.service import Service
from serving.problems import Problem
from serving.processes.worker import build_service
from serving.telemetry.logs import AccessLog
from serving.telemetry.metrics import Metrics
from store.key_text import ApiKey
from tests.serving.running import make_key

JSON = (b"content-type", b"application/json")
LABELS = "/v1/models/credit/labels"
PREDICT = "/v1/models/credit/predict"


@dataclass
class Application:
    """Stands where the framework is: reads the body, keeps it, and answers 200 or fails."""

    fails: bool = False
    bodies: list[bytes] = field(default_factory=list)
    kinds: list[str] = field(default_factory=list)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer."""
        self.kinds.append(scope["type"])
        if scope["type"] != "http":
            return
        message = await receive()
        self.bodies.append(message.get("body", b""))
        assert (await receive())["type"] == "http.disconnect"
        if self.fails:
            raise ZeroDivisionError("secret")
        await send({"type": "http.response.start", "status": 200, "headers": [(b"a", b"b")]})
        await send({"type": "http.response.body", "body": b"done"})


@dataclass
class Answer:
    """What the entry sent, and how many messages it read."""

    sent: list[Message]
    n_read: int

    @property
    def status(self) -> int:
        """Of the answer."""
        return int(self.sent[0]["status"])

    @property
    def headers(self) -> dict[bytes, bytes]:
        """Of the answer."""
        return dict(self.sent[0]["headers"])

    @property
    def problem(self) -> dict[str, Any]:
        """Return the document of a refusal."""
        document: dict[str, Any] = json.loads(self.sent[1]["body"])
        return document


@dataclass
class World:
    """An entry with a service that has no models, and everything around it."""

    entry: Entry
    service: Service
    application: Application
    access_log: AccessLog
    text: io.BytesIO

    def ask(
        self,
        method: str,
        path: str,
        *headers: tuple[bytes, bytes],
        parts: Sequence[Message] = (),
        hosts: Sequence[bytes] = (b"127.0.0.1",),
        http_version: str = "1.1",
    ) -> Answer:
        """Send a request and its messages."""
        read, sent = iter(parts), list[Message]()
        n_read = 0

        async def receive() -> Message:
            nonlocal n_read
            n_read += 1
            return next(read, {"type": "http.disconnect"})

        async def send(message: Message) -> None:
            sent.append(message)

        asyncio.run(self.entry(_scope(method, path, *headers, hosts=hosts, http_version=http_version), receive, send))
        return Answer(sent, n_read)

    def lines(self) -> list[dict[str, Any]]:
        """Return the access log."""
        self.access_log.close()
        return [json.loads(line) for line in self.text.getvalue().splitlines()]


def _scope(
    method: str,
    path: str,
    *headers: tuple[bytes, bytes],
    client: str = "10.0.0.1",
    hosts: Sequence[bytes] = (b"127.0.0.1",),
    http_version: str = "1.1",
) -> Scope:
    return {
        "type": "http",
        "method": method,
        "path": path,
        "http_version": http_version,
        "headers": [*((b"host", host) for host in hosts), *headers],
        "client": (client, 1),
    }


async def _sent_by(
    world: World,
    method: str,
    path: str,
    *headers: tuple[bytes, bytes],
    parts: Sequence[Message] = (),
    client: str = "10.0.0.1",
) -> list[Message]:
    """Return the answer to a request among others."""
    read, sent = iter(parts), list[Message]()

    async def receive() -> Message:
        return next(read, {"type": "http.disconnect"})

    async def send(message: Message) -> None:
        sent.append(message)

    await world.entry(_scope(method, path, *headers, client=client), receive, send)
    return sent


def _world(folder: Path, rates: SharedRates, hook_body_kb: int = 0, **given: Any) -> World:
    settings = ServingSettings(**{"max_body_kb": 1, **given})
    service = build_service(settings, folder, f"sqlite:///{folder / 'p.db'}", Metrics(), Access(settings, rates))
    service.access.replace_keys([])
    application, text = Application(), io.BytesIO()
    access_log = AccessLog("json", text)
    return World(Entry(service, application, access_log, hook_body_kb), service, application, access_log, text)


@pytest.fixture
def rates(tmp_path: Path) -> Iterator[SharedRates]:
    """Return where requests are counted."""
    with closing(SharedRates(tmp_path / "rates")) as rates:
        yield rates


@pytest.fixture
def world(tmp_path: Path, rates: SharedRates) -> World:
    """Return an entry that asks for no credentials and takes bodies of 1 KiB."""
    return _world(tmp_path, rates)


@pytest.fixture
def guarded(tmp_path: Path, rates: SharedRates) -> World:
    """Return an entry that asks for credentials and takes deliveries of 2 KiB."""
    return _world(tmp_path, rates, hook_body_kb=2, access="required")


def _part(body: bytes, *, more: bool = False) -> Message:
    return {"type": "http.request", "body": body, "more_body": more}


def _bearer(text: str) -> tuple[bytes, bytes]:
    return (b"authorization", b"Bearer " + text.encode())


# Hosts


@pytest.mark.parametrize("path", ["/health/live", "/v1/models", "/v1/hooks/credit/retrain", "/nothing"])
@pytest.mark.parametrize(
    "hosts",
    [
        (),
        (b"127.0.0.1", b"127.0.0.1"),
        (b"", b"127.0.0.1"),
        (b"127.0.0.1", b"example.org"),
        (b"127.0.0.1, example.org",),
        (b"user@127.0.0.1",),
        (b"127.0.0.1:80:80",),
        (b"127.0.0.1/",),
        (b"a b",),
        (b"[::1",),
    ],
)
def test_a_request_has_one_valid_host(guarded: World, path: str, hosts: Sequence[bytes]) -> None:
    """No host, several hosts, or what is no host is a 400 on every route, before any credential counts."""
    answer = guarded.ask("GET", path, hosts=hosts)
    assert (answer.status, answer.problem["type"]) == (400, "urn:perennial:problem:invalid-host")
    assert answer.headers[b"connection"] == b"close"
    assert guarded.application.kinds == []


@pytest.mark.parametrize("host", [b"", b"example.org", b"my_host:8470", b"10.0.0.1", b"[::1]:80"])
def test_any_valid_host_is_taken_with_access_control(guarded: World, host: bytes) -> None:
    """Names, addresses and ports are valid, and so is a request of HTTP/1.0 without a host."""
    assert guarded.ask("GET", "/health/live", hosts=(host,)).status == 200
    assert guarded.ask("GET", "/health/live", hosts=(), http_version="1.0").status == 200


def test_what_cannot_be_read_is_a_line_and_a_count(world: World) -> None:
    """A request that the server refuses before the entry is in the log and the metrics with its kind."""
    document = json.loads(world.entry.refused("10.0.0.2", Problem("headers-too-large", "too large")))
    (line,) = world.lines()
    assert (line["http.response.status_code"], line["client.ip"], line["error.code"]) == (
        431,
        "10.0.0.2",
        "headers-too-large",
    )
    assert line["http.request.id"] == document["request_id"]
    assert world.service.metrics.errors.labels("headers-too-large", "", "", "")._value.get() == 1


# Bodies


def test_a_body_up_to_the_bound_reaches_the_application_in_one_piece(world: World) -> None:
    """However it came."""
    parts = [_part(b"x" * 1000, more=True), _part(b"", more=True), _part(b"y" * 24)]
    assert world.ask("POST", LABELS, JSON, parts=parts).status == 200
    assert world.application.bodies == [b"x" * 1000 + b"y" * 24]


def test_a_body_beyond_the_bound_is_not_read_to_its_end(world: World) -> None:
    """The first byte too many ends it, and the connection."""
    parts = [_part(b"x" * 1024, more=True), _part(b"y", more=True), _part(b"z")]
    answer = world.ask("POST", LABELS, JSON, parts=parts)
    assert (answer.status, answer.n_read) == (413, 2)
    assert answer.problem["detail"] == "the body may have at most 1 KiB; send fewer rows per request"
    assert answer.headers[b"connection"] == b"close"
    assert world.application.bodies == []


def test_a_body_that_is_announced_too_large_is_not_read_at_all(world: World) -> None:
    """Its length is enough."""
    answer = world.ask("POST", LABELS, JSON, (b"content-length", b"1025"), parts=[_part(b"x")])
    assert (answer.status, answer.n_read) == (413, 0)


def test_a_client_that_leaves_within_its_body_is_told_from_a_whole_one(world: World) -> None:
    """What came is not handed on."""
    answer = world.ask("POST", LABELS, JSON, parts=[_part(b"{}", more=True), {"type": "http.disconnect"}])
    assert (answer.status, answer.problem["type"]) == (400, "urn:perennial:problem:invalid-json")
    assert world.application.bodies == []


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        (b"application/json", 200),
        (b"Application/JSON ; charset=utf-8", 200),
        (b"application/jsonx", 415),
        (b"", 415),
        (b"text/plain; application/json", 415),
    ],
)
def test_only_json_is_taken(world: World, kind: bytes, status: int) -> None:
    """By the header's first part, in any case of letters."""
    assert world.ask("POST", LABELS, (b"content-type", kind), parts=[_part(b"{}")]).status == status


# Paths and access


@pytest.mark.parametrize("path", ["/metrics\n", "/v1/models/credit/nothing", "/docs", "//v1/models", ""])
def test_an_unknown_path_never_reaches_the_application(world: World, path: str) -> None:
    """The framework reads some paths otherwise than they were let in."""
    assert world.ask("GET", path).status == 404
    assert world.application.kinds == []


def test_a_good_key_twice_is_no_credential(guarded: World) -> None:
    """What stands between sees one of two headers, and the service another."""
    key, text = make_key("label")
    guarded.service.access.replace_keys([key])
    assert guarded.ask("POST", LABELS, JSON, _bearer(text), parts=[_part(b"{}")]).status == 200
    refused = guarded.ask("POST", LABELS, JSON, _bearer(text), _bearer(text), parts=[_part(b"{}")])
    assert (refused.status, refused.n_read) == (401, 0)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/health/live", 200),
        ("GET", "/v1/models", 200),
        ("GET", "/v1/models/credit", 200),
        ("GET", "/v1/models/grade", 403),
        ("GET", "/metrics", 403),
        ("POST", LABELS, 403),
        ("GET", "/nowhere", 404),
    ],
)
def test_a_key_opens_its_scopes_and_models(guarded: World, method: str, path: str, status: int) -> None:
    """A list is for a key of one model too; what it may not do is refused before the body is read."""
    key, text = make_key("predict", models=("credit",))
    guarded.service.access.replace_keys([key])
    answer = guarded.ask(method, path, JSON, _bearer(text), parts=[_part(b"")])
    assert answer.status == status


@pytest.mark.parametrize("keys", [[], [make_key("operate")[0]]])
def test_a_delivery_needs_no_key_and_has_a_bound_of_its_own(guarded: World, keys: list[ApiKey]) -> None:
    """Its signature is checked over the very bytes."""
    guarded.service.access.replace_keys(keys)
    path = "/v1/hooks/credit/retrain"
    assert guarded.ask("POST", path, JSON, parts=[_part(b"x" * 2048)]).status == 200
    assert guarded.ask("POST", path, JSON, parts=[_part(b"x" * 2049)]).status == 413
    assert guarded.application.bodies == [b"x" * 2048]


def test_where_no_delivery_is_accepted_none_is_read(world: World) -> None:
    """The application refuses it without its body."""
    assert world.ask("POST", "/v1/hooks/credit/retrain", JSON, parts=[_part(b"x" * 9)]).n_read == 0
    assert world.application.bodies == [b""]


# Proxies


def _statuses(world: World, client: str, *forwarded: bytes, n: int = 1) -> set[int]:
    """Return how bad keys are answered."""
    headers = [(b"x-forwarded-for", value) for value in forwarded]
    bad = (b"authorization", b"Bearer pk_0123456789ab_x")
    asked = [_sent_by(world, "GET", "/v1/models", bad, *headers, client=client) for _ in range(n)]

    async def story() -> set[int]:
        return {int((await one)[0]["status"]) for one in asked}

    return asyncio.run(story())


def test_clients_of_a_trusted_proxy_are_told_apart(tmp_path: Path, rates: SharedRates) -> None:
    """One of them sends bad keys and is made to wait, whatever it claims to be; the log names it."""
    world = _world(tmp_path, rates, access="required", trusted_proxies="10.0.0.1 10.0.1.0/24")
    assert _statuses(world, "10.0.0.1", b"203.0.113.9", n=20) == {401}
    assert _statuses(world, "10.0.0.1", b"198.51.100.7, 203.0.113.9") == {429}
    assert _statuses(world, "10.0.0.1", b"198.51.100.7", b"203.0.113.9, 10.0.1.9") == {429}
    assert _statuses(world, "10.0.0.1", b"198.51.100.7") == {401}
    assert _statuses(world, "203.0.113.9", b"198.51.100.8") == {429}
    clients = [line["client.ip"] for line in world.lines()]
    assert (clients[0], clients[-2], clients[-1]) == ("203.0.113.9", "198.51.100.7", "203.0.113.9")


def test_by_default_there_are_no_proxies(guarded: World) -> None:
    """A client that names another address at every request is counted as one."""
    for i in range(20):
        assert _statuses(guarded, "127.0.0.1", f"203.0.113.{i}".encode()) == {401}
    assert _statuses(guarded, "127.0.0.1", b"203.0.113.99") == {429}


# Load and ends


def test_predictions_that_are_too_many_are_refused_and_other_requests_are_not(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a time to come back; a request that is held back no longer counts as work."""
    monkeypatch.setattr("serving.http.entry.HOLD_SECONDS", 0.01)
    n = world.service.settings.max_concurrent
    world.service.count_requests_by(lambda: n)
    assert world.ask("POST", PREDICT).problem["type"] == "urn:perennial:problem:no-model"
    world.service.count_requests_by(lambda: n + 1)
    refused = world.ask("POST", PREDICT)
    assert (refused.status, refused.headers[b"retry-after"]) == (503, b"1")
    assert refused.problem["type"] == "urn:perennial:problem:overloaded"
    for path in ("/health/live", "/metrics", "/v1/models"):
        assert world.ask("GET", path, parts=[_part(b"")]).status == 200
    assert (world.service.n_predictions, world.service.held) == (n + 1, 0)


KEY, KEY_TEXT = make_key("predict", "label", "operate")
KEY_HEADER = (b"authorization", b"Bearer " + KEY_TEXT.encode())
FLOODS: dict[str, tuple[str, str, list[tuple[bytes, bytes]]]] = {
    "unsigned bodies": ("POST", "/v1/hooks/credit/retrain", [JSON]),
    "labels": ("POST", LABELS, [JSON, KEY_HEADER]),
    "the page": ("GET", "/", [KEY_HEADER]),
    "the status": ("GET", "/v1/status", [KEY_HEADER]),
    "documents": ("GET", "/v1/models/credit/card", [KEY_HEADER]),
    "metrics": ("GET", "/metrics", [KEY_HEADER]),
    "health": ("GET", "/health/live", []),
    "no key": ("POST", PREDICT, [JSON]),
    "a wrong key": ("POST", PREDICT, [JSON, (b"authorization", b"Bearer pk_0123456789ab_x")]),
}


@pytest.mark.parametrize("kind", FLOODS)
def test_what_is_no_prediction_takes_no_predictions_place(
    guarded: World, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Three hundred requests of one kind that never end, whose clients do not read, leave all places to predictions."""
    method, path, headers = FLOODS[kind]
    guarded.service.access.replace_keys([KEY])
    monkeypatch.setattr("serving.http.entry.HOLD_SECONDS", 0.01)

    async def story() -> list[str]:
        never, flooding = asyncio.Event(), [asyncio.Event() for _ in range(300)]
        guarded.service.count_requests_by(lambda: len(flooding))

        def stuck(began: asyncio.Event) -> Any:
            async def wait(*_: Any) -> Any:
                began.set()
                await never.wait()

            return wait

        tasks = [
            asyncio.create_task(guarded.entry(_scope(method, path, *headers), stuck(one), stuck(one)))
            for one in flooding
        ]
        await asyncio.wait([asyncio.create_task(one.wait()) for one in flooding], timeout=0.5)
        found = [await _sent_by(guarded, "POST", PREDICT, JSON, KEY_HEADER) for _ in range(5)]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return [json.loads(sent[1]["body"])["type"] for sent in found]

    assert asyncio.run(story()) == 5 * ["urn:perennial:problem:no-model"]


def test_a_delivery_gets_through_slow_unsigned_bodies(guarded: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of one network or of many; a slow one that is displaced may come again, and its connection is closed."""
    monkeypatch.setattr("serving.access.budget.HOLD_SECONDS", 0.01)
    monkeypatch.setattr("serving.access.budget.GRACE_SECONDS", 0)
    path = "/v1/hooks/credit/retrain"

    async def story() -> None:
        for networks in (1, 150):
            before = len(guarded.application.bodies)
            ends = [list[Message]() for _ in range(150)]

            async def never() -> Message:
                return await asyncio.Future()

            def into(sent: list[Message]) -> Send:
                async def send(message: Message) -> None:
                    sent.append(message)

                return send

            tasks = [
                asyncio.create_task(
                    guarded.entry(_scope("POST", path, JSON, client=f"10.0.0.{i % networks}"), never, into(end))
                )
                for i, end in enumerate(ends)
            ]
            await asyncio.sleep(0.1)
            sent = await _sent_by(guarded, "POST", path, JSON, parts=[_part(b"{}")], client="192.0.2.1")
            assert sent[0]["status"] == 200
            assert len(guarded.application.bodies) == before + 1
            await asyncio.sleep(0.1)
            refused = [end for end in ends if end]
            assert len(refused) >= 150 - guarded.service.settings.max_concurrent_other
            for end in refused:
                headers = dict(end[0]["headers"])
                assert (end[0]["status"], headers[b"retry-after"], headers[b"connection"]) == (503, b"1", b"close")
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(story())


def test_an_unsigned_body_has_less_time_than_a_paid_one(guarded: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is answered 408 while bodies with a key still have time."""
    monkeypatch.setattr("serving.http.entry.DELIVERY_SECONDS", 0.05)
    guarded.service.access.replace_keys([KEY])

    async def story() -> tuple[Message, bool]:
        async def never() -> Message:
            return await asyncio.Future()

        sent = list[Message]()

        async def send(message: Message) -> None:
            sent.append(message)

        paid = asyncio.create_task(guarded.entry(_scope("POST", LABELS, JSON, KEY_HEADER), never, send))
        await guarded.entry(_scope("POST", "/v1/hooks/credit/retrain", JSON), never, send)
        is_waiting = not paid.done()
        paid.cancel()
        await asyncio.gather(paid, return_exceptions=True)
        return sent[0], is_waiting

    first, is_waiting = asyncio.run(story())
    assert (first["status"], is_waiting) == (408, True)


def test_while_the_service_ends_connections_close(world: World) -> None:
    """After answers of the application and after refusals."""
    assert b"connection" not in world.ask("GET", "/v1/models", parts=[_part(b"")]).headers
    world.service.draining = True
    answer = world.ask("GET", "/v1/models", parts=[_part(b"")])
    assert (answer.headers[b"connection"], answer.headers[b"a"]) == (b"close", b"b")
    assert world.ask("GET", "/nowhere").headers[b"connection"] == b"close"


def test_what_is_no_request_goes_on_to_the_application(world: World) -> None:
    """Such as the server's start and end."""

    async def start() -> None:
        async def nothing(*_: Any) -> Any: ...

        await world.entry({"type": "lifespan"}, nothing, nothing)

    asyncio.run(start())
    assert world.application.kinds == ["lifespan"]


# The log


def test_each_request_is_a_line_but_health_that_is_well(world: World) -> None:
    """With route, status and the problem; paths are cut."""
    world.ask("GET", "/health/live", parts=[_part(b"")])
    world.ask("GET", "/v1/models", (b"x-request-id", b"mine-1"), parts=[_part(b"")])
    world.ask("GET", "/" + "n" * 1000, (b"x-request-id", b"not mine"))
    models, unknown = world.lines()
    assert (models["message"], models["http.request.id"], models["client.ip"]) == (
        "GET models 200",
        "mine-1",
        "10.0.0.1",
    )
    assert (unknown["message"], unknown["error.code"], unknown["log.level"]) == ("GET other 404", "not-found", "info")
    assert len(unknown["url.path"]) == 256
    assert unknown["http.request.id"] != "not mine"


def test_a_failure_behind_is_a_line_and_a_count(world: World) -> None:
    """The client learns nothing of it, and the service goes on."""
    world.application.fails = True
    assert world.ask("GET", "/v1/models", parts=[_part(b"")]).sent == []
    (line,) = world.lines()
    assert (line["error.code"], line["http.response.status_code"], line["log.level"]) == (
        "internal-error",
        500,
        "error",
    )
    assert "secret" not in json.dumps(line)
    counted = world.service.metrics.errors.labels("internal-error", "", "", "")
    assert counted._value.get() == 1


def test_a_request_has_no_labels_before_a_model_answers() -> None:
    """A client that names models makes no series of them."""
    exchange = Exchange({"method": "GET", "path": "/v1/models/credit/predict", "headers": [], "client": None})
    assert (exchange.route, exchange.model_name, exchange.labels, exchange.client) == (
        "predict",
        "credit",
        ("", "", ""),
        "",
    )
