"""The OpenAPI document: the application's paths, and typed paths for each model's predictions and labels."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from config.settings import ServingSettings
from core.notations import Notation
from core.row_limits import MAX_KEY, MAX_NUMBER, MAX_TEXT, TEXT_PATTERN
from core.text import number
from serving import routes
from serving.model.arrow import MEDIA_TYPE as ARROW
from serving.model.rows import KEY_NUMBERS
from serving.model.served import ServedModel
from serving.model.tensors import DATATYPES, MAX_ID, example, outputs
from serving.problems import KINDS, MEDIA_TYPE

PROBLEM = {"$ref": "#/components/schemas/Problem"}

# Stricter than the parser: only days that every month has, and only the common forms of ISO 8601.
DATE_PATTERN = (
    r"^(?:1[7-9]|20|21)\d{2}-(?:0[1-9]|1[0-2])-(?:0[1-9]|1\d|2[0-8])"
    r"(?:T(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d{1,6})?(?:Z|[+-](?:0\d|1[0-4]):[0-5]\d)?)?$"
)
_STREAM = {
    ARROW.decode(): {"schema": {"type": "string", "format": "binary", "description": "An Arrow IPC stream of columns"}}
}
_EXAMPLE_ID = "019b76da-a800-7000-8000-000000000000"


def document(base: dict[str, Any], models: Iterable[ServedModel], settings: ServingSettings) -> dict[str, Any]:
    """Return the whole document.

    Parameters
    ----------
    base
        The framework's document; it is not changed.
    models
        Models to describe.
    settings
        Limits, and whether access control is on.
    """
    paths = {
        path: {method: _with_problems(operation) for method, operation in item.items()}
        for path, item in base["paths"].items()
    }
    schemas = dict(base.get("components", {}).get("schemas", {}))
    labels = paths.pop(routes.LABELS.path)["post"]
    for model in models:
        paths[routes.LABELS.path.format(model=model.name)] = {"post": _labels(model, labels)}
        schemas[f"{model.name}.Labels"] = _label_items(model, schemas)
        paths[routes.PREDICT.path.format(model=model.name)] = {"post": _with_problems(_predict(model))}
        paths[routes.INFER.path.format(model=model.name)] = {"post": _with_problems(_infer(model))}
        schemas[f"{model.name}.Tensors"] = _tensors(model)
        schemas[f"{model.name}.Row"] = _row(model)
        schemas[f"{model.name}.Rows"] = _rows(model, settings.max_rows)
        schemas[f"{model.name}.Columns"] = _columns(model, settings.max_rows)
        schemas[f"{model.name}.Predictions"] = _predictions(model)
    schemas["Problem"] = _problem()
    whole = {**base, "paths": paths, "components": {**base.get("components", {}), "schemas": schemas}}
    if not settings.is_open:
        whole["components"]["securitySchemes"] = {"bearer": {"type": "http", "scheme": "bearer"}}
        for path, item in paths.items():
            for operation in item.values():
                operation["security"] = [] if path in routes.WITHOUT_KEY else [{"bearer": []}]
    return whole


def _with_problems(operation: dict[str, Any]) -> dict[str, Any]:
    statuses = sorted({status for status, _ in KINDS.values()})
    problems = {
        str(status): {
            "description": "; ".join(title for code, title in KINDS.values() if code == status),
            "content": {MEDIA_TYPE: {"schema": PROBLEM}},
        }
        for status in statuses
    }
    declared = {code: answer for code, answer in operation["responses"].items() if code != "422"}
    merged = {code: _merged(declared.get(code), problem) for code, problem in problems.items()}
    return {**operation, "responses": {**declared, **merged}}


def _merged(declared: dict[str, Any] | None, problem: dict[str, Any]) -> dict[str, Any]:
    if declared is None:
        return problem
    return {**declared, "content": {**declared.get("content", {}), **problem["content"]}}


def _predict(model: ServedModel) -> dict[str, Any]:
    body = {"oneOf": [_ref(model, "Rows"), _ref(model, "Columns")]}
    return {
        "summary": f"Predictions of {model.name}",
        "description": f"Answered by version {model.version} ({model.variant}), trained on data version "
        f"{model.manifest.data_version}.",
        "operationId": f"predict_{model.name}",
        "requestBody": {"required": True, "content": {"application/json": {"schema": body}, **_STREAM}},
        "responses": {
            "200": {
                "description": "One prediction per row, in the order of the rows, in the form of the request",
                "content": {"application/json": {"schema": _ref(model, "Predictions")}, **_STREAM},
            }
        },
    }


def _infer(model: ServedModel) -> dict[str, Any]:
    answer = {
        "type": "object",
        "properties": {name: {"type": "string"} for name in ("model_name", "model_version", "id")}
        | {
            "parameters": {"type": "object"},
            "outputs": {"type": "array", "items": _tensor(outputs(model), "FP64", "BYTES")},
        },
        "required": ["model_name", "outputs"],
    }
    return {
        "summary": f"Predictions of {model.name} by the Open Inference Protocol",
        "description": "A tensor per column, of the shape [rows] or [rows, 1]; null stands for no value",
        "operationId": f"infer_{model.name}",
        "requestBody": {"required": True, "content": {"application/json": {"schema": _ref(model, "Tensors")}}},
        "responses": {
            "200": {"description": "The answers as tensors", "content": {"application/json": {"schema": answer}}}
        },
    }


def _tensors(model: ServedModel) -> dict[str, Any]:
    named = {"type": "object", "properties": {"name": {"enum": [*outputs(model)]}}, "required": ["name"]}
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {
            "id": {"type": "string", "maxLength": MAX_ID},
            "parameters": {"type": "object"},
            "inputs": {"type": "array", "items": _tensor(model.reader.names, *DATATYPES), "minItems": 1},
            "outputs": {"type": "array", "items": named},
        },
        "required": ["inputs"],
    }
    if model.examples:
        schema["examples"] = [example(model)]
    return schema


def _tensor(names: Iterable[str], *datatypes: str) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {
            "name": {"enum": [*names]},
            "shape": {"type": "array", "items": {"type": "integer"}, "minItems": 1, "maxItems": 2},
            "datatype": {"enum": [*datatypes]},
            "parameters": {"type": "object"},
            "data": {"type": "array"},
        },
        "required": ["name", "shape", "datatype", "data"],
    }


def _labels(model: ServedModel, operation: dict[str, Any]) -> dict[str, Any]:
    content = {"application/json": {"schema": _ref(model, "Labels")}}
    return {
        **operation,
        "summary": f"Labels (true outcomes) of predictions of {model.name}",
        "operationId": f"labels_{model.name}",
        "parameters": [],
        "requestBody": {"required": True, "content": content},
    }


def _label_items(model: ServedModel, schemas: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of labels, limited to the model's classes or to numbers."""
    label: dict[str, Any] = {"type": "number", "minimum": -MAX_NUMBER, "maximum": MAX_NUMBER}
    if model.contract.classes:
        label = {"enum": [form for name in model.contract.classes for form in _forms(name)]}
    whole, item = schemas["Labels"], schemas["LabelItem"]
    item = {**item, "properties": {**item["properties"], "label": label}}
    listed = {**whole["properties"]["labels"], "items": item}
    return {**whole, "properties": {"labels": listed}}


