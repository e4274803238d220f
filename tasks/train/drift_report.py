"""The drift report of a training: its holdout against its training rows. No decision uses it."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pandas as pd

from config.load import load_model_config
from config.schema import ModelConfig
from config.settings import Settings
from core.drift.columns import Pair
from core.drift.counts import frame_counts
from core.drift.decision import column_drifts
from core.drift.profile import ColumnProfile, Profile, feature_profiles
from core.errors import BundleError, ModelNotFoundError
from core.train.trust import trusted_types
from serving.bundle.predictor import load_predictor
from serving.bundle.reader import read_document
from store.database import open_database
from store.registry.registrations import find_version
from tasks.registry.kept import kept_bundle
from tasks.reports.drift import DriftReport, ReportFiles, report_column
from tasks.reports.drift_page import draw_plots
from tasks.train.bench import Bench
from tasks.train.holdout_rows import read_holdout_rows
from tasks.train.reference_rows import REMEDY, read_reference_rows


def training_report(bench: Bench) -> DriftReport:
    """Return what the page shows that compares the holdout with the training rows."""
    profiles = feature_profiles(bench.train_frame, bench.contract)
    return _report(bench.run.config, profiles, bench.train_frame, bench.holdout_frame, f" ({bench.split.rule})")


def draw_training_report(model: str, version: int, settings: Settings) -> ReportFiles:
    """Draw the page of a version's training again, with Evidently's plots, from the rows that its bundle holds.

    Raises
    ------
    ModelNotFoundError
        There is no such version.
    BundleError
        Its files were removed or changed, or are older than these rows.
    StorageError
        The registry is needed and unavailable, or a disk is full.
    """
    record = find_version(open_database(settings.database_url), model, version)
    if record is None:
        raise ModelNotFoundError(f"{model!r} has no version {version}; 'perennial models' lists what there is")
    config = load_model_config(settings.root, model)
    with kept_bundle(model, version, record.manifest, settings) as folder:
        contract = load_predictor(folder, record.manifest, trusted_types(config.training.trusted_types)).contract
        profile = Profile.from_dict(json.loads(read_document(folder, "profile.json")))
        reference, holdout = read_reference_rows(folder, contract), read_holdout_rows(folder, contract)
    if holdout is None:
        raise BundleError(f"version {version} of {model!r} was registered before bundles held holdout rows; {REMEDY}")
    report = _report(config, profile.columns, reference, holdout.frame, ", as far as the version's bundle holds them")
    return draw_plots(report, settings.var / "reports" / model / record.run_key[:12])


def _report(
    config: ModelConfig, profiles: Sequence[ColumnProfile], train: pd.DataFrame, holdout: pd.DataFrame, rule: str
) -> DriftReport:
    current = frame_counts(profiles, holdout)
    pairs: list[Pair] = [("feature", *sides) for sides in zip(profiles, current, strict=True)]
    columns = column_drifts(pairs, {}, config.drift, config.training.seed)
    return DriftReport(
        train,
        holdout,
        [report_column(column, column.name, note="") for column in columns],
        config.training.seed,
        notes=[
            f"Reference: {len(train):,} training rows. Current: {len(holdout):,} holdout rows{rule}. "
            "No decision uses this page."
        ],
        title=f"{config.model}: holdout rows against training rows",
    )
