"""An entity's rows among those that validations set aside, on pages that name it, and in work files."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from core.erasure.mentions import mentions
from core.erasure.outcome import Found, Remaining, Removed
from core.storage_failure import write_errors
from core.text import readable
from tasks.erasure.rows import replacement, write_without
from tasks.erasure.work import Erasure
from tasks.prune.found import REMOVED, remove_files, remove_folder
from tasks.validation.results import RESULT
from tasks.validation.validate import PAGE, QUARANTINE

EXAMPLE_LETTERS = 40
"""Letters of a value that is shown as an example."""

REPORTS = "figures of many rows, and examples of values without keys; retention removes reports by their age"


def erase_reports(erasure: Erasure) -> Found:
    """Remove the entity's rows from quarantine files, results that show its key, and files of killed runs.

    A page without its result reads as that of a batch that was validated on another machine. The caller holds the model
    and keeps its readers out, so no run uses its work files.

    Raises
    ------
    StorageError
        The disk failed.
    """
    parent = erasure.settings.var / "reports" / erasure.model
    removed = [*_quarantined(parent, erasure), *_results(parent, erasure), *_work_files(erasure)]
    remaining = [Remaining("reports", str(parent), REPORTS)] if any(parent.glob("*/*.html")) else []
    return Found(tuple(removed), tuple(remaining))


def _quarantined(parent: Path, erasure: Erasure) -> Iterator[Removed]:
    for path in sorted(parent.glob(f"validation/*/{QUARANTINE}")):
        rows = erasure.reader.rows(path)
        if len(rows):
            if not erasure.is_dry:
                with write_errors(path), replacement(path) as temporary:
                    write_without(path, temporary, rows, {})
            yield Removed("quarantined rows", str(path), len(rows))


def _results(parent: Path, erasure: Erasure) -> Iterator[Removed]:
    shown = readable(erasure.key, EXAMPLE_LETTERS)
    for path in sorted(parent.glob(f"validation/*/{RESULT}")):
        if any(mentions(text, shown) for text in _about_key(path, erasure)):
            if not erasure.is_dry:
                # The result last: it tells a repeat after a kill that the page has to go.
                remove_files([path.with_name(PAGE), path])
            yield Removed("validation reports", str(path.parent), 1)


def _about_key(path: Path, erasure: Erasure) -> Iterator[str]:
    """Yield the sentences of a result that may show keys as examples."""
    try:
        content: dict[str, Any] = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return
    outcomes = [one for one in content.get("outcomes", ()) if one.get("column") == erasure.config.key]
    yield from (str(one.get(name)) for one in outcomes for name in ("description", "observed"))
    if outcomes:
        yield from map(str, content.get("reasons", ()))


def _work_files(erasure: Erasure) -> Iterator[Removed]:
    var, model = erasure.settings.var, erasure.model
    for folder in (var / "work" / model, var / "tmp" / f"{model}-batch"):
        if folder.is_dir() or folder.with_name(f"{REMOVED}{folder.name}").is_dir():
            if not erasure.is_dry:
                with write_errors(folder):
                    remove_folder(folder)
            yield Removed("work files", str(folder), 1)
