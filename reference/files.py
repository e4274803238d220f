"""Every generated file and its content."""

from __future__ import annotations

from collections.abc import Callable

from reference import commands, environment, errors, events, http, metrics, model_file, tables

PAGES: dict[str, Callable[[], str]] = {
    "docs/reference/model-file.md": model_file.page,
    "docs/reference/environment.md": environment.page,
    "docs/reference/commands.md": commands.page,
    "docs/reference/http.md": http.page,
    "docs/reference/events.md": events.page,
    "docs/reference/metrics.md": metrics.page,
    "docs/reference/errors.md": errors.page,
}

NOTE = "<!-- Generated from the code by `make reference`: edit the code, not this page. -->\n\n"


def files() -> dict[str, str]:
    """Text of each generated file, by its path below the repository."""
    pages = {path: NOTE + page() for path, page in PAGES.items()}
    return {
        **pages,
        "config/model.schema.json": model_file.schema_text(),
        "store/migrations/sqlite.sql": tables.script(),
    }
