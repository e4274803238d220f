"""The service does what its OpenAPI document says, and nothing else."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from config.settings import HookSettings
from serving.problems import KINDS
from tasks.serving.test_delivery import new_secret
from tests.serving.running import Example, Running, make_key, running

NAMES = ("credit", "grade", "price")
HOOK_PATH = "/v1/hooks/{model}/retrain"
LIMITS: dict[str, Any] = {"max_rows": 20, "max_body_kb": 1024}


@pytest.fixture(scope="module")
def service(examples: dict[str, Example], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Return a service of three models that asks for no credentials."""
    states = [examples[name].state for name in NAMES]
    with running(tmp_path_factory.mktemp("open"), states, **LIMITS) as service:
        yield service


@pytest.fixture(scope="module")
def document(service: Running) -> dict[str, Any]:
    """Return the service's document."""
    found: dict[str, Any] = service.request("GET", "/openapi.json").json()
    return found


# A schema cannot say that columns have the same number of values, nor which tensors there must be, nor describe an
# Arrow stream: such bodies are refused.
CONFIG = """
[[operations]]
include-path-regex = "/(predict|infer)$"
checks.positive_data_acceptance.expected-statuses = ["2xx", "401", "403", "404", "400", "422"]
"""


def _explored(service: Running, folder: Path, *more: str) -> str:
    """Let Schemathesis send what the document allows and what it forbids; return what it prints."""
    limits = ["--phases", "examples,coverage,fuzzing", "--max-examples", "25", "--seed", "1"]
    quiet = ["--no-color", "--suppress-health-check", "all", "--generation-database", "none"]
    config = folder / "schemathesis.toml"
    config.write_text(CONFIG)
    command = [
        str(Path(sys.executable).with_name("st")),
        "--config-file",
        str(config),
        "run",
        f"{service.url}/openapi.json",
        "--checks",
        "all",
    ]
    # In a folder of its own: neither a file of settings nor what an earlier run has found counts.
    done = subprocess.run([*command, *limits, *quiet, *more], capture_output=True, text=True, cwd=folder, check=False)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.mark.slow
def test_the_service_keeps_to_its_document(service: Running, tmp_path: Path) -> None:
    """What the document allows is accepted, what it forbids refused, and every answer is one that it declares."""
    assert "No issues found" in _explored(service, tmp_path)
    assert "Traceback" not in service.logged
    samples = service.samples()
    codes = {dict(labels)["code"] for name, labels in samples if name == "perennial_requests_total"}
    assert {"200", "400", "404", "405", "415", "422"} <= codes
    assert not {code for code in codes if code.startswith("5")}


@pytest.mark.slow
def test_the_service_keeps_to_its_document_where_it_asks_for_keys(examples: dict[str, Example], tmp_path: Path) -> None:
    """With a key everything holds as without, and the key is asked for wherever the document says so."""
    key, text = make_key("predict", "label", "operate")
    states = [examples[name].state for name in NAMES]
    given: dict[str, Any] = {**LIMITS, "bad_credentials_per_minute": 10_000}
    with running(tmp_path, states, keys=[key], access="required", **given) as service:
        _explored(service, tmp_path, "--header", f"Authorization: Bearer {text}")
        codes = {
            dict(labels)["code"] for name, labels in service.samples(key=text) if name == "perennial_requests_total"
        }
        assert "401" in codes
        assert not {code for code in codes if code.startswith("5")}


@pytest.mark.slow
def test_the_service_keeps_to_its_document_where_it_takes_webhooks(
    examples: dict[str, Example], tmp_path: Path
) -> None:
    """What nobody signed is refused as the document says, and is described only where somebody can sign."""
    hooks = HookSettings(standard=SecretStr(f"ci={new_secret()}"), github=SecretStr("gh/credit=0123456789abcdef"))
    given: dict[str, Any] = {**LIMITS, "bad_credentials_per_minute": 10_000}
    with running(tmp_path, [examples["credit"].state], hooks=hooks, **given) as service:
        assert HOOK_PATH in service.request("GET", "/openapi.json").json()["paths"]
        _explored(service, tmp_path, "--include-path", HOOK_PATH)
        codes = {dict(labels)["code"] for name, labels in service.samples() if name == "perennial_requests_total"}
        assert {"401", "405"} <= codes
        assert not {code for code in codes if code.startswith("5")}


