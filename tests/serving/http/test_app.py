"""What clients see of the service, over a real port."""

from __future__ import annotations

import io
import json
import re
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pyarrow as pa
import pytest

from core.prediction_ids import is_prediction_id, prediction_id
from serving import routes
from serving.ids import new_request_id
from serving.problems import KINDS
from serving.routes import ACCESS, WITH_BODY
from store.key_text import ApiKey
from tests.serving.deliveries import PATH, deliver, hook_settings, project, standard
from tests.serving.obstacles import locked
from tests.serving.running import CARD_TEXT, Example, Row, Running, await_that, changed, make_key, revoked, running

JSON = {"content-type": "application/json"}
ROUTES = [(route.name, route.path.format(model="credit", version=1)) for route in routes.ROUTES]
"""Every route with a path that leads to it."""


@pytest.fixture(scope="module")
def service(examples: dict[str, Example], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Return a service of three models that asks for no credentials."""
    states = [example.state for example in examples.values()]
    with running(tmp_path_factory.mktemp("open"), states, max_rows=100, max_body_kb=1024) as service:
        yield service


def _problem(response: httpx.Response, status: int, kind: str) -> dict[str, Any]:
    """Check that an answer is a problem document, and return it."""
    assert (response.status_code, response.headers["content-type"]) == (status, "application/problem+json")
    document: dict[str, Any] = response.json()
    assert document["type"] == f"urn:perennial:problem:{kind}"
    assert (document["status"], document["title"]) == KINDS[kind]
    assert document["request_id"] == response.headers["x-request-id"]
    assert document["detail"]
    return document


def _rows(example: Example, n: int, **more: Any) -> list[Row]:
    return [{**row, **more} for row in example.rows(n)]


# Predictions


def _numbers(prediction: dict[str, Any]) -> dict[str, float]:
    numbers: dict[str, float] = prediction.get("probabilities") or {"value": prediction["value"]}
    return numbers


@pytest.mark.parametrize("name", ["credit", "grade", "price"])
@pytest.mark.parametrize("n", [1, 3])
def test_rows_are_answered_in_their_order(service: Running, examples: dict[str, Example], name: str, n: int) -> None:
    """Each with an id of its own, and with the model's name and version."""
    answer = service.predict(name, examples[name].rows(n))
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    document = answer.json()
    assert (document["model"], document["version"], document["variant"]) == (name, 1, "champion")
    first = document["predictions"][0]["id"]
    assert is_prediction_id(first)
    assert first.endswith("0000")
    assert answer.headers["x-request-id"] == first
    assert [one["id"] for one in document["predictions"]] == [prediction_id(first, place) for place in range(n)]
    for place, row in enumerate(examples[name].rows(n)):
        (alone,) = service.predict(name, [row]).json()["predictions"]
        assert _numbers(alone) == pytest.approx(_numbers(document["predictions"][place]), abs=1e-6)
    assert list(_numbers(document["predictions"][0])) == list(examples[name].contract.classes or ["value"])


def test_what_is_answered_is_in_the_log(service: Running, examples: dict[str, Example]) -> None:
    """By its id, with features, key and answer, when the answer arrives."""
    rows = [{**row, "id": key} for row, key in zip(examples["credit"].rows(2), ("k-1", 17), strict=True)]
    answered = service.predict("credit", rows).json()["predictions"]
    for prediction, row in zip(answered, rows, strict=True):
        (logged,) = service.query(f"SELECT * FROM predictions WHERE id = '{prediction['id']}'")  # noqa: S608 - an id
        assert json.loads(logged["features"]) == row
        assert json.loads(logged["output"]) == list(prediction["probabilities"].values())
        assert (str(logged["entity_key"]), logged["version"]) == (str(row["id"]), 1)


def test_a_client_names_its_requests(service: Running, examples: dict[str, Example]) -> None:
    """Where the name is one; otherwise it gets another."""
    for given in ("abc-1.2:3_x", "a" * 64):
        answer = service.request("GET", "/v1/models", headers={"x-request-id": given})
        assert answer.headers["x-request-id"] == given
        answer = service.request("GET", "/nowhere", headers={"x-request-id": given})
        assert _problem(answer, 404, "not-found")["request_id"] == given
        body = {"rows": examples["credit"].rows()}
        answer = service.request("POST", "/v1/models/credit/predict", headers={"x-request-id": given}, json=body)
        assert answer.headers["x-request-id"] == given
        assert is_prediction_id(answer.json()["predictions"][0]["id"])
    for bad in ("a" * 65, "a b", "", "ä".encode(), 'a"b'):
        answer = service.request("GET", "/v1/models", headers=[("x-request-id", bad)])
        assert is_prediction_id(answer.headers["x-request-id"])


def test_a_connection_serves_many_requests(service: Running, examples: dict[str, Example]) -> None:
    """Also after refusals whose bodies nobody read."""
    with service.client() as client:
        for _ in range(3):
            refused = client.post("/v1/models/credit/predict", content=b"x" * 300_000, headers={"content-type": "a/b"})
            _problem(refused, 415, "unsupported-media-type")
            body = {"rows": examples["credit"].rows()}
            assert client.post("/v1/models/credit/predict", json=body).status_code == 200


def test_an_arrow_stream_is_answered_by_one(service: Running, examples: dict[str, Example]) -> None:
    """With the numbers of JSON, and in the log with the same features; guards and refusals are those of JSON."""
    rows = examples["credit"].rows(60)
    out, table = io.BytesIO(), pa.Table.from_pylist(rows)
    with pa.ipc.new_stream(out, table.schema) as writer:
        writer.write_table(table)
    sent: dict[str, Any] = {
        "content": out.getvalue(),
        "headers": {"content-type": "application/vnd.apache.arrow.stream"},
    }
    answer = service.request("POST", "/v1/models/credit/predict", **sent)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/vnd.apache.arrow.stream")
    found = pa.ipc.open_stream(answer.content).read_all()
    expected = service.predict("credit", rows).json()["predictions"]
    for name in ("0", "1"):
        assert found[f"probabilities.{name}"].to_pylist() == [one["probabilities"][name] for one in expected]
    ids = [*found["id"].to_pylist(), *(one["id"] for one in expected)]
    await_that(lambda: set(ids) <= {one["id"] for one in service.query("SELECT id FROM predictions")})
    logged = {one["id"]: one["features"] for one in service.query("SELECT id, features FROM predictions")}
    assert [logged[one] for one in ids[:60]] == [logged[one] for one in ids[60:]]
    wrong = service.request("POST", "/v1/models/credit/predict", **{**sent, "content": b"PAR1"})
    _problem(wrong, 400, "invalid-arrow")
    huge = service.request("POST", "/v1/models/credit/predict", **{**sent, "content": b"x" * 1_100_000})
    _problem(huge, 413, "body-too-large")
    for path in ("/v2/models/credit/infer", "/v1/models/credit/labels"):
        _problem(service.request("POST", path, **sent), 415, "unsupported-media-type")


# Refusals


BIG = b'{"rows": [' + b" " * 1_100_000 + b"]}"


@pytest.mark.parametrize(
    ("method", "path", "given", "status", "kind"),
    [
        ("POST", "/v1/models/nobody/predict", {"json": {}}, 404, "not-found"),
        ("POST", "/v1/models/nobody/labels", {"json": {"labels": [{"key": "a", "label": "1"}]}}, 404, "not-found"),
        ("GET", "/v1/models/nobody", {}, 404, "not-found"),
        ("GET", "/v1/models/nobody/card", {}, 404, "not-found"),
        ("GET", "/v1/models/credit/nothing", {}, 404, "not-found"),
        ("GET", "/v1/models/credit/card/", {}, 404, "not-found"),
        ("GET", "/v1/models/", {}, 404, "not-found"),
        ("GET", "/v1/models/credit%2Fcard/card", {}, 404, "not-found"),
        ("GET", "/v1/models/credit%0A", {}, 404, "not-found"),
        ("GET", "/v1/models/credit/card%0A", {}, 404, "not-found"),
        ("GET", "/v1/models/%2e%2e/card", {}, 404, "not-found"),
        ("GET", "/metrics%0A", {}, 404, "not-found"),
        ("GET", "/metrics/", {}, 404, "not-found"),
        ("GET", "/docs", {}, 404, "not-found"),
        ("PUT", "/nowhere", {}, 404, "not-found"),
        ("POST", "/v1/models/credit/labels%0A", {"json": {"labels": [{"key": "a", "label": "1"}]}}, 404, "not-found"),
        ("GET", "/v1/models/credit/predict", {}, 405, "method-not-allowed"),
        ("PUT", "/v1/models/credit/predict", {"json": {}}, 405, "method-not-allowed"),
        ("DELETE", "/v1/models/credit", {}, 405, "method-not-allowed"),
        ("PATCH", "/v1/models/credit/labels", {"json": {}}, 405, "method-not-allowed"),
        ("OPTIONS", "/v1/models/credit/predict", {}, 405, "method-not-allowed"),
        ("TRACE", "/health/live", {}, 405, "method-not-allowed"),
        ("PURGE", "/metrics", {}, 405, "method-not-allowed"),
        ("POST", "/health/ready", {"json": {}}, 405, "method-not-allowed"),
        ("POST", "/v1/models/credit/predict", {"content": BIG, "headers": JSON}, 413, "body-too-large"),
        ("POST", "/v1/models/credit/labels", {"content": BIG, "headers": JSON}, 413, "body-too-large"),
        ("POST", "/v1/models/credit/predict", {"content": iter([BIG]), "headers": JSON}, 413, "body-too-large"),
        ("POST", "/v1/models/credit/labels", {"content": iter([BIG]), "headers": JSON}, 413, "body-too-large"),
        ("POST", "/v1/models/credit/predict", {"data": {"rows": "1"}}, 415, "unsupported-media-type"),
        ("POST", "/v1/models/credit/labels", {"content": "{}"}, 415, "unsupported-media-type"),
        (
            "POST",
            "/v1/models/credit/predict",
            {"content": "{}", "headers": {"content-type": "application/jsonx"}},
            415,
            "unsupported-media-type",
        ),
        ("POST", "/v1/models/credit/predict", {"content": "{", "headers": JSON}, 400, "invalid-json"),
        ("POST", "/v1/models/credit/predict", {"content": "", "headers": JSON}, 400, "invalid-json"),
        ("POST", "/v1/models/credit/labels", {"content": "{", "headers": JSON}, 400, "invalid-json"),
        ("POST", "/v1/models/credit/labels", {"content": b"\xff", "headers": JSON}, 400, "invalid-json"),
        ("POST", "/v1/models/credit/labels", {"content": "[" * 100_000, "headers": JSON}, 400, "invalid-json"),
        (
            "POST",
            "/v1/models/credit/labels",
            {"content": '{"labels": [{"key": ' + "1" * 5000 + "}]}", "headers": JSON},
            400,
            "invalid-json",
        ),
        ("POST", "/v1/models/credit/predict", {"json": {"rows": []}}, 422, "invalid-request"),
        (
            "POST",
            "/v1/models/credit/predict",
            {"content": b'{"rows": [{"\\ud800": 1}]}', "headers": JSON},
            400,
            "invalid-json",
        ),
        (
            "POST",
            "/v1/models/credit/predict",
            {"content": b'{"rows": [{"\\ud800": NaN}]}', "headers": JSON},
            422,
            "invalid-request",
        ),
        ("POST", "/v1/models/credit/labels", {"json": {"labels": []}}, 422, "invalid-request"),
    ],
)
def test_a_refusal_is_a_problem_document(
    service: Running, method: str, path: str, given: dict[str, Any], status: int, kind: str
) -> None:
    """With the status, the words and the request's id, whatever was wrong."""
    answer = service.request(method, path, **given)
    _problem(answer, status, kind)
    if status == 405:
        assert answer.headers["allow"] in ("GET", "POST")


def test_a_wrong_field_is_named(service: Running, examples: dict[str, Example]) -> None:
    """In the document's errors, as a name and as a JSON pointer."""
    rows = _rows(examples["credit"], 2)
    rows[1]["income"] = "much"
    document = _problem(service.predict("credit", rows), 422, "invalid-request")
    assert document["errors"] == [
        {"field": "income", "detail": "Expected `float | null`, got `str`", "pointer": "/rows/1/income"}
    ]


@pytest.mark.parametrize("path", ["/health/live", "/metrics", "/v1/models", "/v1/models/credit/predict", "/nowhere"])
def test_a_head_request_has_no_body(service: Running, path: str) -> None:
    """Whatever is answered to it."""
    answer = service.request("HEAD", path)
    assert answer.status_code in (404, 405)
    assert answer.content == b""


def test_percent_encoded_names_are_names(service: Running, examples: dict[str, Example]) -> None:
    """An address means the same in either form."""
    body = {"rows": examples["credit"].rows()}
    assert service.request("POST", "/v1/models/%63redit/predict", json=body).json()["model"] == "credit"
    assert service.request("GET", "/v1/models/cr%65dit").json()["model"] == "credit"
    assert service.request("GET", "/v1/models/credit?x=1").json()["model"] == "credit"


# Bodies


def test_chunked_bodies_are_read(service: Running, examples: dict[str, Example]) -> None:
    """Their lengths need not be known before."""
    content = json.dumps({"rows": examples["credit"].rows(100)}).encode()
    parts = (content[start : start + 700] for start in range(0, len(content), 700))
    answer = service.request("POST", "/v1/models/credit/predict", content=parts, headers=JSON)
    assert len(answer.json()["predictions"]) == 100


def _sent(service: Running, text: bytes) -> list[bytes]:
    """Send bytes and return the bodies of the answers, until the server closes."""
    with service.connect() as connection:
        connection.sendall(text)
        received = b"".join(iter(lambda: connection.recv(65536), b""))
    heads = re.split(rb"(?=HTTP/1\.1 \d{3})", received)
    return [head.partition(b"\r\n\r\n")[2] for head in heads if head]


def _raw(service: Running, method: str, path: str, body: bytes = b"", *lines: str) -> bytes:
    head = [f"{method} {path} HTTP/1.1", f"Host: 127.0.0.1:{service.port}", f"Content-Length: {len(body)}", *lines]
    return "\r\n".join([*head, "", ""]).encode() + body


def test_pipelined_requests_are_answered_in_their_order(service: Running, examples: dict[str, Example]) -> None:
    """Also where a refusal stands between them."""
    kind = "Content-Type: application/json"
    bodies = [json.dumps({"rows": examples["credit"].rows(n)}).encode() for n in (1, 2)]
    text = b"".join(
        [
            _raw(service, "POST", "/v1/models/credit/predict", bodies[0], kind),
            _raw(service, "POST", "/v1/models/credit/predict", b"{", kind),
            _raw(service, "POST", "/v1/models/credit/predict", bodies[1], kind),
            _raw(service, "GET", "/health/live", b"", "Connection: close"),
        ]
    )
    first, refused, second, live = map(json.loads, _sent(service, text))
    assert [len(answer["predictions"]) for answer in (first, second)] == [1, 2]
    assert (refused["status"], live["status"]) == (400, "live")


@pytest.mark.parametrize("path", ["/v1/models/credit/predict", "/v1/models/credit/labels"])
def test_a_body_that_does_not_come_is_not_waited_for(examples: dict[str, Example], tmp_path: Path, path: str) -> None:
    """After the time a request has it is answered, and the connection closed: the rest might drip in for ever."""
    with running(tmp_path, [examples["credit"].state], timeout_seconds=0.5) as service:
        with service.connect() as connection:
            text = _raw(service, "POST", path, b"x" * 1000, "Content-Type: application/json")
            connection.sendall(text[:-900])
            received = b"".join(iter(lambda: connection.recv(65536), b""))  # until it is closed
            assert received.startswith(b"HTTP/1.1 408 ")
            assert b"body-too-slow" in received
        assert service.request("GET", "/health/ready").status_code == 200


def test_a_client_that_leaves_breaks_nothing(service: Running) -> None:
    """In the middle of a body."""
    text = _raw(service, "POST", "/v1/models/credit/predict", b"x" * 1000, "Content-Type: application/json")
    for _ in range(5):
        with service.connect() as connection:
            connection.sendall(text[:-900])
    assert service.request("GET", "/health/live").status_code == 200
    assert "Traceback" not in service.logged


# Who asks, where the service is open


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:80", "127.0.0.1@x", ""]
)
@pytest.mark.parametrize("more", [{}, {"authorization": ""}])
def test_other_hosts_names_are_refused(service: Running, host: str, more: dict[str, str]) -> None:
    """A page in a browser may reach the port under its own name, and must not read the answers."""
    for path in ("/v1/models", "/metrics", "/openapi.json", "/health/ready", "/"):
        _problem(service.request("GET", path, headers={"host": host, **more}), 400, "invalid-host")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "LOCALHOST:8470", "[::1]:1", "127.9.8.7"])
