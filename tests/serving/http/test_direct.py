"""Predictions without a task of their own: the same answers as the usual way, together, and each for itself."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from serving.access.rates import SharedRates
from serving.http.direct import DirectPredictions
from serving.instance.state import ModelState
from serving.model.answers import AnswerWriter
from serving.model.invalid import Locate
from serving.model.rows import RowReader
from serving.model.served import MAX_INLINE_ROWS, ServedModel
from tests.serving.obstacles import locked
from tests.serving.running import Example, Row, Running, await_that, make_key, running

CREDIT = "/v1/models/credit/predict"
PRICE = "/v1/models/price/predict"
GRADE = "/v1/models/grade/predict"
JSON = "Content-Type: application/json"


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Return a list that gets, for each request of a service started afterwards, whether it was taken over."""
    results: list[bool] = []
    take = DirectPredictions.take

    def noted(self: DirectPredictions, cycle: RequestResponseCycle) -> bool:
        results.append(take(self, cycle))
        return results[-1]

    monkeypatch.setattr(DirectPredictions, "take", noted)
    return results


@pytest.fixture
def sizes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that gets the number of rows of each call of a model."""
    results: list[int] = []
    answer = ServedModel.answer_inline

    def noted(self: ServedModel, values: Sequence[tuple[Any, ...]], locate: Locate) -> list[Any]:
        results.append(len(values))
        return answer(self, values, locate)

    monkeypatch.setattr(ServedModel, "answer_inline", noted)
    return results


def _head(service: Running, path: str, body: bytes, *lines: str) -> bytes:
    head = [f"POST {path} HTTP/1.1", f"Host: 127.0.0.1:{service.port}", f"Content-Length: {len(body)}", *lines]
    return "\r\n".join([*head, "Connection: close", "", ""]).encode()


def _answer(connection: socket.socket) -> bytes:
    return b"".join(iter(lambda: connection.recv(65536), b""))


def _at_once(service: Running, path: str, body: bytes, *lines: str) -> bytes:
    with service.connect() as connection:
        connection.sendall(_head(service, path, body, *lines) + body)
        return _answer(connection)


def _in_parts(service: Running, path: str, body: bytes, *lines: str) -> bytes:
    """Send the body when the service asks for it, which only the usual way does; or read a refusal before."""
    with service.connect() as connection:
        connection.sendall(_head(service, path, body, *lines, "Expect: 100-continue"))
        first = connection.recv(65536)
        if not first.startswith(b"HTTP/1.1 100 "):
            return first + _answer(connection)
        connection.sendall(body)
        return first.partition(b"\r\n\r\n")[2] + _answer(connection)


def _read(answer: bytes) -> tuple[str, dict[str, str], Any]:
    """Return status line, headers and document, without what differs between any two requests."""
    head, _, body = answer.partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines)
    document = json.loads(body)
    assert int(headers["content-length"]) == len(body)
    assert document.pop("request_id", headers["x-request-id"]) == headers.pop("x-request-id")
    headers.pop("date")
    for one in document.get("predictions", ()):
        one.pop("id")
    return status, headers, document


def _body(rows: Sequence[Any]) -> bytes:
    return json.dumps({"rows": rows}).encode()


def _requests(examples: dict[str, Example]) -> dict[str, tuple[str, bytes, tuple[str, ...]]]:
    credit, price = examples["credit"].rows(3), examples["price"].rows(2)
    dated = next(name for name in examples["price"].contract.dates)
    return {
        "one row": (CREDIT, _body(credit[:1]), (JSON,)),
        "three rows": (CREDIT, _body(credit), (JSON,)),
        "a regression": (PRICE, _body(price), (JSON,)),
        "a pipeline without a graph": (GRADE, _body(examples["grade"].rows(2)), (JSON,)),
        "more rows than are answered inline": (CREDIT, _body(examples["credit"].rows(1) * 250), (JSON,)),
        "an id of the client": (CREDIT, _body(credit), (JSON, "X-Request-ID: abc")),
        "not JSON": (CREDIT, b"{", (JSON,)),
        "not an object": (CREDIT, b"[]", (JSON,)),
        "no rows": (CREDIT, _body([]), (JSON,)),
        "an unknown column": (CREDIT, _body([{**credit[0], "x": 1}]), (JSON,)),
        "a missing column": (CREDIT, _body([{}]), (JSON,)),
        "not finite": (CREDIT, _body([{**credit[0], "age": float("nan")}]), (JSON,)),
        "not a date": (PRICE, _body([price[0], {**price[1], dated: "soon"}]), (JSON,)),
        "another type": (CREDIT, _body(credit), ("Content-Type: text/plain",)),
        "no type": (CREDIT, _body(credit), ()),
        "an unknown model": ("/v1/models/none/predict", _body(credit), (JSON,)),
        "another host": (CREDIT, _body(credit), (JSON, "Host: example.org")),
        "a bad key": (CREDIT, _body(credit), (JSON, "Authorization: Bearer nonsense")),
        "too large": (CREDIT, b" " * 70_000, (JSON,)),
    }


@pytest.fixture(scope="module")
def states(examples: dict[str, Example]) -> list[Any]:
    """Return the states of all models."""
    return [example.state for example in examples.values()]


def test_both_ways_give_the_same_answer(
    examples: dict[str, Example], states: list[Any], tmp_path: Path, taken: list[bool]
) -> None:
    """A request that arrives at once and one that arrives in parts differ in ids and times alone."""
    usual = {"a pipeline without a graph", "more rows than are answered inline", "another type", "no type",
             "an unknown model", "a bad key", "too large"}  # fmt: skip
    with _serving(tmp_path, states, max_body_kb=64, bad_credentials_per_minute=1000) as service:
        for name, (path, body, lines) in _requests(examples).items():
            taken.clear()
            at_once = _read(_at_once(service, path, body, *lines))
            assert taken == [name not in usual], name
            in_parts = _read(_in_parts(service, path, body, *lines))
            assert at_once == in_parts, name
        recorded = service.access_lines()
    assert len(recorded) == 2 * len(_requests(examples))
    for one, other in zip(recorded[::2], recorded[1::2], strict=True):
        varying = ("@timestamp", "event.duration", "http.request.id", "perennial.prediction_id")
        assert all(one[name] == other[name] for name in one.keys() | other.keys() if name not in varying)


def test_rights_and_rates_are_those_of_the_usual_way(
    examples: dict[str, Example], states: list[Any], tmp_path: Path, taken: list[bool]
) -> None:
    """A key is verified once the usual way; then its rights and its rate hold for what is taken over."""
    body = _body(examples["credit"].rows(1))
    (fast, fast_text), (slow, slow_text), (other, other_text) = (
        make_key("predict"),
        make_key("predict", rate=0.001),
        make_key("predict", models=("price",)),
    )
    with _serving(tmp_path, states, keys=(fast, slow, other), access="required") as service:

        def ask(key: str) -> int:
            return int(_read(_at_once(service, CREDIT, body, JSON, f"Authorization: Bearer {key}"))[0].split()[1])

        assert [ask(fast_text) for _ in range(3)] == [200, 200, 200]
        assert [ask(slow_text), ask(slow_text)] == [200, 429]
        assert [ask(other_text), ask(other_text)] == [403, 403]
        assert taken == [False, True, True, False, True, False, True]
        service.publish(states, ())
        assert ask(fast_text) in (401, 503)


def test_a_request_is_counted_once_in_its_rate(
    examples: dict[str, Example], states: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also one that is admitted here and then answered the usual way, for its many rows."""
    counted: list[str] = []
    allow = SharedRates.allow

    def noted(self: SharedRates, name: str, *given: Any, **more: Any) -> float:
        counted.append(name)
        return allow(self, name, *given, **more)

    monkeypatch.setattr(SharedRates, "allow", noted)
    key, text = make_key("predict", rate=1000.0)
    bodies = [_body(examples["credit"].rows(1) * n) for n in (1, 1, MAX_INLINE_ROWS + 1)]
    with _serving(tmp_path, states, keys=(key,), access="required") as service:
        answers = [_at_once(service, CREDIT, body, JSON, f"Authorization: Bearer {text}") for body in bodies]
    assert [answer[:12] for answer in answers] == [b"HTTP/1.1 200"] * 3
    assert counted == [f"caller key:{key.id}"] * 3


