"""The drift report of a window against its reference: from the rows at hand, or later from what is kept of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from config.load import load_model_config
from config.schema import ModelConfig
from config.settings import Settings
from core.drift.columns import ColumnDrift
from core.drift.monitored_window import CHAMPION
from core.drift.verdict import DriftEvidence, DriftVerdict
from core.errors import BundleError, DataVersionError
from core.performance.sampling import sample_rows
from core.retention.documents import NOTE
from core.text import listed, percent
from store.database import open_database
from store.registry.registrations import find_version
from tasks.monitor.reference import Reference, against_version, champion_reference
from tasks.monitor.scored import class_rows
from tasks.monitor.window_counts import count_window
from tasks.monitor.window_files import log_files, logged_window
from tasks.monitor.windows import report_folder
from tasks.registry.kept import kept_bundle
from tasks.reports.drift import DriftReport, ReportFiles, report_column
from tasks.reports.drift_page import draw_plots
from tasks.versions.working_copy import data_folder


def wants_plots(config: ModelConfig, verdict: DriftVerdict) -> bool:
    """Return whether Evidently's plots are drawn for a decision without a request for them."""
    if config.monitor.report == "drift":
        return verdict.drifted or any(column.drifted for column in verdict.columns)
    return config.monitor.report == "always"


def window_report(
    verdict: DriftVerdict, reference: pd.DataFrame, sample: pd.DataFrame, target: str, seed: int
) -> DriftReport:
    """Return what the page of a decision shows.

    Parameters
    ----------
    verdict
        The decision.
    reference, sample
        Rows of the reference and of the window; either may be empty.
    target
        Name of the target's column.
    seed
        Seed of the rows to draw.
    """
    # Columns that are not features are in the decision's table: the bundle keeps no rows of them to draw.
    columns = [
        report_column(column, _name(column, target), _weight(column))
        for column in verdict.columns
        if column.role != "unused"
    ]
    return DriftReport(
        reference,
        sample,
        columns,
        seed,
        title=f"{verdict.model}: current rows against {_reference_text(verdict)}",
        notes=_window_notes(verdict),
        status=verdict.status,
        reasons=verdict.reasons,
        command=f"perennial report {verdict.model} {verdict.id[:12]}",
    )


def draw_report(verdict: DriftVerdict, settings: Settings) -> ReportFiles:
    """Draw the page of a recorded decision again, with Evidently's plots; a repeat replaces it.

    The rows are read again: the champion's sample from its bundle, the window's from its batches or the log.

    Raises
    ------
    DataVersionError
        Rows or numbers of the window were removed since.
    BundleError
        The champion's files were removed or changed.
    SchemaError, StorageError
        The rows do not fit the champion's feature contract, or something cannot be read.
    """
    if NOTE in verdict.reasons:
        raise DataVersionError(
            f"the page of decision {verdict.id[:12]} cannot be drawn: {NOTE}; its outcome: perennial drift "
            f"{verdict.model}"
        )
    config = load_model_config(settings.root, verdict.model)
    log = logged_window(verdict.window)
    paths = _batches(verdict, settings) if log is None else []
    record = find_version(open_database(settings.database_url), verdict.model, verdict.champion)
    if record is None:
        raise BundleError(f"version {verdict.champion} of {verdict.model!r} is not recorded, so nothing can be drawn")
    with kept_bundle(verdict.model, verdict.champion, record.manifest, settings) as folder:
        champion = champion_reference(folder, record.manifest, config)
    reference = champion if verdict.against == CHAMPION else against_version(champion, verdict.against, settings)
    if log is None:
        sample = _sample(verdict, reference, paths)
    else:
        with log_files(champion, verdict.champion, log, settings) as files:
            sample = _sample(verdict, files.reference(reference), files.paths)
    report = window_report(verdict, reference.rows, sample, reference.contract.target, config.training.seed)
    return draw_plots(replace(report, command=""), report_folder(verdict.model, verdict.id, settings))


def _batches(verdict: DriftVerdict, settings: Settings) -> list[Path]:
    folder = data_folder(verdict.model, settings)
    paths = [folder / f"{name}.parquet" for name in verdict.window.batches]
    missing = [path.stem for path in paths if not path.is_file()]
    if missing:
        raise DataVersionError(
            f"the page of decision {verdict.id[:12]} cannot be drawn: its rows are not in {folder} any more "
            f"(missing: {listed(missing)}); bring them back with: perennial data restore {verdict.model} latest"
        )
    return paths


def _sample(verdict: DriftVerdict, reference: Reference, paths: Sequence[Path]) -> pd.DataFrame:
    window = verdict.window
    is_log = window.source == "predictions"
    counted = count_window(
        paths,
        reference.profile,
        reference.config,
        sample_rows=sample_rows(class_rows(reference.profile.target)),
        seed=reference.config.training.seed,
        since=None if is_log else window.since,
        until=None if is_log else window.until,
        seen=reference.seen if window.n_seen and verdict.against == CHAMPION else None,
    )
    if counted.n_rows != window.n_rows:
        raise DataVersionError(
            f"the page of decision {verdict.id[:12]} cannot be drawn: {_source(is_log)} {counted.n_rows:,} rows of the "
            f"window now, and held {window.n_rows:,} then"
        )
    return counted.sample


def _source(is_log: bool) -> str:
    return "the prediction log holds" if is_log else "its batches hold"


def _reference_text(evidence: DriftEvidence | DriftVerdict) -> str:
    if evidence.against == CHAMPION:
        return f"the training rows of version {evidence.champion}"
    return f"data version {evidence.against.removesuffix('.dir')[:12]}"


def _name(column: ColumnDrift, target: str) -> str:
    # A feature may be named "prediction", so the predictions are shown in brackets, as by the command.
    return {"target": target, "prediction": "(prediction)"}.get(column.role, column.name)


def _weight(column: ColumnDrift) -> str:
    others = {"target": "the target", "prediction": "the predictions"}
    return others.get(column.role, f"{percent(column.importance)} of the importance")


def _window_notes(evidence: DriftEvidence | DriftVerdict) -> list[str]:
    rows = evidence.window
    notes = [f"Scores are computed from all {rows.n_rows:,} current rows, in bins fixed at training."]
    if rows.first_time and rows.last_time:
        first, last = (f"{moment.date()} {moment:%H:%M}" for moment in (rows.first_time, rows.last_time))
        notes.append(f"Current rows are from {first} to {last}.")
    return [*notes, *(performance.reason for performance in evidence.performance), *rows.notes]