def test_this_machines_names_are_answered(service: Running, host: str) -> None:
    """With any port: a tunnel may have another."""
    assert service.request("GET", "/v1/models", headers={"host": host}).status_code == 200


def test_a_bad_key_is_refused_where_none_is_needed(service: Running) -> None:
    """Whoever sends one expects it to count."""
    answer = service.request("GET", "/v1/models", key="pk_nonsense")
    _problem(answer, 401, "unauthenticated")
    assert "Bearer" in answer.headers["www-authenticate"]


# Models, cards, health


def test_models_are_listed(service: Running) -> None:
    """With what is known of the versions that answer."""
    models = service.request("GET", "/v1/models").json()["models"]
    assert [(model["model"], model["task"], model["runtime"]) for model in models] == [
        ("credit", "binary", "onnx"),
        ("grade", "multiclass", "skops"),
        ("price", "regression", "onnx"),
    ]
    for model in models:
        assert service.request("GET", f"/v1/models/{model['model']}").json() == model


def test_a_model_outside_the_memory_is_loaded_by_its_first_request(
    examples: dict[str, Example], tmp_path: Path
) -> None:
    """A body that cannot be answered loads nothing; labels and documents need no load."""
    with running(tmp_path, [example.state for example in examples.values()]) as service:
        rows = examples["price"].rows(3)
        await_that(lambda: len(service.service.models) == 3)
        before = service.predict("price", rows).json()["predictions"]
        service.service.settings = service.service.settings.model_copy(update={"models_memory_mb": 0.8})
        service.service._unload("price")
        _problem(service.predict("price", [{"age": "x"}]), 422, "invalid-request")
        label = {"id": before[0]["id"], "label": 3.0}
        assert service.request("POST", "/v1/models/price/labels", json={"labels": [label]}).status_code == 200
        for path in ("/v1/models/price/example", "/v1/models/price/card", "/openapi.json", "/metrics"):
            assert service.request("GET", path).status_code == 200
        assert service.request("GET", "/v1/models/price").json()["in_memory"] is False
        models = service.request("GET", "/v1/status").json()["models"]
        assert {model["model"]: model["in_memory"] for model in models} == {
            "credit": True,
            "grade": True,
            "price": False,
        }
        assert service.request("GET", "/health/ready").status_code == 200
        after = service.predict("price", rows).json()["predictions"]
        assert [one["value"] for one in after] == [one["value"] for one in before]
        assert service.request("GET", "/v1/models/price").json()["in_memory"] is True