def test_webhooks_that_nobody_can_sign_are_not_described(document: dict[str, Any]) -> None:
    """The path is there, and refuses everything."""
    assert HOOK_PATH not in document["paths"]


def test_every_model_has_its_own_paths(document: dict[str, Any], examples: dict[str, Example]) -> None:
    """With its columns, the classes it answers with, and those that are labels."""
    for name in NAMES:
        assert {f"/v1/models/{name}/predict", f"/v1/models/{name}/labels"} <= set(document["paths"])
        row = document["components"]["schemas"][f"{name}.Row"]
        assert row["required"] != []
        assert set(row["required"]) == set(examples[name].contract.raw_columns)
        assert set(row["properties"]) == {*row["required"], "id"}
        assert row["additionalProperties"] is False
    assert "/v1/models/{model}/labels" not in document["paths"]
    labels = {
        name: document["components"]["schemas"][f"{name}.Labels"]["properties"]["labels"]["items"]["properties"][
            "label"
        ]
        for name in NAMES
    }
    assert labels["credit"] == {"enum": ["0", 0, "1", 1]}
    assert labels["grade"] == {"enum": list(examples["grade"].contract.classes)}
    assert labels["price"]["type"] == "number"


def test_the_document_can_be_tried_out(service: Running, document: dict[str, Any]) -> None:
    """Its example of a request is answered."""
    for name in NAMES:
        (example,) = document["components"]["schemas"][f"{name}.Rows"]["examples"]
        columns = {"columns": {column: [value] for column, value in example["rows"][0].items()}}
        answers = [service.request("POST", f"/v1/models/{name}/predict", json=body) for body in (example, columns)]
        assert [one.status_code for one in answers] == [200, 200]
        first, second = (one.json()["predictions"][0] for one in answers)
        assert {**first, "id": ""} == {**second, "id": ""}


def test_columns_are_described_by_the_cells_of_rows(document: dict[str, Any]) -> None:
    """As many of them as the service takes rows."""
    for name in NAMES:
        row = document["components"]["schemas"][f"{name}.Row"]
        columns = document["components"]["schemas"][f"{name}.Columns"]["properties"]["columns"]
        assert columns["required"] == row["required"]
        assert columns["properties"] == {
            column: {"type": "array", "items": cell, "minItems": 1, "maxItems": LIMITS["max_rows"]}
            for column, cell in row["properties"].items()
        }


def test_every_operation_declares_the_problems(document: dict[str, Any]) -> None:
    """All of them, as problem documents: whatever stands before the operation may refuse."""
    statuses = {str(status) for status, _ in KINDS.values()}
    for item in document["paths"].values():
        for operation in item.values():
            assert statuses <= set(operation["responses"])
            for status in statuses:
                assert "application/problem+json" in operation["responses"][status]["content"]


def test_operations_have_names_of_their_own(document: dict[str, Any]) -> None:
    """From which clients are generated."""
    names = [operation["operationId"] for item in document["paths"].values() for operation in item.values()]
    assert len(names) == len(set(names))


def test_the_document_says_what_is_public(examples: dict[str, Example], tmp_path: Path) -> None:
    """Health is, and webhooks are signed; all else asks for a key, and the document for one too."""
    key, text = make_key("predict")
    with running(tmp_path, [examples["credit"].state], keys=[key], access="required") as service:
        document = service.request("GET", "/openapi.json", key=text).json()
    assert document["components"]["securitySchemes"] == {"bearer": {"type": "http", "scheme": "bearer"}}
    for path, item in document["paths"].items():
        for operation in item.values():
            asks_for_no_key = path.startswith(("/health/", "/v2/health/", "/v1/hooks/"))
            assert operation["security"] == ([] if asks_for_no_key else [{"bearer": []}])
