"""Decisions on drift that are recorded, and their pages."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import replace

from config.settings import Settings
from core.drift.monitored_window import MonitoredWindow
from core.drift.verdict import DriftVerdict
from core.errors import ConfigError
from core.text import readable
from store.database import open_database
from store.drift import DriftWindow, drift_windows, find_window
from tasks.monitor.windows import report_folder

REPORT = "drift.html"
REPORT_JSON = "drift.json"
VERDICT = "verdict.json"
PAGES = (REPORT, REPORT_JSON, VERDICT)
"""Files of a decision, in its folder and in its MLflow run."""

_ID = re.compile(r"[0-9a-f]{4,64}")


def verdict_of(entry: DriftWindow) -> DriftVerdict:
    """Return the verdict that an entry of the history holds."""
    return DriftVerdict.from_dict(json.loads(entry.document))


def recorded_verdict(window: MonitoredWindow, settings: Settings) -> DriftVerdict | None:
    """Return the recorded decision about the same rows by the same rules; None if there is none.

    Its reasons end with what is to be said about the window only since then: a batch that arrived late.
    """
    found = find_window(open_database(settings.database_url), window.id)
    if found is None:
        return None
    verdict = verdict_of(found)
    since = [note for note in window.notes if note not in verdict.reasons]
    return replace(verdict, reasons=(*verdict.reasons, *since))


def recorded_verdicts(model: str, settings: Settings, limit: int | None = None) -> list[DriftVerdict]:
    """Return the newest decisions on a model, oldest first."""
    return [verdict_of(found) for found in drift_windows(open_database(settings.database_url), model, limit)]


def chosen_verdict(model: str, decision: str | None, settings: Settings) -> DriftVerdict:
    """Return the decision whose id begins with some hex digits; without any, the newest.

    Raises
    ------
    ConfigError
        There is no such decision, or several; the message says how to list them.
    """
    entries = drift_windows(open_database(settings.database_url), model)
    if not entries:
        raise ConfigError(f"no window of {model!r} was monitored yet: perennial monitor {model}")
    if decision is None:
        return verdict_of(entries[-1])
    found = [entry for entry in entries if _ID.fullmatch(decision) and entry.id.startswith(decision)]
    if len(found) != 1:
        raise ConfigError(
            f"expected the beginning of one decision's id, at least 4 hex digits, found {readable(decision, 70)!r}, "
            f"which fits {len(found)} decisions on {model!r}; 'perennial drift {model} --json' lists them under 'id'"
        )
    return verdict_of(found[0])


def newest_report(verdicts: Sequence[DriftVerdict], settings: Settings) -> str | None:
    """Return the page of the newest decision whose report is on this machine."""
    paths = (report_folder(verdict.model, verdict.id, settings) / REPORT for verdict in reversed(verdicts))
    return next((str(path) for path in paths if path.is_file()), None)


def report_links(verdict: DriftVerdict, settings: Settings) -> dict[str, str]:
    """Return titles and paths of the decision's pages."""
    page = report_folder(verdict.model, verdict.id, settings) / REPORT
    return {"drift report": str(page)} if page.is_file() else {}