def test_a_card_can_do_nothing(service: Running) -> None:
    """It is made of data: no script runs, nothing is fetched, and it is no document of this origin."""
    answer = service.request("GET", service.request("GET", "/v1/models/credit").json()["card"])
    assert answer.text == CARD_TEXT
    assert answer.headers["content-type"].startswith("text/html")
    policy = answer.headers["content-security-policy"].split("; ")
    assert "sandbox" in policy
    assert "default-src 'none'" in policy
    assert not any(part.startswith(("script-src", "connect-src", "frame-src")) for part in policy)


def test_health_says_why_not(examples: dict[str, Example], tmp_path: Path) -> None:
    """Live always; ready where a model is loaded; a model that cannot be loaded is refused and told of."""
    spoilt = changed(examples["credit"].state, manifest="0" * 64)
    with running(tmp_path, [spoilt]) as service:
        assert service.request("GET", "/health/live").json() == {"status": "live", "reason": None}
        ready = service.request("GET", "/health/ready")
        assert ready.status_code == 503
        assert ready.json() == {"status": "not ready", "reason": "no model is loaded; credit could not be loaded"}
        answer = service.predict("credit", examples["credit"].rows())
        _problem(answer, 503, "no-model")
        assert int(answer.headers["retry-after"]) > 0
        service.publish([examples["credit"].state])
        assert service.request("GET", "/health/ready").status_code == 200
        assert service.predict("credit", examples["credit"].rows()).status_code == 200


