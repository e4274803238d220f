"""The commands about rows and data versions."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cli.main import main
from config.settings import Settings
from store.database import open_database
from store.log.labels import Label, known_labels_since, record_labels
from tests.factories import add_credit_model

ROOT = Path(__file__).resolve().parents[2]
BOUNDS = (datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC))


def _invoke(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


def test_a_model_without_data_says_how_to_read_it(project: Settings) -> None:
    """As lines and as a document; 'data credit' is 'data list credit'."""
    add_credit_model(project)
    advice = "no data of credit yet; read it with: perennial ingest credit\n"
    assert [_invoke("data", *more, "credit").stdout for more in ((), ("list",))] == [advice, advice]
    nothing = {"model": "credit", "versions": [], "batches": [], "n_rows": 0, "n_distinct": None}
    assert json.loads(_invoke("data", "credit", "--json").stdout) == nothing


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("data", "nothing"), "nothing"),
        (("data", "restore", "credit"), "Missing argument 'VERSION'"),
        (
            ("data", "restore", "credit", "latest"),
            "'credit' has no data version yet; read its rows with: perennial ingest",
        ),
        (("data", "restore", "credit", "zz"), "'zz' is no data version: expected 32 hex digits"),
        (("ingest", "credit", "--set", "gate.flor=1"), "gate.flor"),
        (("ingest", "credit", "--wait", "-1"), "--wait"),
        (("ingest", "credit", "--since", "2026-03-01"), "--since and --until need --source predictions"),
        (("ingest", "credit", "--source", "predictions", "--append"), "--append is for rows of the model file's"),
        (("ingest", "credit", "--source", "predictions", "--since", "soon"), "--since expects a time such as"),
    ],
)
def test_what_cannot_be_done_exits_with_2(project: Settings, arguments: tuple[str, ...], says: str) -> None:
    """Nothing was read or written."""
    add_credit_model(project)
    result = _invoke(*arguments)
    assert result.exit_code == 2
    assert says in result.stderr
    assert not (project.root / "data").exists()


def test_a_run_may_start_without_data(project: Settings) -> None:
    """A deployment's first run restores nothing, and goes on."""
    add_credit_model(project)
    result = _invoke("data", "restore", "credit", "latest", "--missing-ok")
    assert (result.exit_code, result.stdout) == (0, "no data version yet\n")


@pytest.fixture
def forgettable(project: Settings) -> Settings:
    """Return a project whose labels name an entity."""
    add_credit_model(project)
    labels = [Label("key", key, "1") for key in ("4711", "12")]
    record_labels(open_database(project.database_url), "credit", labels, "branch", datetime(2026, 3, 1, tzinfo=UTC))
    return project


@pytest.mark.usefixtures("forgettable")
def test_an_entity_is_forgotten_and_the_record_has_no_key() -> None:
    """A dry run tells the same before; a repeat finds nothing."""
    removed = [{"what": "labels", "where": "label_history", "n": 1}]
    dry = json.loads(_invoke("forget", "credit", "--key", "4711", "--dry-run", "--json").stdout)
    assert (dry["dry_run"], dry["removed"]) == (True, removed)
    done = json.loads(_invoke("forget", "credit", "--key", "4711.0", "--yes", "--json", "--reason", "r 31").stdout)
    assert (done["dry_run"], done["removed"]) == (False, removed)
    assert "no rows of this key" in _invoke("forget", "credit", "--key", "4711", "--yes").stdout
    listed = _invoke("forget", "credit", "--list", "--json").stdout
    assert [one["reason"] for one in json.loads(listed)] == ["r 31", ""]
    assert json.loads(listed)[0]["id"] == done["id"]
    assert "4711" not in listed
    assert "1 labels" in _invoke("forget", "credit", "--list").stdout


@pytest.mark.usefixtures("forgettable")
def test_a_key_may_come_from_standard_input() -> None:
    """Where no list of processes and no history of a shell has it."""
    result = CliRunner().invoke(main, ["forget", "credit", "--key", "-", "--yes", "--json"], input="12\n")
    assert json.loads(result.stdout)["removed"][0]["n"] == 1


@pytest.mark.parametrize(("answer", "n_left"), [("n\n", 2), ("y\n", 1)])
def test_a_terminal_is_asked_first(forgettable: Settings, answer: str, n_left: int) -> None:
    """It sees what would go; without an answer nothing goes."""
    master, slave = os.openpty()
    command = [sys.executable, "-m", "cli", "forget", "credit", "--key", "12"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PERENNIAL_ROOT": str(forgettable.root)}
    os.write(master, answer.encode())
    done = subprocess.run(command, stdin=slave, capture_output=True, text=True, env=environment, check=True)
    for one in (master, slave):
        os.close(one)
    assert "WOULD REMOVE" in done.stderr
    assert ("nothing was removed" in done.stderr) == (n_left == 2)
    left = list(known_labels_since(open_database(forgettable.database_url), "credit", *BOUNDS))
    assert sum(map(len, left)) == n_left


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--yes",), "missing option '--key'"),
        (("--key", "12"), "expected --yes or --dry-run"),
        (("--key", " ", "--yes"), "expected a key"),
        (("--key", "12", "--yes", "--reason", "customer 12"), "the reason contains the key"),
    ],
)
def test_what_cannot_be_forgotten_exits_with_2(forgettable: Settings, arguments: tuple[str, ...], says: str) -> None:
    """Nothing was removed."""
    result = _invoke("forget", "credit", *arguments)
    assert result.exit_code == 2
    assert says in result.stderr
    assert sum(map(len, known_labels_since(open_database(forgettable.database_url), "credit", *BOUNDS))) == 2
