"""The commands by which a person changes the champion or looks back."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from click.testing import CliRunner, Result

from cli.main import main
from config.settings import Settings
from store.champions import start_tenure
from store.database import open_database
from tests.factories import add_credit_model

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def _invoke(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


@pytest.fixture
def ruled(project: Settings) -> Settings:
    """Return a project whose model had two champions, a day apart."""
    add_credit_model(project)
    engine = open_database(project.database_url)
    for number in range(2):
        at = AT + timedelta(days=number)
        start_tenure(
            engine, "credit", number + 3, expected_sequence=number, kind="gate", reason="better", actor="ci", at=at
        )
    return project


def test_the_history_is_told_whole_or_at_a_moment(ruled: Settings) -> None:
    """The moment of a change belongs to the new champion."""
    assert ruled
    whole = json.loads(_invoke("history", "credit", "--json").stdout)
    assert [one["version"] for one in whole["champions"]] == [3, 4]
    assert [one["until"] for one in whole["champions"]] == [whole["champions"][1]["at"], None]
    for at, versions in (
        ("2026-01-02T03:04:04Z", []),
        ("2026-01-02T03:04:05Z", [3]),
        ("2026-01-03T04:04:05+01:00", [4]),
    ):
        found = json.loads(_invoke("history", "credit", "--at", at, "--json").stdout)
        assert [one["version"] for one in found["champions"]] == versions
    assert "version 3 was champion of credit" in _invoke("history", "credit", "--at", "2026-01-02T12:00Z").stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("history", "credit", "--at", "yesterday"), "--at expects a moment such as 2026-03-01"),
        (("history", "nothing"), "there is no model 'nothing'; models here: credit"),
        (("approve", "credit@3"), "Missing option '--reason'"),
        (("approve", "credit", "--reason", "because"), "name the version: credit@VERSION"),
        (("approve", "credit@3", "--reason", "  "), "--reason is empty"),
        (("reject", "credit@3", "--reason", ""), "--reason is empty"),
        (("rollback", "credit", "--reason", "\n"), "--reason is empty"),
        (("rollback", "nothing", "--reason", "because"), "there is no model 'nothing'"),
    ],
)
def test_what_cannot_be_meant_moves_nothing(ruled: Settings, arguments: tuple[str, ...], says: str) -> None:
    """Exit code 2, and the history is as it was."""
    before = _invoke("history", "credit", "--json").stdout
    result = _invoke(*arguments)
    assert result.exit_code == 2
    assert says in result.stderr
    assert _invoke("history", "credit", "--json").stdout == before
    assert ruled
