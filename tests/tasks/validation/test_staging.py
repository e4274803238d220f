"""Rows that a command reads before its flow run are the ones that the run gets, and nothing else is."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from config.load import load_model_config
from config.settings import Settings
from core.errors import ConfigError, SourceError
from tasks.validation import staging
from tasks.validation.staging import stage, stage_ahead
from tests.factories import add_credit_model, credit_rows


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    yield
    staging._ahead.clear()


def test_rows_are_read_once(project: Settings) -> None:
    """The run finds what was staged for it, once; a repeat reads again."""
    add_credit_model(project)
    stage_ahead("credit", None, project)
    credit_rows(900).to_csv(project.root / "rows.csv", index=False)
    config = load_model_config(project.root, "credit")
    assert stage(config, project).n_rows == 800
    assert stage(config, project).n_rows == 900


def test_rows_of_another_model_file_are_not_taken(project: Settings) -> None:
    """Other overrides may read the source in another way."""
    add_credit_model(project)
    stage_ahead("credit", {"source.missing": '["", "south"]'}, project)
    credit_rows(900).to_csv(project.root / "rows.csv", index=False)
    assert stage(load_model_config(project.root, "credit"), project).n_rows == 900


def test_a_file_that_is_gone_is_read_again(project: Settings) -> None:
    """Another command may have emptied the folder."""
    add_credit_model(project)
    stage_ahead("credit", None, project)
    config = load_model_config(project.root, "credit")
    staged = project.var / "work" / "credit" / "staged.parquet"
    staged.unlink()
    assert stage(config, project).path == staged
    assert staged.exists()


def test_what_fails_ahead_fails_in_the_run(project: Settings) -> None:
    """So that the run is on record with its error."""
    add_credit_model(project)
    (project.root / "rows.csv").unlink()
    stage_ahead("credit", None, project)
    with pytest.raises(SourceError, match="no file"):
        stage(load_model_config(project.root, "credit"), project)
    (project.root / "config" / "expectations" / "credit.json").write_text("{}")
    stage_ahead("credit", None, project)
    stage_ahead("gone", None, project)
    with pytest.raises(ConfigError, match="expectations"):
        stage(load_model_config(project.root, "credit"), project)
