"""The reference of a window: the champion's profile from its bundle, or the rows of a data version."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd

from config.schema import Features, ModelConfig
from config.settings import Settings
from core.data.rows import Rows
from core.data.seen_rows import SeenRows, identities
from core.drift.monitored_window import CHAMPION, MonitoredWindow
from core.drift.moving import Moving, moving_columns, with_held_prediction
from core.drift.profile import Profile, reference_profile, unused_columns
from core.errors import BundleError
from core.feature_contract import KINDS, FeatureContract
from core.metrics.bootstrap import Estimate
from core.model_inputs import encode_target
from core.performance.cbpe import CbpeReference
from core.performance.history import PerformanceHistory
from core.performance.prediction_bias import EventLevel, reference_level
from core.train.trust import trusted_types
from serving.bundle.predictor import Predictor, load_predictor
from serving.bundle.reader import read_document
from tasks.runs.lock import hold_model
from tasks.train.holdout_rows import HoldoutRows, read_holdout_rows
from tasks.train.reference_rows import CBPE, HISTORY, MOVING, REMEDY, read_reference_rows, reference_rows
from tasks.train.training_rows import TRAINING_ROWS, read_training_rows
from tasks.versions.rows import load_rows
from tasks.versions.snapshots import lay_out_snapshot

Content = TypeVar("Content")

WAIT_SECONDS = 3600.0
"""Maximum time to wait for a run that holds the model, before a data version is laid out."""


@dataclass(frozen=True, eq=False)
class Reference:
    """A champion, and the distribution with which later rows are compared.

    Parameters
    ----------
    predictor
        Predicts raw rows as serving does.
    config
        The model file, with the champion's features in place of the present ones.
    profile
        Bins and counts of features, target and predictions.
    moving
        Columns that move by construction; none if the bundle is older than this.
    rows
        A sample of the profile's rows, for plots: the contract's raw columns and the target.
    seen
        The rows the champion has trained on.
    importance
        Permutation importance of each feature, in units of the gate's metric.
    performance, confidence
        The gate's metric on the champion's holdout, and the confidence of its interval.
    level
        Observed and predicted frequency of events on the holdout; None for regression.
    history
        The gate's metric by period; None if the model has no time column, or if the bundle is older than this or has
        another metric.
    cbpe
        Statistics for estimating its performance without labels; None for regression.
    holdout
        Rows of its holdout with labels and predictions; None if it was registered by an earlier version of Perennial.
    newest
        Labelled rows newer than those it was trained on and older than the window; None if they are not needed.
    """

    predictor: Predictor
    config: ModelConfig
    profile: Profile
    rows: pd.DataFrame
    seen: SeenRows
    importance: Mapping[str, float]
    performance: Estimate
    confidence: float
    level: EventLevel | None
    cbpe: CbpeReference | None
    holdout: HoldoutRows | None = None
    newest: HoldoutRows | None = None
    moving: Moving = field(default_factory=Moving)
    history: PerformanceHistory | None = None

    @property
    def rate(self) -> float | None:
        """Rate of the positive class on the holdout; None if there are not two classes."""
        return self.level.observed if self.level is not None and len(self.contract.classes) == 2 else None

    @property
    def contract(self) -> FeatureContract:
        """The champion's feature contract."""
        return self.predictor.contract


def champion_reference(folder: Path, manifest: str, config: ModelConfig) -> Reference:
    """Read the champion and its training rows' distribution from its bundle.

    Parameters
    ----------
    folder, manifest
        The bundle, and the SHA-256 of its manifest as the operational database records it.
    config
        The model file.

    Raises
    ------
    BundleError
        A file is invalid, or the bundle is older than monitoring.
    """
    trusted = trusted_types(config.training.trusted_types)
    predictor = load_predictor(folder, manifest, trusted)
    evaluation: dict[str, Any] = json.loads(read_document(folder, "evaluation.json"))
    return Reference(
        predictor=predictor,
        config=with_features(config, predictor.contract),
        profile=_document(folder, "profile.json", Profile.from_dict),
        moving=_moving(folder),
        rows=read_reference_rows(folder, predictor.contract),
        seen=read_training_rows(folder / TRAINING_ROWS),
        importance={item["feature"]: item["mean"] or 0.0 for item in evaluation["importance"]},
        performance=_performance(evaluation, config.gate.metric),
        confidence=evaluation["confidence"],
        level=reference_level(evaluation),
        history=_history(folder, config.gate.metric),
        cbpe=_cbpe(folder, config) if predictor.contract.classes else None,
        holdout=read_holdout_rows(folder, predictor.contract),
    )


