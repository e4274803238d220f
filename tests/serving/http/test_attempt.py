"""Releases over HTTP: whatever goes wrong in one version is answered by the other, and the log sees both."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from core.errors import BundleError
from serving.http.loaded import Loaded
from serving.release.breaker import FIRST_FAILURES, WINDOW
from tests.serving.releasing import SINCE, other_of, releasing, second_version, spoil
from tests.serving.running import Example, Row, Running, await_that, running

LOG = "SELECT id, version, variant, outputs, failure, served_id, n_rows, rows FROM prediction_requests ORDER BY id"


@pytest.fixture(scope="module")
def second(tmp_path_factory: pytest.TempPathFactory) -> Example:
    """Return another version of the credit model."""
    return second_version(tmp_path_factory.mktemp("second"))


@pytest.fixture
def service(tmp_path: Path, examples: dict[str, Example], second: Example) -> Iterator[Running]:
    """Return a service in which version 2 answers all requests, beside the champion."""
    with running(tmp_path, [releasing(examples["credit"].state, second.state)]) as found:
        other_of(found)
        yield found


def _fail(_answers: Any) -> Any:
    raise BundleError("out of order")


def _raise(_answers: Any) -> Any:
    raise RuntimeError("a bug")


def _hang(answers: Any) -> Any:
    time.sleep(1.5)
    return answers


FAULTS = {
    "model-failed": _fail,
    "internal-error": _raise,
    "invalid-request": lambda answers: np.full_like(answers, np.nan),
}


def _predict(client: httpx.Client, row: Row, key: str | None = None, **headers: str) -> dict[str, Any]:
    asked = row if key is None else {**row, "id": key}
    answer = client.post("/v1/models/credit/predict", json={"rows": [asked]}, headers=headers)
    assert answer.status_code == 200, answer.text
    document: dict[str, Any] = answer.json()
    return document


def test_the_released_version_answers_and_is_named(service: Running, examples: dict[str, Example]) -> None:
    """On every route; labels by the id of its predictions count."""
    row = examples["credit"].rows()[0]
    with service.client() as client:
        found = _predict(client, row)
        assert (found["version"], found["variant"]) == (2, "challenger")
        tensors = [
            {"name": "income", "datatype": "FP64", "shape": [1], "data": [row["income"]]},
            {"name": "age", "datatype": "FP64", "shape": [1], "data": [row["age"]]},
            {"name": "region", "datatype": "BYTES", "shape": [1], "data": [row["region"]]},
            {"name": "owner", "datatype": "BOOL", "shape": [1], "data": [row["owner"]]},
        ]
        answer = client.post("/v2/models/credit/infer", json={"inputs": tensors}).json()
        assert (answer["model_version"], answer["parameters"]["variant"]) == ("2", "challenger")
        pinned = client.post("/v2/models/credit/versions/1/infer", json={"inputs": tensors}).json()
        assert (pinned["model_version"], pinned["parameters"]["variant"]) == ("1", "champion")
        label = {"labels": [{"id": found["predictions"][0]["id"], "label": "1"}]}
        assert client.post("/v1/models/credit/labels", json=label).json()["unmatched"] == []
    logged = [(one["version"], one["variant"], one["failure"]) for one in service.query(LOG)]
    assert logged == [(2, "challenger", None), (2, "challenger", None), (1, "champion", None)]
    joined = "SELECT p.version FROM predictions AS p JOIN labels AS l ON l.reference = p.id"
    assert service.query(joined) == [{"version": 2}]


def _in_one_piece(service: Running, rows: Sequence[Row]) -> dict[str, Any]:
    """Send head and body together: such requests are answered without a task of their own."""
    body = json.dumps({"rows": list(rows)}).encode()
    head = f"POST /v1/models/credit/predict HTTP/1.1\r\nHost: 127.0.0.1:{service.port}\r\nConnection: close\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    with service.connect() as connection:
        connection.sendall(head.encode() + body)
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    document: dict[str, Any] = json.loads(answer.partition(b"\r\n\r\n")[2])
    return document


@pytest.mark.parametrize("kind", FAULTS)
@pytest.mark.parametrize(("rows", "in_one_piece"), [(1, True), (1, False), (300, False)])
def test_a_failure_is_answered_by_the_champion(
    service: Running, examples: dict[str, Example], kind: str, rows: int, *, in_one_piece: bool
) -> None:
    """With and without a task of the request; the log tells the failure of the version that had it."""
    spoil(other_of(service), FAULTS[kind])
    asked = examples["credit"].rows(rows)
    found = _in_one_piece(service, asked) if in_one_piece else service.predict("credit", asked).json()
    assert (found["version"], found["variant"]) == (1, "champion")
    logged = sorted(service.query(LOG), key=lambda one: int(one["version"]))
    assert [(one["version"], one["variant"], one["n_rows"]) for one in logged] == [
        (1, "champion", rows),
        (2, "challenger", rows),
    ]
    served, failed = logged
    assert (served["id"], served["failure"]) == (found["predictions"][0]["id"], None)
    assert (failed["served_id"], failed["outputs"], failed["rows"]) == (served["id"], "[]", served["rows"])
    assert failed["failure"].startswith(f"{kind}: ")
    labels = (("kind", kind), ("model", "credit"), ("variant", "challenger"), ("version", "2"))
    assert service.samples()["perennial_release_failures_total", labels] == 1


def test_a_version_in_a_queue_that_does_not_answer(service: Running, examples: dict[str, Example]) -> None:
    """The other one is asked after a second, and the client waits no longer."""
    spoil(other_of(service), _hang, queued=True)
    found = service.predict("credit", examples["credit"].rows()).json()
    assert found["variant"] == "champion"
    assert [one["failure"] for one in service.query(LOG) if one["failure"]] == [
        "timeout: the model did not answer in time; try fewer rows"
    ]


def test_the_breaker_stops_a_version_that_always_fails(service: Running, examples: dict[str, Example]) -> None:
    """It is asked three times; all clients have an answer, and a restarted worker does not ask it either."""
    spoil(other_of(service), _fail)
    row = examples["credit"].rows()[0]
    with service.client() as client:
        assert {_predict(client, row)["variant"] for _ in range(10)} == {"champion"}
    assert sum(one["failure"] is not None for one in service.query(LOG)) == FIRST_FAILURES
    files = list((service.instance / "breakers").iterdir())
    assert [file.name for file in files] == ["credit.1.202601020304050000.json"]


def test_what_both_refuse_is_the_clients(service: Running, examples: dict[str, Example]) -> None:
    """No failure is counted, and the breaker stays closed."""
    row = examples["credit"].rows()[0]
    for _ in range(5):
        assert service.predict("credit", [{**row, "age": "old"}]).status_code == 422
    assert service.query(LOG) == []
    assert not (service.instance / "breakers").exists()


def test_what_both_fail_is_logged_of_both(service: Running, examples: dict[str, Example]) -> None:
    """The client gets the champion's problem; its breaker does not open, because the champion is no better."""
    spoil(other_of(service), _fail)
    spoil(service.service.models["credit"], _raise)
    for _ in range(5):
        assert service.predict("credit", examples["credit"].rows()).json()["type"].endswith("internal-error")
    await_that(lambda: len(service.query(LOG)) == 10)  # no client waits for these rows
    counts = Counter((one["variant"], one["failure"].partition(":")[0]) for one in service.query(LOG))
    assert counts == {("challenger", "model-failed"): 5, ("champion", "internal-error"): 5}
    assert not (service.instance / "breakers").exists()


