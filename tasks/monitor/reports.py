"""The drift report of a window against its reference."""

from __future__ import annotations

import pandas as pd

from core.drift.columns import ColumnDrift
from core.drift.monitored_window import CHAMPION, MonitoredWindow
from core.drift.verdict import DriftEvidence
from core.text import percent
from tasks.monitor.reference import Reference
from tasks.reports.drift import DriftReport, report_column


def window_report(
    window: MonitoredWindow, reference: Reference, sample: pd.DataFrame, evidence: DriftEvidence
) -> DriftReport:
    """Start the page that compares a window with its reference rows."""
    # Columns that are not features are in the decision's table: the bundle keeps no rows of them to draw.
    columns = [
        report_column(column, _name(column, reference.contract.target), _weight(column))
        for column in evidence.columns
        if column.role != "unused"
    ]
    return DriftReport(
        reference.rows,
        sample,
        columns,
        window.folder,
        window.config.training.seed,
        notes=_window_notes(evidence),
        title=f"{evidence.model}: current rows against {_reference_text(evidence)}",
    )


def _reference_text(evidence: DriftEvidence) -> str:
    if evidence.against == CHAMPION:
        return f"the training rows of version {evidence.champion}"
    return f"data version {evidence.against.removesuffix('.dir')[:12]}"


def _name(column: ColumnDrift, target: str) -> str:
    # A feature may be named "prediction", so the predictions are shown in brackets, as by the command.
    return {"target": target, "prediction": "(prediction)"}.get(column.role, column.name)


def _weight(column: ColumnDrift) -> str:
    others = {"target": "the target", "prediction": "the predictions"}
    return others.get(column.role, f"{percent(column.importance)} of the importance")


def _window_notes(evidence: DriftEvidence) -> list[str]:
    rows = evidence.window
    notes = [f"Scores are computed from all {rows.n_rows:,} current rows, in bins fixed at training."]
    if rows.first_time and rows.last_time:
        first, last = (f"{moment.date()} {moment:%H:%M}" for moment in (rows.first_time, rows.last_time))
        notes.append(f"Current rows are from {first} to {last}.")
    return [*notes, *(performance.reason for performance in evidence.performance), *rows.notes]
