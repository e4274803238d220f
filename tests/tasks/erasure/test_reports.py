"""Rows that were set aside, and pages that show a key as an example."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from config.settings import Settings
from core.erasure.outcome import ErasureOutcome
from tasks.validation.results import RESULT
from tasks.validation.validate import PAGE
from tests.factories import add_credit_model, make_project
from tests.tasks.erasure.projects import forgotten, numbers


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Make a project without data."""
    made = make_project(tmp_path)
    add_credit_model(made)
    return made


def page(settings: Settings, name: str, column: str, observed: str, reasons: tuple[str, ...] = ()) -> Path:
    """Write the result of a validation and its page."""
    folder = settings.var / "reports" / "credit" / "validation" / name
    folder.mkdir(parents=True)
    outcome = {"column": column, "description": "", "observed": observed}
    (folder / RESULT).write_text(json.dumps({"accepted": True, "reasons": reasons, "outcomes": [outcome]}))
    (folder / PAGE).write_text(observed)
    return folder


def test_only_pages_that_show_the_key_go(settings: Settings) -> None:
    """A number of another column that looks the same is none."""
    shown = page(settings, "0123456789ab", "id", "1 row fails, e.g. 47")
    reason = page(settings, "1123456789ab", "id", "", ("id must be unique, e.g. 12; 47",))
    other = page(settings, "2123456789ab", "age", "1 row fails, e.g. 47")
    part = page(settings, "3123456789ab", "id", "1 row fails, e.g. 472")
    outcome: ErasureOutcome = forgotten(settings, "47")
    assert numbers(outcome) == {"validation reports": 2}
    assert [folder.exists() for folder in (shown, reason, other, part)] == [False, False, True, True]


def test_a_result_that_cannot_be_read_is_no_obstacle(settings: Settings) -> None:
    """It is of another release, or damaged."""
    folder = page(settings, "0123456789ab", "id", "e.g. 47")
    (folder / RESULT).write_text("{")
    assert numbers(forgotten(settings, "47")) == {}