def test_a_contract_that_refuses_what_the_champion_accepts(tmp_path: Path, examples: dict[str, Example]) -> None:
    """A new version that needs a further column does not break its clients."""
    other = second_version(tmp_path, extra=True)
    with running(tmp_path, [releasing(examples["credit"].state, other.state)]) as service:
        other_of(service)
        found = service.predict("credit", examples["credit"].rows()).json()
        failed = [one["failure"] for one in service.query(LOG) if one["failure"]]
    assert found["variant"] == "champion"
    assert len(failed) == 1
    assert "loans" in failed[0]


def test_while_it_bakes_the_version_before_answers_for_it(
    tmp_path: Path, examples: dict[str, Example], second: Example
) -> None:
    """The promoted version is the champion; when its breaker opens, the version before has all requests."""
    baking = releasing(second.state, examples["credit"].state, stage="bake")
    row = examples["credit"].rows()[0]
    with running(tmp_path, [baking]) as service, service.client() as client:
        other_of(service)
        assert _predict(client, row)["version"] == 2
        spoil(service.service.models["credit"], _fail)
        found = [_predict(client, row) for _ in range(8)]
        failed = [(one["version"], one["variant"]) for one in service.query(LOG) if one["failure"]]
        assert service.service.models["credit"].routing.breaker.is_open  # type: ignore[union-attr] # it is set
    assert {(one["version"], one["variant"]) for one in found} == {(1, "challenger")}
    assert 3 <= len(failed) <= 5
    assert set(failed) == {(2, "champion")}