# Labels


def _label(service: Running, model: str, *labels: Any, key: str | None = None) -> httpx.Response:
    # Dumped here, where half a surrogate pair is escaped.
    content = json.dumps({"labels": labels})
    return service.request("POST", f"/v1/models/{model}/labels", key=key, content=content, headers=JSON)


def _counts(answer: httpx.Response) -> tuple[int, int, int]:
    assert answer.status_code == 200, answer.text
    document = answer.json()
    return document["added"], document["unchanged"], document["replaced"]


def test_labels_are_taken_once(service: Running, examples: dict[str, Example]) -> None:
    """By id and by key; a repeat changes nothing, another label replaces, and ids nobody predicted are told."""
    key = uuid4().hex
    predicted = service.predict("credit", _rows(examples["credit"], 2, id=key)).json()["predictions"]
    unknown = [new_request_id(), prediction_id(predicted[0]["id"], 2)]
    labels = [*({"id": one["id"], "label": "1"} for one in predicted), {"key": key, "label": "0"}]
    labels += [{"id": one, "label": "1"} for one in unknown]
    first = _label(service, "credit", *labels)
    assert _counts(first) == (5, 0, 0)
    assert first.json()["unmatched"] == sorted(unknown)
    assert _counts(_label(service, "credit", *labels)) == (0, 5, 0)
    assert _counts(_label(service, "credit", {"key": key, "label": "1"}, labels[0])) == (0, 1, 1)
    (recorded,) = service.query(f"SELECT * FROM labels WHERE reference = '{key}'")  # noqa: S608 - our own digits
    assert (recorded["model"], recorded["kind"], recorded["label"], recorded["sender"]) == (
        "credit",
        "key",
        "1",
        "anyone",
    )


def test_a_whole_number_is_one_key_however_it_is_written(service: Running, examples: dict[str, Example]) -> None:
    """As a text, as an integer, and as the float that a column with gaps makes of it."""
    number = uuid4().int % 10**15
    for key in (number, float(number), str(number)):
        assert service.predict("credit", _rows(examples["credit"], 1, id=key)).status_code == 200
        assert sum(_counts(_label(service, "credit", {"key": key, "label": "1"}))) == 1
    (label,) = service.query(f"SELECT * FROM labels WHERE reference = '{number}'")  # noqa: S608 - our own digits
    assert label["label"] == "1"
    logged = service.query(f"SELECT * FROM predictions WHERE entity_key = '{number}'")  # noqa: S608 - our own digits
    assert len(logged) == 3