@contextmanager
def _serving(folder: Path, states: Sequence[ModelState], **given: Any) -> Iterator[Running]:
    """Serve models, all of them in memory: a request for another one goes the usual way."""
    with running(folder, states, **given) as service:
        await_that(lambda: len(service.service.models) == len(states))
        yield service


def _while_busy(service: Running, requests: Sequence[tuple[str, bytes]]) -> list[tuple[str, dict[str, str], Any]]:
    """Send requests on connections of their own while the event loop is busy, so that it reads them in one turn."""
    loop = service.service.log._loop
    assert loop is not None
    with ExitStack() as stack:
        connections = [stack.enter_context(service.connect()) for _ in requests]
        await_that(lambda: len(service.server.server_state.connections) == len(requests))
        holds, sent = threading.Event(), threading.Event()

        def hold() -> None:
            holds.set()
            sent.wait(60)

        loop.call_soon_threadsafe(hold)
        assert holds.wait(60)
        for connection, (path, body) in zip(connections, requests, strict=True):
            connection.sendall(_head(service, path, body, JSON) + body)
        sent.set()
        return [_read(_answer(connection)) for connection in connections]


def test_requests_of_one_turn_go_through_the_model_together(
    examples: dict[str, Example], states: list[Any], tmp_path: Path, sizes: list[int]
) -> None:
    """Each gets the answers to its own rows, and each is in the log with its own."""
    rows = examples["credit"].rows(12)
    with _serving(tmp_path, states) as service:
        alone = [_read(_at_once(service, CREDIT, _body([row]), JSON))[2]["predictions"][0] for row in rows]
        sizes.clear()
        shares = [rows[:1], rows[1:4], rows[4:5], rows[5:12]]
        answers = _while_busy(service, [(CREDIT, _body(share)) for share in shares])
        assert sizes == [12]
        found = [one for _, _, document in answers for one in document["predictions"]]
        for one, other in zip(found, alone, strict=True):
            assert one["probabilities"] == other["probabilities"]
        await_that(lambda: len(service.query("SELECT * FROM prediction_requests")) == 16)
        requests = service.query("SELECT n_rows FROM prediction_requests ORDER BY id")[-4:]
        logged = service.query("SELECT features, output FROM predictions ORDER BY id")[-12:]
    assert sorted(one["n_rows"] for one in requests) == [1, 1, 3, 7]
    for one in logged:
        place = rows.index(json.loads(one["features"]))
        assert json.loads(one["output"]) == list(alone[place]["probabilities"].values())


