"""The two drift reports: a training's holdout, and a window, each beside the training rows."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pandas as pd

from core.drift import DriftEvidence, column_drifts
from core.drift_columns import ColumnDrift, Pair
from core.frame_counts import frame_counts
from core.infer import percent
from core.monitored_window import MonitoredWindow
from core.profile import feature_profiles
from tasks.bench import Bench
from tasks.drift_report import DriftReport, ReportColumn
from tasks.reference import Reference

KINDS: dict[str, Literal["numeric", "levels", "dates"]] = {"numeric": "numeric", "levels": "levels", "date": "dates"}


def training_report(bench: Bench, folder: Path) -> DriftReport:
    """Start the page of the holdout beside the training rows; nothing is decided from it."""
    config = bench.run.config
    reference = feature_profiles(bench.train_frame, bench.contract)
    current = frame_counts(reference, bench.holdout_frame)
    pairs: list[Pair] = [("feature", *sides) for sides in zip(reference, current, strict=True)]
    columns = column_drifts(pairs, {}, config.drift, config.training.seed)
    return DriftReport(
        bench.train_frame,
        bench.holdout_frame,
        [_report_column(column, column.name, note="") for column in columns],
        folder,
        config.training.seed,
        notes=[
            f"{len(bench.train_frame):,} training rows beside the {len(bench.holdout_frame):,} rows of the holdout "
            f"({bench.split.rule}). Nothing is decided from this page."
        ],
        title=f"{config.model}: the holdout beside the training rows",
    )


def window_report(
    window: MonitoredWindow, reference: Reference, sample: pd.DataFrame, evidence: DriftEvidence
) -> DriftReport:
    """Start the page of a window beside the rows it is held against."""
    target = reference.contract.target
    columns = [
        _report_column(column, target if column.role == "target" else column.name, _weight(column))
        for column in evidence.columns
        if column.role != "prediction"
    ]
    return DriftReport(
        reference.rows,
        sample,
        columns,
        window.folder,
        window.config.training.seed,
        notes=_window_notes(evidence),
        title=f"{evidence.model}: the rows of now beside those champion {evidence.champion} was trained on",
    )


def _weight(column: ColumnDrift) -> str:
    return f"{percent(column.importance)} of the importance" if column.role == "feature" else f"the {column.role}"


def _report_column(column: ColumnDrift, name: str, note: str) -> ReportColumn:
    return ReportColumn(
        name=name,
        kind=KINDS[column.kind],
        score=column.psi,
        threshold=max(column.bound, column.critical),
        drifted=column.drifted,
        note="; ".join(filter(None, (column.remark, note))),
        missing_reference=column.missing_reference,
        missing=column.missing,
    )


def _window_notes(evidence: DriftEvidence) -> list[str]:
    rows = evidence.window
    notes = [f"Scores are those of all {rows.n_rows:,} rows, counted in bins that were fixed at training."]
    if rows.first_time and rows.last_time:
        notes.append(f"Rows from {rows.first_time:%Y-%m-%d %H:%M} to {rows.last_time:%Y-%m-%d %H:%M}.")
    return [*notes, *(performance.reason for performance in evidence.performance), *rows.notes]
