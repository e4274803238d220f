"""What an earlier commit registered, recorded and versioned still works, and answers what it answered then."""

import hashlib
import json
import math
import shutil
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner

from cli.main import main
from config.settings import Settings
from core.data.version import tree_version
from store.database import open_database
from store.schema_version import HEAD
from tests.before import Before, before  # noqa: F401 - a fixture
from tests.serving.service_processes import serving

UNSTABLE = {"links", "serving"}
"""Fields of answers that differ from run to run: addresses, and how long a row took."""
RUNTIMES = {"loans": "onnx", "grades": "skops", "prices": "onnx"}

pytestmark = pytest.mark.e2e


def _perennial(*words: str) -> Any:
    done = CliRunner().invoke(main, [*words, "--json"])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def _stable(document: Any) -> Any:
    if isinstance(document, dict):
        return {name: _stable(value) for name, value in document.items() if name not in UNSTABLE}
    return [_stable(item) for item in document] if isinstance(document, list) else document


def _rows(settings: Settings) -> dict[str, list[Any]]:
    """Return the rows of every table of the operational database but the one with its revision."""
    with closing(sqlite3.connect(settings.var / "perennial.db")) as connection:
        names = [
            name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type IN ('table', 'view')")
        ]
        return {
            name: connection.execute(f'SELECT * FROM "{name}"').fetchall()  # noqa: S608 - names of the schema
            for name in names
            if name != "alembic_version"
        }


def test_the_database_is_migrated_and_loses_no_row(before: Before) -> None:  # noqa: F811 - the fixture
    """Opening brings the schema to today's revision and keeps what was recorded."""
    then = _rows(before.settings)
    with open_database(before.settings.database_url).connect() as connection:
        revision = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
    now = _rows(before.settings)
    assert revision == HEAD
    assert {name: len(now[name]) for name in then} == {name: len(rows) for name, rows in then.items()}
    assert all(then[name] for name in ("champions", "drift_windows", "labels", "prediction_requests", "reviews"))


def test_the_commands_answer_what_they_answered(before: Before) -> None:  # noqa: F811 - the fixture
    """Versions, histories, drift, triggers, keys and data have the same keys and values; new keys may stand beside."""
    for line, answer in before.recorded["commands"].items():
        found = _perennial(*line.split())
        assert _known(_stable(found), _stable(answer)) == _stable(answer), line


def _known(found: Any, answer: Any) -> Any:
    """Return what was found without the keys that the recorded answer does not have."""
    if isinstance(found, dict) and isinstance(answer, dict):
        return {key: _known(value, answer[key]) for key, value in found.items() if key in answer}
    if isinstance(found, list) and isinstance(answer, list) and len(found) == len(answer):
        return [_known(*pair) for pair in zip(found, answer, strict=True)]
    return found


def test_old_versions_are_compared_as_they_were(before: Before) -> None:  # noqa: F811 - the fixture
    """Loading both pipelines and scoring the rows of the old data version gives the numbers and the verdict of then.

    A verdict that a negative control decided may differ: the controls are compared with the better of the two now.
    """
    for model, answer in before.recorded["compare"].items():
        found = _perennial("compare", f"{model}@1", f"{model}@2")
        for name in (
            *(["decision"] if answer["self_test"]["passed"] else []),
            "champion",
            "version",
            "metric",
            "value",
            "low",
            "high",
            "floor",
            "comparison",
            "holdout",
        ):
            assert _as_recorded(found[name], answer[name]) == answer[name], (model, name)


