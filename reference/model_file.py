"""The page of the model file's fields, and its JSON schema for editors."""

from __future__ import annotations

import json
from typing import Any

from config.schema import ModelConfig
from reference.fields import FieldSection, sections
from reference.markdown import code, document, table

HEADER = ("field", "type", "default", "bounds", "unit", "description")

LEAD = """
Every field of `config/models/<model>.yaml`. Unknown fields are refused. `perennial train MODEL --set PATH=VALUE`
overrides a field by its dotted path for one run.

Editors that know the YAML language server complete and check the file by its JSON schema, `config/model.schema.json`:
`perennial init` writes the schema into the project and names it in the first line of the model file.
"""


def schema() -> dict[str, Any]:
    """Return the JSON schema of a model file."""
    content = ModelConfig.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **content, "title": "Perennial model file"}


def schema_text() -> str:
    """Return the JSON schema as the package publishes it."""
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


def page() -> str:
    """Return the page."""
    return document("Model file", LEAD, [(_heading(one), _body(one)) for one in sections(schema())])


def _heading(section: FieldSection) -> str:
    if not section.path:
        return "The whole file"
    return code(section.path) + (f" with `kind: {section.variant}`" if section.variant else "")


def _body(section: FieldSection) -> str:
    rows = [(code(row.name), row.type, row.default, row.bounds, row.unit, row.description) for row in section.rows]
    return f"{section.description}\n\n{table(HEADER, rows)}"
