"""The commands about rows and data versions."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner, Result

from cli.main import main
from config.settings import Settings
from tests.factories import add_credit_model


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
