"""The service answers as the Open Inference Protocol says."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft4Validator
from ruamel.yaml import YAML

from tests.serving.running import Example, Running, await_that, make_key, running

PUBLISHED = Path(os.environ.get("PERENNIAL_TEST_CONTRACTS", "contracts"), "open_inference_rest.yaml")
"""kserve/open-inference-protocol, specification/protocol; a folder with a copy is named in the environment."""

PLACES = "/v2/models/credit", "/v2/models/credit/versions/1"


@pytest.fixture(scope="module")
def service(examples: dict[str, Example], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Return a service of three models that asks for no credentials."""
    states = [examples[name].state for name in ("credit", "grade", "price")]
    with running(tmp_path_factory.mktemp("v2"), states, max_rows=100) as service:
        yield service


def _request(service: Running, model: str, rows: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    """Write a request from the model's metadata, as a client of the protocol does."""
    inputs = service.request("GET", f"/v2/models/{model}").json()["inputs"]
    tensors = [
        {
            "name": one["name"],
            "datatype": one["datatype"],
            "shape": [len(rows)],
            "data": [row[one["name"]] for row in rows],
        }
        for one in inputs
    ]
    return {"inputs": tensors, **more}


@pytest.mark.parametrize("model", ["credit", "grade", "price"])
def test_a_tensor_per_column_is_answered_like_rows(service: Running, examples: dict[str, Example], model: str) -> None:
    """To the bit, and both are in the log with the same features."""
    rows = examples[model].rows(7)
    answer = service.request("POST", f"/v2/models/{model}/infer", json=_request(service, model, rows, id="42"))
    expected = service.predict(model, rows).json()["predictions"]
    assert answer.status_code == 200, answer.text
    numbers, ids = (one["data"] for one in answer.json()["outputs"])
    assert numbers == [
        number
        for one in expected
        for number in (one["probabilities"].values() if "value" not in one else [one["value"]])
    ]
    assert (answer.json()["id"], answer.headers["x-request-id"]) == ("42", ids[0])
    await_that(lambda: len(_logged(service, model)) == 14)
    found = _logged(service, model)
    keyless = [
        {name: value for name, value in row.items() if name in examples[model].contract.raw_columns} for row in rows
    ]
    assert [found[one] for one in ids] == [_text(row, found[ids[0]]) for row in keyless]


def _logged(service: Running, model: str) -> dict[str, str]:
    logged = service.query("SELECT id, model, features FROM predictions")
    return {row["id"]: row["features"] for row in logged if row["model"] == model}


def _text(row: dict[str, Any], like: str) -> str:
    order = list(json.loads(like))
    return json.dumps({name: row[name] for name in order}, separators=(",", ":"), ensure_ascii=False)


def test_the_answers_are_of_the_published_types(service: Running, examples: dict[str, Example]) -> None:
    """Of the protocol's own description, where it is at hand."""
    if not PUBLISHED.is_file():
        pytest.skip(f"{PUBLISHED} is not here")
    components = YAML(typ="safe").load(PUBLISHED)["components"]

    def check(kind: str, content: Any) -> None:
        Draft4Validator({"$ref": f"#/components/schemas/{kind}", "components": components}).validate(content)

    # A null for no value is ours: the protocol has none.
    rows = [row for row in examples["credit"].rows(50) if None not in row.values()][:2]
    request = _request(service, "credit", rows, outputs=[{"name": "probabilities"}])
    check("inference_request", request)
    check("metadata_server_response", service.request("GET", "/v2").json())
    check("metadata_server_response", service.request("GET", "/v2/").json())
    for path in PLACES:
        check("metadata_model_response", service.request("GET", path).json())
        check("inference_response", service.request("POST", f"{path}/infer", json=request).json())
        refused = service.request("POST", f"{path}/infer", json={"inputs": []})
        assert (refused.status_code, refused.json()["error"]) == (422, refused.json()["detail"])
        check("inference_error_response", refused.json())


def test_what_is_ready_says_so(service: Running) -> None:
    """The server, its models and their versions; a model that is not here is not found."""
    for path in ("/v2/health/live", "/v2/health/ready", *(f"{place}/ready" for place in PLACES)):
        answer = service.request("GET", path)
        assert (answer.status_code, answer.json()["ready"]) == (200, True)
    service.service.draining = True
    try:
        assert service.request("GET", "/v2/health/live").status_code == 200
        for path in ("/v2/health/ready", *(f"{place}/ready" for place in PLACES)):
            answer = service.request("GET", path)
            assert (answer.status_code, answer.json()["ready"]) == (503, False)
    finally:
        service.service.draining = False


@pytest.mark.parametrize("more", ["", "/ready", "/infer"])
def test_another_version_is_not_found(service: Running, examples: dict[str, Example], more: str) -> None:
    """Only the champion is served; the problem names its version."""
    body: dict[str, Any] = {} if more != "/infer" else {"json": _request(service, "credit", examples["credit"].rows(1))}
    method = "POST" if body else "GET"
    for version in ("2", "01", "x", "latest"):
        answer = service.request(method, f"/v2/models/credit/versions/{version}{more}", **body)
        assert (answer.status_code, answer.json()["type"]) == (404, "urn:perennial:problem:not-found")
        assert "version 1 of 'credit' is served" in answer.json()["error"]
    assert service.request(method, f"/v2/models/nobody{more}", **body).status_code == 404


@pytest.mark.parametrize(
    ("headers", "content", "status"),
    [
        ({"content-type": "application/json"}, b"{", 400),
        ({"content-type": "application/octet-stream", "inference-header-content-length": "2"}, b"{}", 415),
        ({"content-type": "application/json"}, b" " * 5_000_000, 413),
    ],
)
def test_refusals_have_the_protocols_name_for_the_error(
    service: Running, headers: dict[str, str], content: bytes, status: int
) -> None:
    """They are problem documents like all others."""
    answer = service.request("POST", "/v2/models/credit/infer", headers=headers, content=content)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["error"] == answer.json()["detail"]
    assert service.request("GET", "/v2/models/credit/infer").status_code == 405


def test_a_key_is_asked_for(examples: dict[str, Example], tmp_path: Path) -> None:
    """For everything but health, and for each model that a path names."""
    states = [examples[name].state for name in ("credit", "price")]
    key, text = make_key("predict", models=("credit",))
    with running(tmp_path, states, keys=[key], access="required") as service:
        for path in ("/v2/health/live", "/v2/health/ready"):
            assert service.request("GET", path).status_code == 200
        for path in ("/v2", "/v2/", *PLACES, *(f"{place}/ready" for place in PLACES)):
            assert service.request("GET", path).status_code == 401
            assert service.request("GET", path, key=text).status_code == 200
        for path in ("/v2/models/price", "/v2/models/price/ready", "/v2/models/price/versions/1"):
            assert service.request("GET", path, key=text).status_code == 403
        for path in ("/v2/models/price/infer", "/v2/models/price/versions/1/infer"):
            assert service.request("POST", path, json={"inputs": []}).status_code == 401
            assert service.request("POST", path, key=text, json={"inputs": []}).status_code == 403
