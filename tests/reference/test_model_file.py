"""The reference of the model file, and its JSON schema."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from pydantic import BaseModel
from ruamel.yaml import YAML

from config import schema as definitions
from config.load import model_names, model_path
from reference.fields import FieldRow, sections
from reference.model_file import page, schema

ROOT = Path(__file__).resolve().parents[2]
SECTIONS = list(sections(schema()))
ROWS = [(f"{one.path}:{one.variant}.{row.name}", row) for one in SECTIONS for row in one.rows]

BASES = {definitions.Section, definitions.TabularSource}
"""Classes whose fields the page shows with those of each section that has them."""


@pytest.mark.parametrize(("place", "row"), ROWS, ids=[place for place, _ in ROWS])
def test_every_field_is_described(place: str, row: FieldRow) -> None:
    """A field has a description, a number also what it counts."""
    assert row.description, f"{place} needs a description in config/schema.py"
    assert row.unit or not row.is_number, f"{place} needs json_schema_extra=_unit(…) in config/schema.py"


def test_every_section_of_the_schema_is_on_the_page() -> None:
    """No class of a model file's sections is left out, nor a field of one."""
    classes = [
        one
        for one in vars(definitions).values()
        if isinstance(one, type) and issubclass(one, definitions.Section) and one not in BASES
    ]
    shown = [{row.name for row in one.rows} for one in SECTIONS]
    for one in classes:
        assert _fields(one) in shown, one.__name__
    assert len(SECTIONS) == len(classes)
    text = page()
    assert all(f"| `{row.name}` |" in text for _, row in ROWS)


def _fields(of: type[BaseModel]) -> set[str]:
    return set(of.model_fields)


def test_bounds_defaults_and_units_are_those_of_the_schema() -> None:
    """One field of each kind, read from the page as a person reads it."""
    lines = page().splitlines()
    assert (
        "| `psi` | number | `0.1` | > 0; ≤ 10 | PSI | population stability index up to which a change is small |"
        in lines
    )
    assert any(line.startswith("| `cooldown_hours` | number | `24.0` | ≥ 0; ≤ 10,000 | hours |") for line in lines)
    assert any(line.startswith("| `months` | integer | `12` | ≥ 1; ≤ 1,200 | months |") for line in lines)
    assert any(line.startswith("| `floor` | number | required |") for line in lines)
    assert "## `source` with `kind: sql`" in lines
    assert "## `source.drifts[]`" in lines


def _content(path: Path) -> dict[str, Any]:
    """Content of a model file as an editor checks it: dates are texts."""
    loaded: dict[str, Any] = YAML(typ="safe").load(path)
    return dict(json.loads(json.dumps(loaded, default=str)))


@pytest.mark.parametrize("model", model_names(ROOT))
def test_the_repositorys_model_files_fit_the_schema(model: str) -> None:
    """An editor shows no error in a model file that loads."""
    jsonschema.Draft202012Validator.check_schema(schema())
    validator = jsonschema.Draft202012Validator(schema(), format_checker=jsonschema.FormatChecker())
    assert list(validator.iter_errors(_content(model_path(ROOT, model)))) == []


@pytest.mark.parametrize(
    ("place", "value"),
    [(("drift", "psi"), 0), (("training", "colour"), "red"), (("task",), "ranking"), (("source", "months"), 0)],
)
def test_the_schema_refuses_what_the_loader_refuses(place: tuple[str, ...], value: object) -> None:
    """A value out of bounds, an unknown key, an unknown word: the editor marks it."""
    content = _content(model_path(ROOT, "credit"))
    inner = content
    for name in place[:-1]:
        inner = inner.setdefault(name, {})
    inner[place[-1]] = value
    assert list(jsonschema.Draft202012Validator(schema()).iter_errors(content))


@pytest.mark.parametrize("model", model_names(ROOT))
def test_the_first_line_leads_an_editor_to_the_schema(model: str) -> None:
    """The path in the first line, from the folder of the model file, is the published schema."""
    path = model_path(ROOT, model)
    first = path.read_text(encoding="utf-8").splitlines()[0]
    mark = "# yaml-language-server: $schema="
    assert first.startswith(mark)
    assert json.loads((path.parent / first.removeprefix(mark)).read_text(encoding="utf-8")) == schema()
