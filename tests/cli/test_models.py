"""The commands about models and their versions."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner, Result

from cli.main import main
from config.settings import Settings
from tests.factories import add_credit_model, credit_rows


def _invoke(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


def test_a_model_file_is_written_once(project: Settings) -> None:
    """Where one is there already, only --force replaces it; the document names the files."""
    credit_rows(60).to_csv(project.root / "loans.csv", index=False)
    arguments = ("init", "--data", str(project.root / "loans.csv"), "--target", "default", "--key", "id")
    written = _invoke(*arguments)
    assert written.exit_code == 0, written.output
    assert "run: perennial train loans" in written.stdout
    path = project.root / "config" / "models" / "loans.yaml"
    path.write_text(path.read_text() + "# mine\n")
    refused = _invoke(*arguments)
    assert (refused.exit_code, "--force" in refused.stderr) == (2, True)
    assert path.read_text().endswith("# mine\n")
    document = json.loads(_invoke(*arguments, "--force", "--json").stdout)
    assert document["model"] == "loans"
    assert str(path) in document["files"]
    assert not path.read_text().endswith("# mine\n")


def test_a_suite_follows_its_model_file(project: Settings) -> None:
    """The suite is inferred again from the model's source; the document has what was added, removed and kept."""
    add_credit_model(project)
    document = json.loads(_invoke("init", "--suite", "credit", "--json").stdout)
    assert document["n_rows"] == 800
    assert {item["kwargs"].get("column") for item in document["kept"]} >= {"age", "default"}
    result = _invoke("init", "--suite", "credit")
    assert (result.exit_code, "nothing has changed" in result.stdout) == (0, True), result.output
    assert result.stdout.startswith("wrote ")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("init", "--data", "a.csv"), "Missing option '--target'"),
        (("init", "--target", "y"), "Missing option '--data'"),
        (("init", "--suite", "credit", "--force"), "remove --force"),
        (("init", "--suite", "nothing"), "no model file"),
        (("show", "nothing@1"), "no model 'nothing'"),
        (("train", "credit", "--set", "gate.metric=rmse"), "does not fit the task binary"),
        (("train", "credit", "--wait", "-0.1"), "--wait"),
        (("judge", "nothing@1"), "nothing"),
        (("judge", "credit@1", "--set", "gate.floor"), "PATH=VALUE"),
        (("compare", "credit@1"), "Missing argument"),
        (("ui", "--port", "0"), "--port"),
    ],
)
def test_what_cannot_be_meant_exits_with_2(project: Settings, arguments: tuple[str, ...], says: str) -> None:
    """Before anything is read, trained or served."""
    add_credit_model(project)
    result = _invoke(*arguments)
    assert result.exit_code == 2
    assert says in result.stderr
    assert not (project.root / "data").exists()
