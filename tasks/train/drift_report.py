"""The drift report of a training: its holdout against its training rows."""

from __future__ import annotations

from pathlib import Path

from core.drift.columns import Pair
from core.drift.counts import frame_counts
from core.drift.decision import column_drifts
from core.drift.profile import feature_profiles
from tasks.reports.drift import DriftReport, report_column
from tasks.train.bench import Bench


def training_report(bench: Bench, folder: Path) -> DriftReport:
    """Start the page that compares the holdout with the training rows; no decision uses it."""
    config = bench.run.config
    reference = feature_profiles(bench.train_frame, bench.contract)
    current = frame_counts(reference, bench.holdout_frame)
    pairs: list[Pair] = [("feature", *sides) for sides in zip(reference, current, strict=True)]
    columns = column_drifts(pairs, {}, config.drift, config.training.seed)
    return DriftReport(
        bench.train_frame,
        bench.holdout_frame,
        [report_column(column, column.name, note="") for column in columns],
        folder,
        config.training.seed,
        notes=[
            f"Reference: {len(bench.train_frame):,} training rows. Current: {len(bench.holdout_frame):,} holdout rows "
            f"({bench.split.rule}). No decision uses this page."
        ],
        title=f"{config.model}: holdout rows against training rows",
    )
