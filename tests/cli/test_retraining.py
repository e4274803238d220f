"""The commands for retraining and its triggers."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from click.testing import CliRunner, Result

from cli.main import main
from config.settings import Settings
from store.database import open_database
from store.triggers import receive
from tests.factories import add_credit_model
from tests.store.trigger_samples import AT, webhook


def _invoke(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


@pytest.fixture
def asked(project: Settings) -> Settings:
    """Return a project in which three retrainings were requested, a second apart."""
    engine = open_database(project.database_url)
    for number, model in enumerate(("credit", "other", "credit")):
        receive(engine, webhook(model, f"standard:ci:{number}", received_at=AT + timedelta(seconds=number)))
    return project


@pytest.mark.parametrize(
    ("arguments", "ids"),
    [
        ((), ["2", "1", "0"]),
        (("credit",), ["2", "0"]),
        (("credit", "--limit", "1"), ["2"]),
    ],
)
def test_triggers_are_listed_newest_first(asked: Settings, arguments: tuple[str, ...], ids: list[str]) -> None:
    """Of all models or of one, as a document and as one line each."""
    assert asked
    found = json.loads(_invoke("triggers", *arguments, "--json").stdout)
    assert [one["id"].rpartition(":")[2] for one in found] == ids
    lines = _invoke("triggers", *arguments).stdout.splitlines()
    assert len(lines) == len(ids) + 1


def test_a_model_without_triggers_is_told_from_a_misspelt_one(project: Settings) -> None:
    """Nothing to list is no error; an unknown name is one, and the models are listed."""
    add_credit_model(project)
    assert _invoke("triggers", "credit").stdout.startswith("no retraining of credit was requested yet")
    unknown = _invoke("triggers", "nothing")
    assert (unknown.exit_code, "models here: credit" in unknown.stderr) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("triggers", "--limit", "0"), "--limit"),
        (("retrain", "nothing"), "nothing"),
        (("retrain", "credit", "--set", "retrain.per_week=0"), "retrain.per_week"),
        (("retrain", "credit", "--wait", "-1"), "--wait"),
    ],
)
def test_what_cannot_be_meant_requests_nothing(project: Settings, arguments: tuple[str, ...], says: str) -> None:
    """Exit code 2 before a flow starts."""
    add_credit_model(project)
    result = _invoke(*arguments)
    assert result.exit_code == 2
    assert says in result.stderr
    assert json.loads(_invoke("triggers", "--json").stdout) == []
