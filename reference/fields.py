"""Fields of pydantic models as rows of a table, read from their JSON schema."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from reference.markdown import code, summary

Node = Mapping[str, Any]

UNITS = (
    ("_per_month", "rows per month"),
    ("per_minute", "per minute"),
    ("_seconds", "seconds"),
    ("minutes", "minutes"),
    ("_hours", "hours"),
    ("_days", "days"),
    ("months", "months"),
    ("_ms", "milliseconds"),
    ("_mb", "MiB"),
    ("_kb", "KiB"),
    ("_rows", "rows"),
    ("port", "TCP port"),
    ("runs_at_once", "flow runs"),
    ("log_backups", "files"),
    ("workers", "processes"),
    ("max_concurrent", "requests"),
    ("max_concurrent_other", "requests"),
    ("max_connections", "connections"),
    ("reports", "reports"),
    ("versions", "versions"),
    ("rollbacks", "rollbacks"),
    ("snapshots", "snapshots"),
    ("bundles", "copies"),
)
"""What the end of a field's name says about its unit."""

_BOUNDS = (
    ("exclusiveMinimum", "> {}"),
    ("minimum", "≥ {}"),
    ("exclusiveMaximum", "< {}"),
    ("maximum", "≤ {}"),
    ("minItems", "at least {} items"),
    ("maxItems", "at most {} items"),
)


@dataclass(frozen=True)
class FieldRow:
    """One field.

    Parameters
    ----------
    name
        Of the field, without its section.
    type, default, bounds, unit, description
        As the page shows them; empty where there is none.
    is_number
        Whether its values are numbers, so that they have a unit.
    """

    name: str
    type: str
    default: str
    bounds: str
    unit: str
    description: str
    is_number: bool


@dataclass(frozen=True)
class FieldSection:
    """One section of a model file.

    Parameters
    ----------
    path
        Dotted path of the section, empty for the root; ``[]`` stands for the items of a list,
        ``<name>`` for a name that the user chooses.
    variant
        Value of ``kind`` where the section has one of several shapes, else empty.
    description
        Of the section.
    rows
        Its fields, in order.
    """

    path: str
    variant: str
    description: str
    rows: tuple[FieldRow, ...]


def sections(schema: Node) -> Iterator[FieldSection]:
    """Yield the sections of a JSON schema: the root, then each section below it, depth first."""
    yield from _sections(schema, "", "", schema.get("$defs", {}))


def _sections(node: Node, path: str, variant: str, defs: Node) -> Iterator[FieldSection]:
    properties = node["properties"]
    rows = tuple(row(name, inner, name in node.get("required", ()), defs) for name, inner in properties.items())
    yield FieldSection(path, variant, summary(node.get("description")), rows)
    for name, inner in properties.items():
        for below, suffix, kind in shapes(inner, defs):
            yield from _sections(below, f"{path}.{name}".lstrip(".") + suffix, kind, defs)


def shapes(node: Node, defs: Node) -> Iterator[tuple[Node, str, str]]:
    """Yield the sections that a field holds: schema, ``[]`` for items of a list or ``.<name>``, and the kind."""
    found = resolved(node, defs)
    if "properties" in found:
        yield found, "", ""
    elif "items" in found:
        yield from ((below, "[]", kind) for below, _, kind in shapes(found["items"], defs))
    elif "patternProperties" in found:
        for of_name in found["patternProperties"].values():
            yield from ((below, ".<name>", kind) for below, _, kind in shapes(of_name, defs))
    elif "discriminator" in found:
        for kind, reference in found["discriminator"]["mapping"].items():
            yield resolved({"$ref": reference}, defs), "", kind
    for option in found.get("anyOf", ()):
        yield from shapes(option, defs)


def resolved(node: Node, defs: Node) -> Node:
    """Return a schema with its reference followed; what stands beside the reference comes first."""
    if "$ref" not in node:
        return node
    beside = {name: value for name, value in node.items() if name != "$ref"}
    return {**defs[node["$ref"].rpartition("/")[2]], **beside}


def row(name: str, node: Node, required: bool, defs: Node) -> FieldRow:
    """Return the row of a field."""
    found = resolved(node, defs)
    is_section = any(True for _ in shapes(node, defs))
    type_ = type_text(found, defs)
    return FieldRow(
        name=name,
        type=type_,
        default="required" if required else _default(found, is_section),
        bounds="; ".join(bounds(found, defs)),
        unit=unit(name, found),
        description=summary(found.get("description")),
        is_number=re.search(r"\b(integer|number)\b", type_) is not None,
    )


def _default(node: Node, is_section: bool) -> str:
    if node.get("format") == "path":
        return "computed"
    if "default" not in node:
        return "empty"
    default = node["default"]
    if is_section and default:
        return "as below"
    return "none" if default in (None, "") else code(json.dumps(default, ensure_ascii=False))


def _length(node: Node) -> list[str]:
    least: int = node.get("minLength", node.get("minProperties", 0))
    most: int | None = node.get("maxLength")
    if most is None:
        return ["not empty"] if least else []
    if least == most:
        return [f"{most} character" + ("s" if most > 1 else "")]
    return [f"{least} to {most:,} characters"]


def unit(name: str, node: Node) -> str:
    """Return what a number counts: as the field says, or as the end of its name does.

    Examples
    --------
    >>> unit("cooldown_hours", {}), unit("psi", {"unit": "PSI"}), unit("seed", {})
    ('hours', 'PSI', '')
    """
    stated = node.get("unit")
    return str(stated) if stated else next((text for end, text in UNITS if name.endswith(end)), "")


def type_text(node: Node, defs: Node) -> str:
    """Return the type of a value in words and code.

    Examples
    --------
    >>> type_text({"anyOf": [{"type": "integer"}, {"type": "null"}]}, {})
    'integer'
    >>> type_text({"enum": ["a", "b"], "type": "string"}, {})
    '`a` | `b`'
    >>> type_text({"type": "array", "items": {"type": "string"}}, {})
    'list of text'
    """
    found = resolved(node, defs)
    if "const" in found or "enum" in found:
        return " | ".join(code(str(value)) for value in found.get("enum", [found.get("const")]))
    if "anyOf" in found:
        return " | ".join(type_text(option, defs) for option in found["anyOf"] if option.get("type") != "null")
    if "prefixItems" in found:
        return "[" + ", ".join(type_text(item, defs) for item in found["prefixItems"]) + "]"
    if "items" in found:
        return f"list of {type_text(found['items'], defs)}"
    if "properties" in found or "discriminator" in found:
        return "section"
    words = {"string": "text", "object": "mapping", "boolean": "`true` | `false`"}
    formats = {"date": "date", "path": "path", "password": "secret text"}
    kind: str = found.get("type", "any value")
    return formats.get(found.get("format", ""), words.get(kind, kind))


def bounds(node: Node, defs: Node) -> list[str]:
    """Return the bounds of a value, those of a list's items after its own.

    Examples
    --------
    >>> bounds({"type": "number", "exclusiveMinimum": 0, "maximum": 1}, {})
    ['> 0', '≤ 1']
    """
    found = resolved(node, defs)
    if "prefixItems" in found or "properties" in found:
        return []
    said = [text.format(f"{found[name]:,}".removesuffix(".0")) for name, text in _BOUNDS if name in found]
    said += _length(found)
    if "pattern" in found:
        said.append(f"matches {code(found['pattern'])}")
    if "items" in found:
        said += [f"each {text}" for text in bounds(found["items"], defs)]
    for option in found.get("anyOf", ()):
        said += bounds(option, defs)
    return said