def test_outcomes_of_one_entity_at_two_times_are_apart(service: Running) -> None:
    """The time is what the outcome is about, in UTC; when it became known stands beside it."""
    key = uuid4().hex
    times = ("2026-03-01T01:00:00+02:00", "2026-03-02")
    assert _counts(_label(service, "credit", *({"key": key, "label": "1", "at": at} for at in times))) == (2, 0, 0)
    found = service.query(f"SELECT event_at FROM labels WHERE reference = '{key}' ORDER BY event_at")  # noqa: S608 - our own digits
    assert [row["event_at"][:16] for row in found] == ["2026-02-28 23:00", "2026-03-02 00:00"]


def test_an_id_of_another_model_is_unmatched(service: Running, examples: dict[str, Example]) -> None:
    """Its label would otherwise never be missed."""
    (predicted,) = service.predict("credit", examples["credit"].rows()).json()["predictions"]
    answer = _label(service, "price", {"id": predicted["id"], "label": 1})
    assert answer.json()["unmatched"] == [predicted["id"]]


def test_labels_are_what_the_model_can_answer(service: Running) -> None:
    """A class by its name, a flag or a number that is its name, or a finite number."""
    key = uuid4().hex
    assert _counts(_label(service, "credit", {"key": key, "label": 1})) == (1, 0, 0)
    assert _counts(_label(service, "credit", {"key": key, "label": "1"})) == (0, 1, 0)
    assert _counts(_label(service, "credit", {"key": key, "label": 1.0})) == (0, 1, 0)
    assert _counts(_label(service, "price", {"key": key, "label": -2.5})) == (1, 0, 0)
    for model, label in (("credit", "2"), ("credit", True), ("price", "1"), ("price", True), ("price", 1e39)):
        document = _problem(
            _label(service, model, {"key": key, "label": 0}, {"key": key, "label": label}), 422, "invalid-request"
        )
        assert document["errors"][0]["pointer"] == "/labels/1/label"


@pytest.mark.parametrize(
    ("item", "field"),
    [
        ({"label": "1"}, "labels"),
        ({"id": "x" * 36, "label": "1"}, "id"),
        ({"id": "x", "label": "1"}, "id"),
        ({"id": 7, "label": "1"}, "id"),
        ({"key": "", "label": "1"}, "key"),
        ({"key": "a\0", "label": "1"}, "key"),
        ({"key": "\x1b[2J", "label": "1"}, "key"),
        ({"key": " \t", "label": "1"}, "key"),
        ({"key": "\ud800", "label": "1"}, "key"),
        ({"key": "x" * 256, "label": "1"}, "key"),
        ({"key": 2**63, "label": "1"}, "key"),
        ({"key": 1.5, "label": "1"}, "key"),
        ({"key": "a"}, "label"),
        ({"key": "a", "label": None}, "label"),
        ({"key": "a", "label": []}, "label"),
        ({"key": "a", "id": new_request_id(), "label": "1"}, "labels"),
        ({"key": "a", "label": "1", "more": 1}, "labels"),
        ({"key": "a", "label": "1", "at": "yesterday"}, "at"),
        ({"key": "a", "label": "1", "at": "0001-01-01"}, "at"),
        ({"id": new_request_id(), "label": "1", "at": "2026-03-01"}, "labels"),
        ({"key": "a", "label": "1", "\ud800": 1}, "labels"),
        ("a", "labels"),
    ],
)
def test_a_wrong_label_is_named(service: Running, item: Any, field: str) -> None:
    """And none of its request is kept."""
    key = uuid4().hex
    document = _problem(_label(service, "credit", {"key": key, "label": "1"}, item), 422, "invalid-request")
    assert document["errors"][0]["field"] == field
    assert service.query(f"SELECT * FROM labels WHERE reference = '{key}'") == []  # noqa: S608 - our own digits


def test_ten_thousand_labels_come_at_once(service: Running) -> None:
    """And not one more."""
    key = uuid4().hex
    labels = [{"key": f"{key}-{place}", "label": "1"} for place in range(10_000)]
    assert _counts(_label(service, "credit", *labels)) == (10_000, 0, 0)
    assert _counts(_label(service, "credit", *labels)) == (0, 10_000, 0)
    _problem(_label(service, "credit", *labels, labels[0]), 422, "invalid-request")


def test_labels_are_refused_while_the_database_is_away(examples: dict[str, Example], tmp_path: Path) -> None:
    """With a hint to come again."""
    (tmp_path / "file").touch()
    with running(tmp_path, [examples["credit"].state], database_url=f"sqlite:///{tmp_path}/file/x.db") as service:
        answer = _label(service, "credit", {"key": "a", "label": "1"})
        assert (
            _problem(answer, 503, "log-unavailable")["detail"]
            == "the operational database cannot be reached; try again later"
        )
        assert answer.headers["retry-after"] == "1"


def test_labels_that_wait_for_the_database_hold_up_no_predictions(examples: dict[str, Example], tmp_path: Path) -> None:
    """They are told to come again in the time that a request has, and once the lock is gone they are taken."""
    item = {"key": "a", "label": "1"}
    with running(tmp_path, [example.state for example in examples.values()], log="async", timeout_seconds=1) as service:
        assert _counts(_label(service, "credit", {"key": "b", "label": "1"})) == (1, 0, 0)
        with locked(service.database_url), ThreadPoolExecutor(20) as clients:
            waiting = [clients.submit(_label, service, "credit", item) for _ in range(20)]
            time.sleep(0.2)
            assert service.predict("grade", examples["grade"].rows(2)).status_code == 200
            for one in waiting:
                _problem(one.result(), 503, "log-unavailable")
        await_that(lambda: _label(service, "credit", item).status_code == 200)


# Metrics and logs


