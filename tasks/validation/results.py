"""Results of validations, kept beside their pages for the model cards of later trainings."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from config.settings import Settings
from core.references import Snapshot, ValidationResult
from tasks.validation.validate import PAGE, report_folder

RESULT = "result.json"


def keep_result(result: ValidationResult) -> None:
    """Write a result beside its page; a repeat replaces it."""
    content = {
        "accepted": result.accepted,
        "reasons": result.reasons,
        "n_rows": result.n_rows,
        "n_quarantined": result.n_quarantined,
        "outcomes": [asdict(outcome) for outcome in result.outcomes],
    }
    path = result.docs.with_name(RESULT)
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    temporary.replace(path)


def batch_results(snapshot: Snapshot, settings: Settings) -> list[dict[str, Any]]:
    """Return the result of every batch of a snapshot; the result of a batch ingested elsewhere states that."""
    results = []
    for batch in _batches(snapshot):
        path = _folder(batch, snapshot, settings) / RESULT
        elsewhere = {"accepted": True, "reasons": ["validated when it was ingested on another machine"]}
        results.append({"batch": batch, **(json.loads(path.read_text("utf-8")) if path.is_file() else elsewhere)})
    return results


def newest_page(snapshot: Snapshot, settings: Settings) -> Path | None:
    """Return the page of the newest batch that was validated on this machine."""
    pages = [_folder(batch, snapshot, settings) / PAGE for batch in _batches(snapshot)]
    return next((page for page in reversed(pages) if page.is_file()), None)


def _batches(snapshot: Snapshot) -> list[str]:
    return sorted(path.stem for path in snapshot.path.rglob("*.parquet"))


def _folder(batch: str, snapshot: Snapshot, settings: Settings) -> Path:
    # A batch's name ends with the start of its rows' fingerprint, as its validation's folder does.
    return report_folder(snapshot.model, batch.rpartition("-")[2], settings)
