"""The command ``release``: its subcommands, exit codes and documents."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cli.main import main
from config.settings import Settings
from store.database import open_database
from store.releases.records import Trip
from store.releases.reports import record_trip
from tests.factories import add_credit_model
from tests.store.releases.samples import AT, started

ROOT = Path(__file__).resolve().parents[2]


def _invoke(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["release", *arguments])


@pytest.fixture
def released(project: Settings) -> Settings:
    """Return a project of a model whose version 2 is being released."""
    add_credit_model(project)
    started(open_database(project.database_url), "credit")
    return project


def test_the_status_is_the_default(released: Settings) -> None:
    """With and without its name, and as a document."""
    assert released
    assert "version 2, shadow, 0 %" in _invoke("credit").stdout
    assert _invoke("credit").stdout == _invoke("credit", "status").stdout
    document = json.loads(_invoke("credit", "--json").stdout)
    assert (document["release"], document["stage"], document["running"]) == (1, "shadow", True)


def test_pause_resume_abort(released: Settings) -> None:
    """Each shows the state after it."""
    assert released
    assert "paused" in _invoke("credit", "pause", "--reason", "a holiday").stdout
    assert "paused" not in _invoke("credit", "resume", "--reason", "back").stdout.splitlines()[0]
    assert "is over: aborted" in _invoke("credit", "abort", "--reason", "complaints").stdout
    again = _invoke("credit", "abort", "--reason", "complaints")
    assert again.exit_code == 2
    assert "no release of 'credit' is running" in again.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("nobody",), "there is no model 'nobody'"),
        (("nobody", "look"), "there is no model 'nobody'"),
        (("credit", "pause"), "--reason"),
        (("credit", "halt"), "no such command 'halt'; expected one of status, start, pause"),
        (("abort", "credit"), "expected the model before the command: perennial release credit abort"),
        (("credit", "abort", "--reason", " "), "--reason is empty"),
    ],
)
def test_what_is_refused(released: Settings, arguments: tuple[str, ...], says: str) -> None:
    """With exit code 2 and a sentence."""
    assert released
    result = _invoke(*arguments)
    assert result.exit_code == 2
    assert says in result.stderr


def test_a_look_does_what_the_flow_does(project: Settings, warm_steps: None) -> None:
    """MLflow's aliases follow the end of a release; a rollback is a decision that says no."""
    from tasks.registry.client import aliases_in_mlflow, mlflow_client
    from tests.tasks.release.traffic import log, two_versions

    assert warm_steps is None
    two_versions(project)
    log(project, 1, "champion", 20)
    approve = ["approve", "credit@2", "--reason", "it is better", "--override"]
    assert CliRunner().invoke(main, approve).exit_code == 0
    assert _invoke("credit", "look").exit_code == 0
    client = mlflow_client(project)
    assert aliases_in_mlflow(client, "credit") == {"champion": 1, "challenger": 2}
    reason = "12 of 20 requests failed"
    record_trip(open_database(project.database_url), Trip("credit", 1, "host:/srv", "breaker", reason, AT))
    ended = _invoke("credit", "look")
    assert (ended.exit_code, reason in ended.stdout) == (3, True)
    assert aliases_in_mlflow(client, "credit") == {"champion": 1}


def test_the_commands_of_the_page(project: Settings, warm_steps: None) -> None:
    """Each is run as it is written, with version 2 for 4; the last one starts what the others are about."""
    from tests.tasks.release.traffic import log, two_versions

    assert warm_steps is None
    two_versions(project)
    log(project, 1, "champion", 20)
    block = re.search(r"```sh\n(.*?)```", (ROOT / "docs" / "release.md").read_text(), re.DOTALL)
    assert block is not None
    commands = [shlex.split(line, comments=True) for line in block[1].splitlines()]
    assert commands[-1][3:5] == ["start", "4"]
    for command in [commands[-1], *commands[:-1]]:
        arguments = ["2" if text == "4" else text for text in command[1:]]
        result = CliRunner().invoke(main, arguments)
        assert result.exit_code == 0, (command, result.output)
    assert "is over: aborted" in _invoke("credit").stdout