def _mischief(service: Running, seed: str, examples: dict[str, Example]) -> None:
    """Send everything that a client can make up."""
    (row,) = examples["credit"].rows()
    with service.client() as client:
        for place in range(5):
            name = f"{seed}-{place}"
            client.get(f"/v1/models/{name}")
            client.get(f"/{name}/{name}")
            client.get(f"/v1/models/{name}/card")
            client.get(f"/v1/models/credit/{name}")
            client.request(("PURGE", "LOCK", "MKCOL", "COPY", "MOVE")[place], f"/{name}")
            client.post(f"/v1/models/{name}/predict", json={"rows": [{}]})
            client.post("/v1/models/credit/predict", json={"rows": [{name: name}]}, headers={"x-request-id": name})
            client.post("/v1/models/credit/predict", json={"rows": [{**row, "region": name, "id": name}]})
            client.post(f"/v1/models/{name}/labels", json={"labels": [{"key": name, "label": name}]})
            client.post("/v1/models/credit/labels", json={"labels": [{"key": name, "label": name}]})
            client.post("/v1/models/credit/labels", json={"labels": [{"key": name, "label": "1"}]})
            client.get("/v1/models", headers={"authorization": f"Bearer {name}"})
            client.get("/v1/models", headers={"host": name})


def test_no_client_makes_new_series(examples: dict[str, Example], tmp_path: Path) -> None:
    """Unknown models, paths, methods, fields, keys and ids are counted under labels from closed lists."""
    states = [example.state for example in examples.values()]
    with running(tmp_path, states, bad_credentials_per_minute=10_000) as service:
        _mischief(service, "first", examples)
        before = service.samples()
        _mischief(service, "second", examples)
        _mischief(service, "third", examples)
        after = service.samples()
    assert (
        after.keys() - before.keys()
        == {key for key in after if key[0].startswith("perennial_request") and ("route", "metrics") in key[1]}
        - before.keys()
    )
    routes = {dict(labels)["route"] for name, labels in after if name == "perennial_requests_total"}
    assert routes <= set(ACCESS)
    kinds = {dict(labels)["kind"] for name, labels in after if name == "perennial_errors_total"}
    assert kinds == set(KINDS)


def test_what_is_answered_is_counted(examples: dict[str, Example], tmp_path: Path) -> None:
    """Requests by route and status, rows by the bin of their score, problems by kind, rows in the log."""
    version = (("model", "credit"), ("variant", "champion"), ("version", "1"))
    with running(tmp_path, [examples["credit"].state]) as service:
        for n in (1, 3, 40):
            service.predict("credit", examples["credit"].rows(n))
        service.predict("credit", [{}])
        service.predict("nobody", [{}])
        samples = service.samples()
        text = service.request("GET", "/metrics")
    assert text.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"

    def value(name: str, **labels: str) -> float:
        return samples[name, tuple(sorted({**labels}.items()))]

    answered = dict(version)
    none = dict.fromkeys(answered, "")
    assert value("perennial_requests_total", route="predict", code="200", **answered) == 3
    assert value("perennial_requests_total", route="predict", code="422", **answered) == 1
    assert value("perennial_requests_total", route="predict", code="404", **none) == 1
    assert value("perennial_errors_total", kind="invalid-request", **answered) == 1
    assert value("perennial_errors_total", kind="not-found", **none) == 1
    assert value("perennial_request_duration_seconds_count", route="predict", **answered) == 4
    assert value("perennial_log_rows_total", result="written") == 44
    rows = [count for (name, _), count in samples.items() if name == "perennial_predictions_total"]
    assert (len(rows), sum(rows)) == (10, 44)


ECS = {
    "@timestamp",
    "client.ip",
    "ecs.version",
    "error.code",
    "error.message",
    "event.dataset",
    "event.duration",
    "http.request.id",
    "http.request.method",
    "http.response.status_code",
    "log.level",
    "message",
    "perennial.model",
    "perennial.model_version",
    "perennial.prediction_id",
    "perennial.rows",
    "perennial.variant",
    "service.name",
    "url.path",
    "user.name",
}


def test_each_request_is_a_line_of_ecs(examples: dict[str, Example], tmp_path: Path) -> None:
    """With the names of its fields, and nothing for health and metrics while all is well."""
    key, text = make_key("predict")
    with running(tmp_path, [examples["credit"].state], keys=[key], access="required") as service:
        answered = service.predict("credit", examples["credit"].rows(2), key=text)
        refused = service.predict("credit", [{"income": 1, "secret": 2}], key=text)
        for path in ("/health/live", "/health/ready"):
            service.request("GET", path)
        service.request("GET", "/metrics", key=text)
        lines = service.access_lines()
    assert all(set(line) <= ECS for line in lines)
    first, second, third = lines
    assert datetime.fromisoformat(first["@timestamp"]) > datetime.now(UTC) - timedelta(minutes=1)
    assert 0 < first["event.duration"] < 30e9
    for name in ("@timestamp", "event.duration"):
        del first[name]
    assert first == {
        "log.level": "info",
        "message": "POST predict 200",
        "ecs.version": "8.11.0",
        "service.name": "perennial-serving",
        "event.dataset": "perennial.access",
        "http.request.method": "POST",
        "http.request.id": answered.headers["x-request-id"],
        "http.response.status_code": 200,
        "url.path": "/v1/models/credit/predict",
        "client.ip": "127.0.0.1",
        "user.name": "shop",
        "perennial.model": "credit",
        "perennial.model_version": 1,
        "perennial.variant": "champion",
        "perennial.prediction_id": answered.json()["predictions"][0]["id"],
        "perennial.rows": 2,
    }
    assert (second["error.code"], second["http.request.id"]) == ("invalid-request", refused.headers["x-request-id"])
    assert third["error.code"] == "forbidden"


