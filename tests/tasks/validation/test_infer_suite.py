"""A model's suite is inferred again from its source, as an ingestion reads it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from config.load import load_model_config
from config.settings import Settings
from core.errors import ConfigError, SchemaError
from tasks.init.model_file import init_model
from tasks.source.stage import stage_rows
from tasks.validation.infer_suite import infer_suite
from tasks.validation.validate import validate_rows
from tests.factories import credit_rows, make_project


@pytest.fixture
def project(tmp_path: Path) -> Settings:
    """Make a project with the model ``loans`` as init writes it."""
    settings = make_project(tmp_path)
    rows = credit_rows(400)
    rows["seen"] = [f"2024-{1 + row % 12:02}-{1 + row % 28:02}" for row in range(len(rows))]
    rows["score"] = rows["age"] % 7
    rows.to_csv(settings.root / "loans.csv", index=False)
    init_model(str(settings.root / "loans.csv"), "default", settings, time="seen", key="id")
    return settings


def suite_path(settings: Settings) -> Path:
    """Path of the suite."""
    return settings.root / "config" / "expectations" / "loans.json"


def suite(settings: Settings) -> dict[str, Any]:
    """Content of the suite."""
    content: dict[str, Any] = json.loads(suite_path(settings).read_text())
    return content


def move(settings: Settings, column: str, kind: str) -> None:
    """Edit the model file as a person does: a column to another kind."""
    path = settings.root / "config" / "models" / "loans.yaml"
    lines = [line for line in path.read_text().splitlines() if not line.strip().startswith(f"- {column} ")]
    heads = [place for place, line in enumerate(lines) if line.startswith(f"  {kind}:")]
    place = heads[0] if heads else lines.index("features:")
    lines[place + 1 : place + 1] = [f"    - {column}"] if heads else [f"  {kind}:", f"    - {column}"]
    path.write_text("\n".join(lines) + "\n")


def accepted(settings: Settings, work: Path) -> bool:
    """Whether the source's rows pass the suite, with nothing set aside and no warning."""
    config = load_model_config(settings.root, "loans")
    result = validate_rows(stage_rows(config, settings, work), config, settings, work)
    return result.accepted and all(outcome.passed for outcome in result.outcomes)


def test_the_same_kinds_give_the_suite_that_init_wrote(project: Settings) -> None:
    """Both read the rows in the same way, so nothing changes, not even a byte."""
    before = suite_path(project).read_bytes()
    result = infer_suite("loans", project)
    assert (result.update.added, result.update.removed, result.n_rows) == ((), (), 400)
    assert suite_path(project).read_bytes() == before


@pytest.mark.parametrize(("column", "kind"), [("age", "ignored"), ("score", "categorical"), ("region", "ignored")])
def test_a_moved_column_takes_its_expectations_along(project: Settings, tmp_path: Path, column: str, kind: str) -> None:
    """After the edit that the tutorial invites to, one command makes the two files agree again."""
    move(project, column, kind)
    infer_suite("loans", project)
    rules = {
        item["meta"]["inferred"].partition(" ")[0]
        for item in suite(project)["expectations"]
        if item["kwargs"].get("column") == column
    }
    assert rules == ({"coding", "levels", "present"} if kind == "categorical" else set())
    assert accepted(project, tmp_path / "work")
    assert list((project.var / "work").iterdir()) == []


def test_what_a_person_wrote_stays(project: Settings) -> None:
    """Also where the rule infers something else now."""
    own = {"type": "expect_column_mean_to_be_between", "kwargs": {"column": "income", "min_value": 1}}
    suite_path(project).write_text(json.dumps({**suite(project), "expectations": [own]}))
    infer_suite("loans", project)
    assert suite(project)["expectations"][-1] == own
    assert len(suite(project)["expectations"]) > 10


def test_what_a_person_wrote_and_does_not_fit_is_theirs_to_remove(project: Settings) -> None:
    """It is named by its place in the file, and the file is unchanged."""
    own = {"type": "expect_column_mean_to_be_between", "kwargs": {"column": "age", "min_value": 1}}
    content = suite(project)
    content["expectations"].insert(2, own)
    suite_path(project).write_text(json.dumps(content))
    move(project, "age", "ignored")
    before = suite_path(project).read_bytes()
    with pytest.raises(ConfigError, match=r"expectations\[2\] .*numbers, but age contains text.*\nA person wrote"):
        infer_suite("loans", project)
    assert suite_path(project).read_bytes() == before


def test_a_lost_suite_is_written_again(project: Settings) -> None:
    """Without a file there is nothing to keep."""
    before = suite_path(project).read_bytes()
    suite_path(project).unlink()
    infer_suite("loans", project)
    assert suite_path(project).read_bytes() == before


def test_rows_that_cannot_be_read_change_nothing(project: Settings) -> None:
    """The kinds must fit the rows before a suite can be inferred."""
    before = suite_path(project).read_bytes()
    path = project.root / "loans.csv"
    path.write_text(path.read_text().replace("c1-3,", "c1-3,x", 1))
    with pytest.raises(SchemaError, match="income"):
        infer_suite("loans", project)
    assert suite_path(project).read_bytes() == before