def against_version(champion: Reference, version: str, settings: Settings) -> Reference:
    """Replace the champion's training rows by the labelled rows of a data version.

    Raises
    ------
    DataVersionError, SchemaError, StorageError
        There is no such version, or its rows do not fit the champion's feature contract.
    """
    config, contract = champion.config, champion.contract
    rows = _version_rows(version, config, settings)
    y = encode_target(rows.frame[config.target], contract)
    output, unused = champion.predictor.predict(rows.frame), unused_columns(config, contract)
    drawn = reference_rows(rows.frame, contract, config.training.seed)
    moving = moving_columns(rows.frame, contract, config.time, unused)
    moving = with_held_prediction(moving, rows.frame, drawn, contract, champion.predictor.predict)
    profile = reference_profile(rows.frame, y, output, contract, unused)
    return replace(champion, profile=profile, moving=moving, rows=drawn)


def exact_rows(reference: Reference, window: MonitoredWindow, settings: Settings) -> pd.DataFrame:
    """Return all rows of the reference's profile: a data version's labelled rows, or the champion's training rows."""
    config, manifest = reference.config, reference.predictor.manifest
    version = manifest.data_version if window.against == CHAMPION else window.against
    rows = _version_rows(version, config, settings)
    if window.against != CHAMPION:
        return rows.frame
    return rows.frame.loc[reference.seen.holds(identities(rows, config), None)]


def _version_rows(version: str, config: ModelConfig, settings: Settings) -> Rows:
    """Lay a data version out and read it; the model is held, so that no other run lays out or removes snapshots."""
    with hold_model(config.model, settings, WAIT_SECONDS):
        return load_rows(lay_out_snapshot(config.model, version, settings), config)


def with_features(config: ModelConfig, contract: FeatureContract) -> ModelConfig:
    """Return the model file with a version's features; other present columns are declared, but not used."""
    used = {kind: getattr(contract, kind) for kind in KINDS}
    # They stay declared, because without a key a row is identified by all declared columns.
    declared = config.features.used + config.features.ignored
    ignored = tuple(column for column in declared if column not in contract.raw_columns)
    return config.model_copy(update={"features": Features(**used, ignored=ignored)})


def _document(folder: Path, name: str, parsed: Callable[[dict[str, Any]], Content]) -> Content:
    try:
        return parsed(json.loads(read_document(folder, name)))
    except (ValueError, KeyError, TypeError) as error:
        raise BundleError(f"this version of Perennial cannot read {name} of the bundle: {error}; {REMEDY}") from error


def _moving(folder: Path) -> Moving:
    return _document(folder, MOVING, Moving.from_dict) if (folder / MOVING).is_file() else Moving()


def _history(folder: Path, metric: str) -> PerformanceHistory | None:
    if not (folder / HISTORY).is_file():
        return None
    found = _document(folder, HISTORY, PerformanceHistory.from_dict)
    return found if found.metric == metric else None


def _cbpe(folder: Path, config: ModelConfig) -> CbpeReference | None:
    found = _document(folder, CBPE, CbpeReference.from_dict)
    # It applies to one metric only, and gate.metric may have been changed since.
    return found if found.metric == config.gate.metric else None


def _performance(evaluation: Mapping[str, Any], metric: str) -> Estimate:
    measured = evaluation["metrics"].get(metric)
    if measured is None:
        raise BundleError(f"evaluation.json has no value of {metric}, the present gate.metric; {REMEDY}")
    value = float("nan") if measured["value"] is None else measured["value"]
    return Estimate(value, measured["low"], measured["high"])