def test_neither_values_nor_secrets_are_told(examples: dict[str, Example], tmp_path: Path) -> None:
    """Features, entities' keys, labels and credentials are in no log and no metric, whether right or wrong."""
    key, text = make_key("predict", "label", "operate")
    other, stranger = make_key("predict")
    marker = "MARKER7f3a"
    (row,) = examples["price"].rows()
    (credit,) = examples["credit"].rows()
    bodies: list[Row] = [
        {**row, "region": marker, "income": 987654321987.5, "id": f"{marker}-key"},
        {**row, "region": marker * 200},
        {**row, "income": marker},
        {**row, "opened": marker},
        {**row, "owner": marker},
        {**row, "id": f"{marker}\0"},
        {**row, "income": 987654321987.5e40},
        {**row, "unknown": marker},
    ]
    with running(
        tmp_path, [examples["price"].state, examples["credit"].state], keys=[key], access="required"
    ) as service:
        for body in bodies:
            service.predict("price", [body], key=text)
        service.request("POST", "/v1/models/price/predict", key=text, content=marker, headers=JSON)
        service.request("POST", "/v1/models/price/predict", key=text, content=f'{{"{marker}', headers=JSON)
        service.request("GET", f"/v1/models?token={marker}", key=text)
        service.predict("credit", [credit], key=stranger)
        for label in (f"{marker}-label", "1"):
            _label(service, "credit", {"key": f"{marker}-key", "label": label}, key=text)
        service.request("GET", "/v1/models", headers={"authorization": f"Basic {marker}"})
        service.request("GET", "/v1/models", headers={"cookie": marker, "x-request-id": f"{marker} 1"}, key=text)
        metrics = service.request("GET", "/metrics", key=text).text
        assert len(service.access_lines()) > 10
        told = service.logged + metrics
    for secret in (marker, "98765432", text, stranger, text.split("_", 2)[2], key.secret_sha256, other.secret_sha256):
        assert secret not in told


# Access


def _method(route: str) -> str:
    return "POST" if route in WITH_BODY else "GET"


def test_the_application_answers_the_routes_of_the_table(service: Running) -> None:
    """Path and method of each route stand in the table, and those of the table are answered by the application.

    Predictions alone are answered before the application, by the entry.
    """
    answered: Any = service.server.config.app._app.routes  # type: ignore[union-attr] # ours
    found = {(route.path, method) for route in answered for method in route.methods - {"HEAD"}}
    assert found == {(route.path, route.method) for route in routes.ROUTES if route.name not in routes.PREDICTIONS}


def test_the_document_describes_the_routes_of_the_table(service: Running) -> None:
    """OpenAPI has each route but the page, itself, second paths, and what nothing is configured for."""
    paths = httpx.get(f"{service.url}/openapi.json").json()["paths"]
    described = {re.sub("/(?:credit|price|grade)(?=/|$)", "/{model}", path) for path in paths}
    assert described == {route.path for route in routes.ROUTES} - {
        *("/", "/openapi.json", routes.HOOK.path, routes.V2_SERVER_SLASH.path, routes.INFER_VERSION.path)
    }


def _credentials() -> tuple[list[ApiKey], dict[str, tuple[str | None, int]]]:
    """Return keys, and credentials that open nothing, with the status they are answered with."""
    ends = datetime.now(UTC) - timedelta(seconds=1)
    kept = {name: make_key(*scopes, models=models) for name, scopes, models in (
        ("revoked", ("predict", "label", "operate"), ()),
        ("expired", ("predict", "label", "operate"), ()),
        ("predict only", ("predict",), ()),
        ("label only", ("label",), ()),
        ("operate only", ("operate",), ()),
        ("another model", ("predict", "label", "operate"), ("price",)),
    )}  # fmt: skip
    keys = {name: key for name, (key, _) in kept.items()}
    keys["revoked"] = revoked(keys["revoked"])
    keys["expired"] = ApiKey(**{**vars(keys["expired"]), "expires_at": ends})
    text = {name: text for name, (_, text) in kept.items()}
    wrong_secret = text["predict only"][:-1] + ("A" if text["predict only"][-1] != "A" else "B")
    refused: dict[str, tuple[str | None, int]] = {
        "none": (None, 401),
        "not a key": ("nonsense", 401),
        "unknown": (make_key()[1], 401),
        "wrong secret": (wrong_secret, 401),
        "revoked": (text["revoked"], 401),
        "expired": (text["expired"], 401),
        **{name: (text[name], 403) for name in ("predict only", "label only", "operate only", "another model")},
    }
    return list(keys.values()), refused


def _may(name: str, route: str, path: str) -> bool:
    """Say whether credentials open a route after all."""
    scope = ACCESS[route]
    if scope == "signature":
        return False
    if name == "another model":
        # Lists are for whoever may see a part of them.
        return scope == "predict" and "credit" not in path
    return scope is None or name == f"{scope} only"


def test_nobody_gets_in_without_a_right(examples: dict[str, Example], tmp_path: Path) -> None:
    """Every route with every kind of bad credentials and of insufficient ones; health is for everybody."""
    keys, credentials = _credentials()
    states = [examples["credit"].state, examples["price"].state]
    body = {"labels": [{"key": "a", "label": "1"}]}
    with running(tmp_path, states, keys=keys, access="required", bad_credentials_per_minute=10_000) as service:
        for route, path in [*ROUTES, ("other", "/nowhere"), ("other", "/v1/models/credit/nothing")]:
            for name, (key, status) in credentials.items():
                answer = service.request(_method(route), path, key=key, **({"json": body} if route == "labels" else {}))
                if _may(name, route, path) or ACCESS[route] is None:
                    assert answer.status_code not in (401, 403), (path, name)
                else:
                    # A delivery without a signature is nobody's, whatever key comes with it.
                    status = 401 if ACCESS[route] == "signature" else status
                    kind = {401: "unauthenticated", 403: "forbidden"}[status]
                    assert (answer.status_code, kind) == (status, answer.json()["type"].rpartition(":")[2]), (
                        path,
                        name,
                    )
        found = service.query("SELECT * FROM labels")
        assert [label["sender"] for label in found] == ["shop"]
        assert service.query("SELECT * FROM prediction_requests") == []