def _forms(name: str) -> list[Any]:
    """Return what a class may be called in JSON: its name, and the flag or the number that is written so."""
    try:
        value = json.loads(name)
    except (ValueError, RecursionError):
        return [name]
    return [name, value] if isinstance(value, bool | int | float) and str(value).lower() == name else [name]


def _ref(model: ServedModel, kind: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{model.name}.{kind}"}


def _rows(model: ServedModel, max_rows: int) -> dict[str, Any]:
    listed = {"type": "array", "items": _ref(model, "Row"), "minItems": 1, "maxItems": max_rows}
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {"rows": listed},
        "required": ["rows"],
        "additionalProperties": False,
    }
    if model.examples:
        schema["examples"] = [{"rows": [model.examples[0]]}]
    return schema


def _columns(model: ServedModel, max_rows: int) -> dict[str, Any]:
    row = _row(model)
    columns = {
        name: {"type": "array", "items": cell, "minItems": 1, "maxItems": max_rows}
        for name, cell in row["properties"].items()
    }
    return {
        "type": "object",
        "description": "The values of each column, all of the same number of rows",
        "properties": {"columns": {**row, "properties": columns}},
        "required": ["columns"],
        "additionalProperties": False,
    }


def _row(model: ServedModel) -> dict[str, Any]:
    contract = model.contract
    known = {column.get("name"): column for column in model.profile.get("columns", ())}
    properties: dict[str, Any] = {}
    for name in contract.numeric:
        properties[name] = _number(contract.notation(name), _seen(known.get(name)))
    for name in contract.boolean:
        properties[name] = {"type": ["boolean", "null"]}
    for name in contract.dates:
        properties[name] = _date(contract.notation(name), takes_empty=contract.missing is not None)
    for name in contract.categorical:
        properties[name] = {
            "type": ["string", "null"],
            "maxLength": MAX_TEXT,
            "pattern": TEXT_PATTERN,
            **_seen(known.get(name)),
        }
    for name, value in (model.examples[0] if model.examples else {}).items():
        if name in properties:
            properties[name]["examples"] = [value]
    required = list(properties)
    if contract.key is not None:
        properties[contract.key] = {
            "type": ["string", "integer", "null"],
            "minLength": 1,
            "maxLength": MAX_KEY,
            "pattern": TEXT_PATTERN,
            "minimum": KEY_NUMBERS[0],
            "maximum": KEY_NUMBERS[1],
            "description": "Key of the entity; labels can refer to the prediction by it",
        }
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def _number(notation: Notation | None, seen: dict[str, Any]) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": ["number", "null"], "minimum": -MAX_NUMBER, "maximum": MAX_NUMBER, **seen}
    if notation is None:
        return schema
    described = "; ".join([*seen.values(), f"a text such as {notation.example} is read as the number that it states"])
    return schema | {"type": ["number", "string", "null"], "maxLength": MAX_TEXT, "description": described}


