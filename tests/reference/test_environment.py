"""The reference of environment variables."""

import re
from pathlib import Path

import pytest
from pydantic_settings import BaseSettings

from config import settings
from config.variables import settings_classes
from reference.environment import HEADINGS, page, variables
from reference.fields import FieldRow

ROOT = Path(__file__).resolve().parents[2]
ROWS = [row for of in settings_classes() for row in variables(of)]


def test_every_class_of_settings_is_on_the_page() -> None:
    """A new class of settings gets its heading."""
    names = {one.__name__ for one in BaseSettings.__subclasses__() if one.__module__ == settings.__name__}
    assert {of.__name__ for of in settings_classes()} == names == set(HEADINGS)
    assert len(ROWS) == sum(len(of.model_fields) for of in settings_classes())


@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
def test_every_variable_is_described(row: FieldRow) -> None:
    """A variable has a description, a number also what it counts."""
    assert row.description
    assert row.unit or not row.is_number, "name its unit in reference/fields.py"


def test_every_variable_that_the_code_names_is_on_the_page() -> None:
    """Whatever a message, a command or a deployment calls PERENNIAL_… is explained."""
    files = [
        path
        for room in ("cli", "config", "core", "flows", "serving", "store", "tasks")
        for path in (ROOT / room).rglob("*.py")
    ]
    text = "".join(path.read_text() for path in [*files, ROOT / "prefect.yaml"])
    named = set(re.findall(r"PERENNIAL_[A-Z_]*[A-Z]\b(?!_)", text))
    named -= {"PERENNIAL_HOOKS", "PERENNIAL_SERVE", "PERENNIAL_ALERTS", "PERENNIAL_RETENTION"}
    shown = set(re.findall(r"`(PERENNIAL_[A-Z_]+)`", page()))
    assert named - shown == set()