def test_lists_show_what_the_caller_may_see(examples: dict[str, Example], tmp_path: Path) -> None:
    """A key for one model finds that one in the list and in the schema."""
    key, text = make_key("predict", models=("price",))
    states = [examples["credit"].state, examples["price"].state]
    with running(tmp_path, states, keys=[key], access="required") as service:
        assert [model["model"] for model in service.request("GET", "/v1/models", key=text).json()["models"]] == [
            "price"
        ]
        schema = service.request("GET", "/openapi.json", key=text).text
        assert "/v1/models/price/predict" in schema
        assert "credit" not in schema


def test_labels_carry_the_name_of_their_key(examples: dict[str, Example], tmp_path: Path) -> None:
    """So that one sender's can be told from another's."""
    key, text = make_key("label", models=("credit",))
    with running(tmp_path, [examples["credit"].state], keys=[key], access="required") as service:
        assert _counts(_label(service, "credit", {"key": "a", "label": "1"}, key=text)) == (1, 0, 0)
        assert service.query("SELECT sender FROM labels") == [{"sender": "shop"}]


def test_a_key_has_its_rate(examples: dict[str, Example], tmp_path: Path) -> None:
    """What is more is told when to come again, and others are not held up by it."""
    (slow, slow_text), (fast, fast_text) = make_key("predict", rate=2), make_key("predict")
    with running(tmp_path, [examples["credit"].state], keys=[slow, fast], access="required") as service:
        rows = examples["credit"].rows()
        answers = [service.predict("credit", rows, key=slow_text) for _ in range(6)]
        assert [answer.status_code for answer in answers][:2] == [200, 200]
        refused = [answer for answer in answers if answer.status_code != 200]
        assert len(refused) >= 3
        for answer in refused:
            _problem(answer, 429, "too-many-requests")
            assert answer.headers["retry-after"] == "1"
        assert {service.predict("credit", rows, key=fast_text).status_code for _ in range(6)} == {200}


def test_whoever_guesses_is_made_to_wait(examples: dict[str, Example], tmp_path: Path) -> None:
    """After twenty bad keys in a minute; good ones of the same address are accepted, also new ones."""
    key, text = make_key("predict")
    new, new_text = make_key("predict")
    with running(tmp_path, [examples["credit"].state], keys=[key, new], access="required") as service:
        assert service.request("GET", "/v1/models", key=text).status_code == 200
        answers = [service.request("GET", "/v1/models", key=make_key()[1]) for _ in range(21)]
        assert [answer.status_code for answer in answers] == 20 * [401] + [429]
        assert 0 < int(answers[-1].headers["retry-after"]) <= 60
        assert service.request("GET", "/v1/models", key=text).status_code == 200
        assert service.request("GET", "/v1/models", key=new_text).status_code == 200


def test_slow_bodies_without_a_signature_take_no_predictions_place(
    examples: dict[str, Example], tmp_path: Path
) -> None:
    """With 150 connections that send slow deliveries, 25 predictions at once and a signed delivery are answered."""
    key, text = make_key("predict")
    credit, root = examples["credit"], project(tmp_path)
    given: dict[str, Any] = {"keys": [key], "access": "required", "hooks": hook_settings(), "root": root}
    with running(tmp_path, [credit.state], **given) as service, ExitStack() as connections:
        signed = standard(b"{}", id_="credit:msg_1")
        lines = [f"POST {PATH} HTTP/1.1", "host: x", "content-type: application/json", "content-length: 999"]
        head = "\r\n".join([*lines, *(f"{name}: {value!s}" for name, value in signed.headers.items()), "", "{"])
        for _ in range(150):
            connections.enter_context(service.connect()).sendall(head.encode())
        refused = service.service.metrics.requests.labels("hook", "", "", "", "503")._value
        await_that(lambda: refused.get() + service.service.in_flight >= 150)
        with ThreadPoolExecutor(25) as threads:
            found = list(threads.map(lambda _: service.predict("credit", credit.rows(), key=text), range(25)))
        assert [answer.status_code for answer in found] == 25 * [200]
        assert deliver(service, signed)[0] == 202


def test_a_key_ends_when_the_state_says_so(examples: dict[str, Example], tmp_path: Path) -> None:
    """And a new one opens, without a restart."""
    (old, old_text), (new, new_text) = make_key("predict"), make_key("predict")
    states = [examples["credit"].state]
    with running(tmp_path, states, keys=[old], access="required") as service:
        assert service.request("GET", "/v1/models", key=old_text).status_code == 200
        assert service.request("GET", "/v1/models", key=new_text).status_code == 401
        service.publish(states, [revoked(old), new])
        assert service.request("GET", "/v1/models", key=old_text).status_code == 401
        assert service.request("GET", "/v1/models", key=new_text).status_code == 200


def test_an_unforeseen_failure_is_a_problem_too(examples: dict[str, Example], tmp_path: Path) -> None:
    """Its trace is in the log, under the request's id, and not in the answer."""

    def fails(_columns: object) -> None:
        raise KeyError("MARKER7f3a")

    with running(tmp_path, [examples["credit"].state]) as service:
        model = service.service.models["credit"].model
        object.__setattr__(model, "_answers", fails)
        answer = service.predict("credit", examples["credit"].rows())
        document = _problem(answer, 500, "internal-error")
        assert "MARKER7f3a" not in answer.text
        await_that(lambda: document["request_id"] in service.logged)
        assert "KeyError" in service.logged


def test_a_socket_that_says_nothing_holds_nobody_up(service: Running) -> None:
    """Hundreds of them are no requests."""
    opened = [socket.create_connection(("127.0.0.1", service.port)) for _ in range(200)]
    try:
        assert service.request("GET", "/health/live").status_code == 200
    finally:
        for connection in opened:
            connection.close()