def test_a_wrong_row_is_refused_alone(
    examples: dict[str, Example], states: list[Any], tmp_path: Path, sizes: list[int]
) -> None:
    """The other requests of the turn are answered, and the refusal names the row by its place in its own request."""
    rows = examples["price"].rows(4)
    dated = next(name for name in examples["price"].contract.dates)
    wrong: list[Row] = [rows[0], {**rows[1], dated: "soon"}]
    with _serving(tmp_path, states) as service:
        answers = _while_busy(service, [(PRICE, _body(share)) for share in (rows[:1], wrong, rows[2:])])
    assert [status.split()[1] for status, _, _ in answers] == ["200", "422", "200"]
    assert answers[1][2]["errors"][0]["pointer"] == f"/rows/1/{dated}"
    assert sizes == [5, 1, 2, 2]


def test_a_turn_has_no_more_rows_than_are_answered_inline(
    examples: dict[str, Example], states: list[Any], tmp_path: Path, sizes: list[int]
) -> None:
    """Requests of two models, and of more rows than the event loop may compute at once, go in several calls."""
    credit, price = examples["credit"].rows(1) * 90, examples["price"].rows(1)
    requests = [(CREDIT, _body(credit))] * 3 + [(PRICE, _body(price))]
    with _serving(tmp_path, states) as service:
        answers = _while_busy(service, requests)
    assert [status.split()[1] for status, _, _ in answers] == ["200"] * 4
    assert sorted(sizes) == [1, 90, 180]


@pytest.mark.parametrize(
    ("kind", "name"), [(RowReader, "read"), (ServedModel, "answer_inline"), (AnswerWriter, "write")]
)
def test_an_unforeseen_failure_is_a_problem_of_each(
    examples: dict[str, Example],
    states: list[Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: type[Any],
    name: str,
) -> None:
    """No request of the turn stays without an answer or keeps its place, and the next one is answered."""
    body = _body(examples["credit"].rows(1))
    with _serving(tmp_path, states) as service:
        with monkeypatch.context() as patch:
            patch.setattr(kind, name, lambda *_: 1 / 0)
            answers = _while_busy(service, [(CREDIT, body)] * 3)
        assert [document["type"] for _, _, document in answers] == ["urn:perennial:problem:internal-error"] * 3
        assert "ZeroDivisionError" in service.logged
        assert _at_once(service, CREDIT, body, JSON).startswith(b"HTTP/1.1 200")
        assert service.service.in_flight == 0


def test_an_answer_waits_for_the_log(examples: dict[str, Example], states: list[Any], tmp_path: Path) -> None:
    """Under ``commit``, a request whose transaction does not end gets its refusal when its time is over."""
    body = _body(examples["credit"].rows(1))
    with _serving(tmp_path, states, log="commit", timeout_seconds=1) as service:
        with locked(service.database_url):
            status, headers, document = _read(_at_once(service, CREDIT, body, JSON))
            assert (status.split()[1], document["type"]) == ("503", "urn:perennial:problem:log-unavailable")
            assert headers["retry-after"] == "1"
            assert service.service.in_flight == 0
        await_that(lambda: _at_once(service, CREDIT, body, JSON).startswith(b"HTTP/1.1 200"))