@pytest.mark.parametrize("stage", ["step", "bake"])
def test_requests_that_arrive_together(
    tmp_path: Path, examples: dict[str, Example], second: Example, stage: Any
) -> None:
    """Each is answered by its own version, without a task; one of a share does not hold up another."""
    credit = examples["credit"].state
    champion, other = (second.state, credit) if stage == "bake" else (credit, second.state)
    asked = [{**row, "id": f"customer-{number}"} for number, row in enumerate(examples["credit"].rows(40))]
    with running(tmp_path, [releasing(champion, other, stage=stage, share=50)]) as service:
        other_of(service)
        with ThreadPoolExecutor(8) as threads:
            found = list(threads.map(lambda row: _in_one_piece(service, [row]), asked))
        versions = Counter(one["version"] for one in found)
    assert versions == {2: 40} if stage == "bake" else set(versions) == {1, 2}


def test_the_breaker_stops_a_version_that_is_far_slower(
    tmp_path: Path, examples: dict[str, Example], second: Example
) -> None:
    """Its answers are good, but every other request of the worker waits for them."""
    row = examples["credit"].rows()[0]

    def slow(answers: Any) -> Any:
        time.sleep(0.3)
        return answers

    with running(tmp_path, [releasing(examples["credit"].state, second.state, share=50)]) as service:
        spoil(other_of(service), slow)
        with service.client() as client:
            found = [_predict(client, row, f"customer-{number}")["version"] for number in range(80)]
        failed = [one for one in service.query(LOG) if one["failure"]]
    assert found.count(2) == WINDOW
    assert set(found[-20:]) == {1}
    assert failed == []


@pytest.mark.parametrize("stage", ["shadow", "step"])
def test_failures_of_the_champion_are_logged_while_a_release_runs(
    tmp_path: Path, examples: dict[str, Example], second: Example, stage: Any
) -> None:
    """So that the error rates of both versions can be compared; its clients get what they would have got."""
    state = releasing(examples["credit"].state, second.state, stage=stage, share=0)
    with running(tmp_path, [state]) as service:
        other_of(service)
        spoil(service.service.models["credit"], _fail)
        assert _in_one_piece(service, examples["credit"].rows())["type"].endswith("model-failed")
        assert service.predict("credit", examples["credit"].rows()).status_code == 500
        await_that(lambda: len(service.query(LOG)) == 2)
        logged = [(one["version"], one["failure"], one["served_id"]) for one in service.query(LOG)]
    assert logged == [(1, "model-failed: out of order", None)] * 2


def test_a_key_stays_with_its_version_when_the_share_grows(
    tmp_path: Path, examples: dict[str, Example], second: Example
) -> None:
    """Everyone of the 5 % is in the 25 %, on one connection or many; the number is about the share."""
    credit, row = examples["credit"].state, examples["credit"].rows()[0]
    keys = [f"customer-{number}" for number in range(400)]
    with running(tmp_path, [releasing(credit, second.state, share=5)]) as service, service.client() as client:
        other = other_of(service)
        few = {key for key in keys if _predict(client, row, key)["version"] == 2}
        assert few == {key for key in keys if _predict(client, row, key)["version"] == 2}
        service.publish([releasing(credit, second.state, share=25, since="2026-01-03T00:00:00+00:00")])
        more = {key for key in keys if _predict(client, row, key)["version"] == 2}
        assert other_of(service) is other
        by_id = {_predict(client, row, None, **{"x-request-id": "one"})["version"] for _ in range(20)}
        mixed = [{**row, "id": "customer-1"}, {**row, "id": "customer-2"}]
        assert service.predict("credit", mixed).status_code == 200
        service.publish([credit])
        assert {_predict(client, row, key)["version"] for key in keys[:50]} == {1}
    assert few < more
    assert 5 <= len(few) <= 40
    assert 70 <= len(more) <= 130
    assert len(by_id) == 1