def _date(notation: Notation | None, *, takes_empty: bool) -> dict[str, Any]:
    described = "A date or a time, ISO 8601; an offset from UTC is applied"
    if notation is not None:
        return {
            "type": ["string", "number", "null"],
            "maxLength": 40,
            "minimum": -MAX_NUMBER,
            "maximum": MAX_NUMBER,
            "description": f"{described}; or {notation.example}",
        }
    pattern = f"^$|{DATE_PATTERN}" if takes_empty else DATE_PATTERN
    return {"type": ["string", "null"], "maxLength": 40, "pattern": pattern, "description": described}


def _seen(column: dict[str, Any] | None) -> dict[str, Any]:
    """Describe the values of the training rows. Other values are allowed too; they count as drift."""
    if column is None:
        return {}
    if column.get("levels"):
        shown: Sequence[str] = column["levels"][:20]
        return {"description": f"in training: {', '.join(shown)}"}
    if column.get("minimum") is not None and column.get("maximum") is not None:
        return {"description": f"in training: {number(column['minimum'])} to {number(column['maximum'])}"}
    return {}


def _predictions(model: ServedModel) -> dict[str, Any]:
    classes = model.contract.classes
    probability = {"type": "number", "minimum": 0, "maximum": 1.000001}
    answer: dict[str, Any] = {"value": {"type": "number"}}
    if classes:
        answer = {
            "probabilities": {
                "type": "object",
                "properties": dict.fromkeys(classes, probability),
                "required": list(classes),
                "additionalProperties": False,
            }
        }
    one = {
        "type": "object",
        "properties": {"id": {"type": "string", "format": "uuid", "examples": [_EXAMPLE_ID]}, **answer},
        "required": ["id", *answer],
        "additionalProperties": False,
    }
    return {
        "type": "object",
        "properties": {
            "model": {"type": "string", "const": model.name},
            "version": {"type": "integer", "minimum": 1},
            "variant": {"type": "string"},
            "predictions": {"type": "array", "items": one, "minItems": 1},
        },
        "required": ["model", "version", "variant", "predictions"],
        "additionalProperties": False,
    }


def _problem() -> dict[str, Any]:
    error = {
        "type": "object",
        "properties": {name: {"type": "string"} for name in ("field", "detail", "pointer")},
        "required": ["field", "detail"],
        "additionalProperties": False,
    }
    return {
        "type": "object",
        "description": "A problem document (RFC 9457)",
        "properties": {
            "type": {"type": "string", "enum": [f"urn:perennial:problem:{kind}" for kind in KINDS]},
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "detail": {"type": "string"},
            "request_id": {"type": "string"},
            "error": {"type": "string", "description": "The detail, under the name of the Open Inference Protocol"},
            "errors": {"type": "array", "items": error},
        },
        "required": ["type", "title", "status", "detail"],
        "additionalProperties": False,
    }
