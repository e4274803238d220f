"""Changes of a suite as lines and as a document."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from core.init.suite_update import SuiteUpdate
from core.text import counted, readable

N_SHOWN = 30


def suite_lines(update: SuiteUpdate, n_rows: int) -> list[str]:
    """Return one line per expectation that is new, gone or kept; the three groups are cut at :data:`N_SHOWN`.

    Parameters
    ----------
    update
        The merged suite, and what has changed.
    n_rows
        Rows that it was inferred from.
    """
    groups = {"new": update.added, "removed": update.removed, "kept, written or changed by a person": update.kept}
    lines = [line for name, items in groups.items() for line in _group(name, items)]
    unchanged = "" if update.added or update.removed else ": nothing has changed"
    return [
        f"  - {counted(len(update.content['expectations']), 'expectation')} from {counted(n_rows, 'row')}{unchanged}",
        *lines,
    ]


def suite_document(update: SuiteUpdate) -> dict[str, list[dict[str, Any]]]:
    """Return the expectations that are new, gone and kept, as they stand in the suite."""
    return {"added": list(update.added), "removed": list(update.removed), "kept": list(update.kept)}


def _group(name: str, items: Sequence[dict[str, Any]]) -> list[str]:
    lines = [f"  - {name}: {_shown(item)}" for item in items[:N_SHOWN]]
    return [*lines, f"  - {name}: {len(items) - N_SHOWN:,} more"] if len(items) > N_SHOWN else lines


def _shown(item: dict[str, Any]) -> str:
    kwargs, level = item.get("kwargs") or {}, (item.get("meta") or {}).get("level", "schema")
    column = f" on {readable(kwargs['column'], 60)}" if "column" in kwargs else ""
    return f"{readable(item['type'], 80)}{column} ({readable(level)})"