def _as_recorded(found: Any, recorded: Any) -> Any:
    """Leave out the keys that an answer has gained since it was recorded, and the last digits of sums."""
    if isinstance(found, dict) and isinstance(recorded, dict):
        if "p_value" in recorded and (found["difference"] or {}).get("clusters"):
            # Rows of the slice come in clusters: its interval is wider than when that was not looked for.
            values = {key: found["difference"][key] for key in ("champion", "challenger", "gain", "n_rows")}
            return {**recorded, "difference": recorded["difference"] | values, "worse": found["worse"]}
        return {key: _as_recorded(value, recorded[key]) for key, value in found.items() if key in recorded}
    if isinstance(found, list) and isinstance(recorded, list) and len(found) == len(recorded):
        return [_as_recorded(*pair) for pair in zip(found, recorded, strict=True)]
    if isinstance(found, float) and isinstance(recorded, float) and math.isclose(found, recorded, rel_tol=1e-12):
        return recorded
    return found


def test_every_data_version_is_brought_back(before: Before) -> None:  # noqa: F811 - the fixture
    """Each version's files come from the remote into a clone without data, and hash to the version's name."""
    history = before.recorded["commands"]["data list loans"]
    assert len(history["versions"]) == 3
    for version in history["versions"]:
        shutil.rmtree(before.settings.root / "data", ignore_errors=True)
        files = [Path(name) for name in _perennial("data", "restore", "loans", version["version"])["files"]]
        hashes = {file.name: hashlib.md5(file.read_bytes(), usedforsecurity=False).hexdigest() for file in files}
        assert tree_version(hashes) == version["version"]


@pytest.mark.timeout(2700)
def test_the_service_gives_the_same_predictions(before: Before) -> None:  # noqa: F811 - the fixture
    """By graph and by pipeline, to a client with its old key; after a rollback by the predecessor.

    The last bits are left out: `exp` of another processor's instructions rounds otherwise.
    """
    answers = before.recorded["answers"]
    predecessor = answers["loans"]["predecessor"]
    with serving(before.settings, "--access", "required", PERENNIAL_SERVE_RETENTION_DAYS="36500") as service:
        headers = {"Authorization": f"Bearer {before.recorded['key']}"}
        with httpx.Client(base_url=f"http://127.0.0.1:{service.port}", headers=headers) as client:
            status = client.get("/v1/status").raise_for_status().json()
            assert {model["model"]: model["runtime"] for model in status["models"]} == RUNTIMES
            for model, answer in answers.items():
                found, recorded = _predicted(client, model, answer["champion"]["rows"]), answer["champion"]["answer"]
                assert _as_recorded(found, _numbers(recorded)) == _numbers(recorded), model
            _perennial("rollback", "loans", "--reason", "complaints from the branches")
            deadline = time.monotonic() + 300
            while (found := _predicted(client, "loans", predecessor["rows"]))[0] == 2:
                assert time.monotonic() < deadline, service.output.read_text()
                time.sleep(0.1)
        assert _as_recorded(found, _numbers(predecessor["answer"])) == _numbers(predecessor["answer"])


def _predicted(client: httpx.Client, model: str, rows: list[dict[str, Any]]) -> list[Any]:
    reply = client.post(f"/v1/models/{model}/predict", json={"rows": rows})
    return _numbers(reply.raise_for_status().json())


def _numbers(answer: dict[str, Any]) -> list[Any]:
    """Return the version that answered, and what it said of each row; the ids differ."""
    rows = [{name: value for name, value in row.items() if name != "id"} for row in answer["predictions"]]
    return [answer["version"], rows]


@pytest.mark.timeout(2700)
@pytest.mark.usefixtures("before")
def test_a_new_version_is_judged_against_the_old_champion(prefect_api: str) -> None:
    """A training on the data and the model file of then meets champion 2 on the same rows, and may follow it."""
    assert prefect_api
    from flows.train import train

    outcome = train("loans", overrides={"training.params.max_iter": "40", "training.params.max_leaf_nodes": "6"})
    assert (outcome.version, outcome.champion) == (5, 5), outcome
    newest = _perennial("history", "loans")["champions"][-1]
    assert (newest["version"], newest["below"]) == (5, 4)
    verdict = _perennial("compare", "loans@2", "loans@5")
    assert verdict["decision"] == "promote"
    assert _perennial("rollback", "loans", "--reason", "back to the one of then")["version"] == 2