def test_a_promotion_and_a_return_load_nothing(tmp_path: Path, examples: dict[str, Example], second: Example) -> None:
    """Both versions are in memory, and only change their places."""
    credit, row = examples["credit"].state, examples["credit"].rows()[0]
    with running(tmp_path, [releasing(credit, second.state)]) as service, service.client() as client:
        other_of(service)
        loads = service.service.metrics.swaps.labels("credit", "loaded")._value
        before = loads.get()
        service.publish([releasing(second.state, credit, stage="bake", share=100)])
        assert (found := _predict(client, row))["version"] == 2
        assert found["variant"] == "champion"
        assert other_of(service).model.variant == "challenger"
        service.publish([credit])
        assert (found := _predict(client, row))["version"] == 1
        assert found["variant"] == "champion"
        assert loads.get() == before


def test_a_version_that_cannot_be_loaded_leaves_the_champion(
    tmp_path: Path, examples: dict[str, Example], second: Example
) -> None:
    """The service is ready, and its breaker tells the follower."""
    credit = examples["credit"].state
    broken = releasing(credit, second.state, manifest="0" * 64)
    with running(tmp_path, [broken]) as service:
        found = service.predict("credit", examples["credit"].rows()).json()
        reports = [file.read_text() for file in (service.instance / "breakers").iterdir()]
    assert found["version"] == 1
    assert len(reports) == 1
    assert '"kind": "load"' in reports[0]


def test_the_page_and_the_metrics_tell_the_release(
    tmp_path: Path, examples: dict[str, Example], second: Example
) -> None:
    """Stage, share, both versions, the guardrails, what it waits for; and a version that is not asked."""
    check = {"name": "latency", "state": "doubtful", "champion": 1.5, "challenger": 1.8, "limit": 1.5}
    look = {"checks": [check], "reasons": ["waits for 10 more <requests>"], "deadline": "2026-01-05T00:00:00+00:00"}
    state = releasing(examples["credit"].state, second.state, share=25, look=json.dumps(look))
    with running(tmp_path, [state]) as service:
        other_of(service)
        found = service.request("GET", "/v1/status").json()["models"][0]["release"]
        page = service.request("GET", "/").text
        samples = service.samples()
        service.service.models["credit"].routing.breaker.open("breaker", "too slow")  # type: ignore[union-attr] # set
        broken = service.request("GET", "/v1/status").json()
        after = service.samples()
    assert (found["stage"], found["share"], found["version"], found["other"]) == ("step", 25, 2, 1)
    assert (found["is_asked"], found["trouble"], found["checks"][0]["challenger"]) == (True, None, 1.8)
    assert "Release 1 of version 2" in page
    assert "✓ 25 % of the requests" in page
    assert "waits for 10 more &lt;requests&gt;" in page
    assert "Deadline of the stage: 5 Jan 2026" in page
    labels = (("model", "credit"), ("version", "2"))
    assert samples["perennial_release_share", labels] == 0.25
    assert (samples["perennial_release_breaker_open", labels], after["perennial_release_breaker_open", labels]) == (
        0,
        1,
    )
    assert broken["models"][0]["release"]["trouble"] == "too slow"
    assert broken["status"] == "trouble"


def test_the_memory_of_both_versions_is_counted(service: Running) -> None:
    """Neither leaves while the release runs."""
    held: list[Loaded] = [service.service.models["credit"], other_of(service)]
    service.service.measure()
    assert service.service.metrics.models_memory._value.get() == sum(one.resident.size for one in held)
    assert service.service.models["credit"].routing.state.since == SINCE  # type: ignore[union-attr] # it is set
