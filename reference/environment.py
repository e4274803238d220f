"""The page of environment variables."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic_settings import BaseSettings

from config.variables import SET_BY_PERENNIAL, settings_classes, variable_names
from reference.fields import FieldRow, row
from reference.markdown import code, document, summary, table

HEADER = ("variable", "type", "default", "bounds", "unit", "description")

LEAD = """
Addresses, limits and secrets are read from the environment, by `config/settings.py` alone. A value out of its bounds
ends the command with exit code 2. A variable with Perennial's prefix that is not listed here, such as a misspelt one,
has no effect; every command reports it on stderr, with the closest name. A model file names one more variable where its
source is a database: `source.uri_env`.
"""

OF_LIBRARIES = {
    "PREFECT_API_KEY": "credential of Prefect Cloud",
    "PREFECT_API_AUTH_STRING": "credential of a self-hosted Prefect server",
    "SSL_CERT_FILE, REQUESTS_CA_BUNDLE": "certificate authorities that are trusted beside the public ones",
    "HTTPS_PROXY": "proxy of outbound requests",
}
"""Variables that the libraries below read by themselves."""


HEADINGS = {
    "Settings": "All commands",
    "PlatformSettings": "Platform",
    "ServingSettings": "Prediction service",
    "HookSettings": "Webhooks",
    "AlertSettings": "Alerts",
    "RetentionSettings": "Retention",
    "MeshSettings": "A mesh instead of the service's routing",
}
"""Heading of each class of settings."""


def variables(of: type[BaseSettings]) -> Iterator[FieldRow]:
    """Yield the variables of a class, each with the names it is read by."""
    content = of.model_json_schema(by_alias=False)
    defs = content.get("$defs", {})
    for name, node in content.get("properties", {}).items():
        found = row(name, node, required=False, defs=defs)
        default = "computed" if of.model_fields[name].default_factory else found.default
        yield FieldRow(**{**vars(found), "name": ", ".join(variable_names(of, name)), "default": default})


def page() -> str:
    """Return the page."""
    parts = [(_heading(of), f"{summary(of.__doc__)}\n\n{_table(of)}") for of in settings_classes()]
    parts.append(("Set by Perennial", _names_table(SET_BY_PERENNIAL)))
    parts.append(("Read by the libraries", _names_table(OF_LIBRARIES)))
    return document("Environment variables", LEAD, parts)


def _heading(of: type[BaseSettings]) -> str:
    return HEADINGS.get(of.__name__, of.__name__)


def _table(of: type[BaseSettings]) -> str:
    rows = [
        (_code_list(one.name), one.type, one.default, one.bounds, one.unit, one.description) for one in variables(of)
    ]
    return table(HEADER, rows)


def _names_table(names: dict[str, str]) -> str:
    return table(("variable", "what it is"), [(_code_list(name), text) for name, text in names.items()])


def _code_list(names: str) -> str:
    return ", ".join(code(name) for name in names.split(", "))
