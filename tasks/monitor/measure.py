"""Measure a window, decide, write the page and record the decision; what takes longer follows in another process."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd

from config.settings import Settings
from core.drift.clusters import TableEffect, cluster_note
from core.drift.columns import ColumnDrift, Pair, unused_drifts, with_moving_cause
from core.drift.counts import WindowCounts
from core.drift.decision import column_drifts, decide, performance_confidence
from core.drift.divergence import kolmogorov_smirnov, wasserstein
from core.drift.monitored_window import CHAMPION, MonitoredWindow
from core.drift.moving import HELD_SEED, held_rows
from core.drift.profile import BinnedProfile, ColumnProfile, LevelProfile
from core.drift.reasons import contract_notes, undeclared_notes
from core.drift.verdict import DriftEvidence, DriftVerdict, WindowFacts
from core.metrics.bootstrap import Estimate
from core.metrics.clusters import Clusters
from core.metrics.metrics import Floats
from core.operate.events import drift_detected
from core.operate.trigger import Trigger
from core.performance.history import expected_performance
from core.performance.loss import HOLDOUT, Performance, realised_performance
from core.performance.prediction_bias import PredictionBias, prediction_bias
from core.performance.sampling import MAX_RARE_ROWS, rare_classes, sample_rows
from core.text import counted as number_of
from store.database import open_database
from store.drift import DriftWindow, earlier_windows, record_window
from tasks.monitor.clusters import repeating_key, window_clusters, window_effects
from tasks.monitor.estimates import window_estimates, with_newest_labels
from tasks.monitor.follow_up import Pending, put_off, start_follow_up
from tasks.monitor.recorded import REPORT, VERDICT, verdict_of
from tasks.monitor.reference import Reference, against_version, champion_reference, exact_rows
from tasks.monitor.reports import wants_plots, window_report
from tasks.monitor.scored import Scored, class_rows, scored
from tasks.monitor.window_counts import Window, count_window
from tasks.monitor.window_files import WindowFiles, window_files
from tasks.registry.kept import kept_bundle
from tasks.reports.drift_page import write_page
from tasks.versions.working_copy import batch_facts

_log = logging.getLogger("perennial.monitor")

EVERY_ROW = 2**62


@dataclass(frozen=True, eq=False)
class Drawn:
    """Rows of the reference and of the window for the page, and the target's column."""

    reference: pd.DataFrame
    sample: pd.DataFrame
    target: str


_drawn: dict[str, Drawn] = {}
"""Rows to draw, by decision id; the steps of a flow run share a process."""


def measure(window: MonitoredWindow, settings: Settings) -> DriftEvidence:
    """Count a window's rows in the reference's bins, and predict a sample of them with the champion.

    Raises
    ------
    BundleError
        The champion's bundle cannot be read, or is older than monitoring.
    SchemaError, StorageError
        The rows do not fit the champion's feature contract, or cannot be read.
    """
    now = datetime.now(UTC)
    with kept_bundle(window.config.model, window.champion, window.manifest, settings) as folder:
        champion = champion_reference(folder, window.manifest, window.config)
        reference = champion if window.against == CHAMPION else against_version(champion, window.against, settings)
        with window_files(window, champion, settings) as files:
            reference = files.reference(reference)
            counted = _counted(window, files, reference)
        _log.info("counted %s of %s", number_of(counted.n_rows, "row"), files.name)
        rows = scored(counted, reference, now)
        held = _held_output(reference, counted.sample)
        _log.info("champion %d predicted %s of them", window.champion, f"{rows.n_rows:,}")
    clusters = window_clusters(counted.sample, window.config)
    pairs = _pairs(reference, counted, rows.sample, rows.n_young)
    effects = window_effects(pairs, counted, rows.sample, clusters, window.config)
    columns = _columns(reference, counted, pairs, held, effects)
    if window.exact:
        columns = _with_exact_distances(columns, counted.sample, exact_rows(reference, window, settings))
    labelled = clusters.take(rows.known) if rows.strata is None else window_clusters(rows.rows, window.config)
    reference = with_newest_labels(reference, window, rows.known, now)
    expected = _expected(reference, rows.rows)
    performance = _performance(reference, expected, counted.sample, rows, labelled)
    clustered = cluster_note(effects, performance[0].clusters if performance else None)
    notes = (*_notes(window, reference), *expected.notes, *clustered)
    evidence = DriftEvidence(
        id=window.id,
        model=window.config.model,
        champion=window.champion,
        against=window.against,
        window=files.facts(_facts(window, counted, rows, notes)),
        columns=columns,
        performance=tuple(performance),
        bias=_bias(reference, rows, labelled),
    )
    _drawn[window.id] = Drawn(reference.rows, counted.sample, reference.contract.target)
    return evidence


def decided(window: MonitoredWindow, evidence: DriftEvidence, settings: Settings) -> DriftVerdict:
    """Decide from the evidence and the earlier decisions."""
    before = earlier_windows(open_database(settings.database_url), evidence.model)
    return decide(evidence, before, window.config.drift, datetime.now(UTC))


def keep(window: MonitoredWindow, verdict: DriftVerdict, settings: Settings) -> DriftVerdict:
    """Write the page and record the decision, then let another process do the rest; of two the first decision is kept.

    The same transaction writes an event to the outbox if there is drift, and a trigger to the inbox if a retraining is
    recommended. The MLflow run and Evidently's plots follow, see :mod:`tasks.monitor.follow_up`.

    A run that was killed before it recorded its decision is repeated; its leftovers are replaced.

    Raises
    ------
    StorageError
        A disk or the operational database failed.
    """
    rows = _drawn[window.id]
    report = window_report(verdict, rows.reference, rows.sample, rows.target, window.config.training.seed)
    write_page(report, window.folder)
    document = json.dumps(verdict.to_dict(), indent=2, ensure_ascii=False)
    (window.folder / VERDICT).write_text(document, encoding="utf-8")
    put_off(window.folder, Pending(verdict.id, plots=wants_plots(window.config, verdict)))
    event = drift_detected(verdict, str(window.folder / REPORT)) if verdict.status == "drift" else None
    trigger = _trigger(verdict) if verdict.retrain else None
    engine = open_database(settings.database_url)
    recorded = verdict_of(record_window(engine, _entry(verdict, document), event, trigger))
    _log.info("decided: %s", verdict.status)
    del _drawn[window.id]
    start_follow_up(settings)
    return recorded


def _entry(verdict: DriftVerdict, document: str) -> DriftWindow:
    rows = verdict.window
    return DriftWindow(
        id=verdict.id,
        model=verdict.model,
        champion=verdict.champion,
        against=verdict.against,
        status=verdict.status,
        drifted=verdict.drifted,
        retrain=verdict.retrain,
        n_rows=rows.n_rows,
        first_time=rows.first_time,
        last_time=rows.last_time,
        since=rows.since,
        until=rows.until,
        batches=rows.batches,
        document=document,
        measured_at=verdict.measured_at,
    )


def _trigger(verdict: DriftVerdict) -> Trigger:
    """Return the trigger of a retraining, with the id that the automation on the event uses."""
    document = json.dumps({"decision_id": verdict.id, "reasons": list(verdict.reasons)})
    return Trigger(verdict.model, f"drift:{verdict.id}", "drift", "monitor", document, verdict.measured_at)


def _counted(window: MonitoredWindow, files: WindowFiles, reference: Reference) -> Window:
    classes = class_rows(reference.profile.target)
    return count_window(
        files.paths,
        reference.profile,
        reference.config,
        sample_rows=EVERY_ROW if window.exact else sample_rows(classes),
        rare_classes=() if window.exact else rare_classes(classes),
        rare_rows=MAX_RARE_ROWS,
        seed=window.config.training.seed,
        since=None if window.log else window.since,
        until=None if window.log else window.until,
        seen=reference.seen if window.known and window.against == CHAMPION else None,
        extra_columns=repeating_key(window.config),
        numbers=files.outputs,
    )


def _held_output(reference: Reference, sample: pd.DataFrame) -> Floats | None:
    """Predict with values of the reference in the features that move by construction; None if none moves."""
    features = reference.moving.features(reference.contract)
    if not features or reference.moving.prediction is None or not len(reference.rows):
        return None
    return reference.predictor.predict(held_rows(sample, features, reference.rows, HELD_SEED))


def _pairs(reference: Reference, counted: Window, output: Floats, n_young: int) -> list[Pair]:
    profile = reference.profile
    sides = zip(map(_comparable, profile.columns), map(_comparable, counted.columns), strict=True)
    pairs: list[Pair] = [("feature", *both) for both in sides]
    # If one class gets its labels sooner than another, incomplete labels would look like drift of the target.
    if not n_young:
        pairs.append(("target", profile.target, counted.target))
    return [*pairs, ("prediction", profile.prediction, _prediction_counts(profile.prediction, output))]


def _columns(
    reference: Reference, counted: Window, pairs: list[Pair], held: Floats | None, effects: Mapping[str, TableEffect]
) -> tuple[ColumnDrift, ...]:
    moving, config = reference.moving, reference.config
    drift, seed, usual = config.drift, config.training.seed, pairs[-1]
    judged: list[Pair] = [
        (role, *moving.comparable(before, now, counted.last_time)) if role == "feature" else (role, before, now)
        for role, before, now in pairs
    ]
    names = moving.features(reference.contract)
    if held is not None and moving.prediction is not None:
        judged[-1] = ("prediction", moving.prediction, _prediction_counts(moving.prediction, held))
    # An effect belongs to the bins that it was computed for.
    same = {before.name for (_, before, _), plain in zip(judged, pairs, strict=True) if before is plain[1]}
    known = {name: effect for name, effect in effects.items() if name in same}
    found = column_drifts(judged, reference.importance, drift, seed, known)
    if judged[-1] is not usual:
        found = with_moving_cause(found, column_drifts([usual], {}, drift, seed, effects), names)
    found = (*found, *_unused(reference, counted))
    return tuple(
        replace(one, remark=moving.sentence(one.name) or one.remark)
        if one.role in ("feature", "unused") and not one.drifted
        else one
        for one in found
    )


def _unused(reference: Reference, counted: Window) -> tuple[ColumnDrift, ...]:
    before = {column.name: column for column in reference.profile.unused}
    pairs: list[Pair] = [
        ("unused", *reference.moving.comparable(before[now.name], now, counted.last_time)) for now in counted.unused
    ]
    return unused_drifts(pairs, reference.config.drift, reference.config.training.seed)


def _comparable(column: ColumnProfile) -> ColumnProfile:
    """Reduce dates to whether there is one, because later rows have later dates."""
    if not isinstance(column, BinnedProfile) or column.kind != "date":
        return column
    return replace(column, edges=(), counts=(sum(column.counts),))


def _prediction_counts(bins: ColumnProfile, output: Floats) -> ColumnProfile:
    counts = WindowCounts([bins])
    if isinstance(bins, LevelProfile):
        counts.add_levels(bins.name, output.argmax(axis=1), bins.levels, n_missing=0)
    else:
        counts.add_numbers(bins.name, output if output.ndim == 1 else output[:, 1])
    return counts.columns()[0]


@dataclass(frozen=True)
class _Expected:
    """What the labelled performance is compared with, the confidence of its interval, and sentences about it."""

    estimate: Estimate
    confidence: float
    source: str = HOLDOUT
    notes: tuple[str, ...] = ()


def _expected(reference: Reference, labelled: pd.DataFrame) -> _Expected:
    """Return the performance to expect of labelled rows: from the periods of the history, else from the holdout."""
    holdout, time = _Expected(reference.performance, reference.confidence), reference.config.time
    if time is None or not len(labelled):
        return holdout
    moments = labelled[time].dropna()
    if reference.history is None or not len(moments):
        older = "this version has no performance by period: its performance is compared with the holdout's"
        return replace(holdout, notes=(older,) if reference.history is None else ())
    confidence = _harm_confidence(reference)
    found = expected_performance(reference.history, pd.Timestamp(moments.median()).date(), confidence)
    if found is None:
        n_periods = len(reference.history.periods)
        short = f"the history of {n_periods} tested periods is too short: performance is compared with the holdout's"
        return replace(holdout, notes=(short,))
    return _Expected(found.estimate, confidence, found.source, (found.note,) if found.note else ())


def _performance(
    reference: Reference, expected: _Expected, frame: pd.DataFrame, rows: Scored, clusters: Clusters
) -> list[Performance]:
    drift, config = reference.config.drift, reference.config
    settings = {"max_loss": drift.max_loss, "confidence": _harm_confidence(reference)}
    found = []
    if len(rows.y):
        found.append(
            realised_performance(
                rows.y,
                rows.labelled,
                config.gate.metric,
                expected.estimate,
                expected.confidence,
                source=expected.source,
                strata=rows.strata,
                rate=reference.rate,
                seed=config.training.seed,
                clusters=clusters,
                **settings,
            )
        )
    return [*found, *window_estimates(reference, frame, rows.sample, rows.known, rows.sample_y, **settings)]


def _notes(window: MonitoredWindow, reference: Reference) -> tuple[str, ...]:
    """Return notes on the choice of rows, and on columns that exist but are not compared."""
    strange = dict.fromkeys(column for path in window.paths for column in batch_facts(path).undeclared)
    contract = contract_notes(window.config.features.used, reference.contract.raw_columns)
    return (*window.notes, *undeclared_notes(list(strange)), *contract)


def _bias(reference: Reference, rows: Scored, clusters: Clusters) -> PredictionBias | None:
    if reference.level is None:
        return None
    return prediction_bias(
        rows.y,
        rows.labelled,
        reference.level,
        strata=rows.strata,
        max_ratio=reference.config.drift.class_ratio,
        tolerated=reference.config.gate.max_calibration_loss,
        confidence=_harm_confidence(reference),
        clusters=clusters,
    )


def _harm_confidence(reference: Reference) -> float:
    """Return the confidence per test: realised and estimated performance, and the level of probabilities of classes."""
    return performance_confidence(reference.config.drift, kinds=3 if reference.contract.classes else 2)


def _facts(window: MonitoredWindow, counted: Window, rows: Scored, notes: tuple[str, ...]) -> WindowFacts:
    return WindowFacts(
        batches=tuple(path.stem for path in window.paths),
        since=window.since,
        until=window.until,
        n_rows=counted.n_rows,
        n_seen=counted.n_seen,
        n_outside=counted.n_outside,
        n_without_time=counted.n_without_time,
        n_out_of_order=counted.n_out_of_order,
        n_sampled=rows.n_rows,
        n_labelled=len(rows.y),
        n_young=rows.n_young,
        first_time=counted.first_time,
        last_time=counted.last_time,
        notes=notes,
    )


def _with_exact_distances(
    columns: Sequence[ColumnDrift], current: pd.DataFrame, reference: pd.DataFrame
) -> tuple[ColumnDrift, ...]:
    return tuple(
        replace(column, **_distances(reference[column.name], current[column.name]))
        if column.role == "feature" and column.kind == "numeric"
        else column
        for column in columns
    )


def _distances(reference: pd.Series[Any], current: pd.Series[Any]) -> dict[str, Any]:
    sides = [values.to_numpy("float64", na_value=np.nan) for values in (reference, current)]
    if not all(np.isfinite(values).any() for values in sides):
        return {}
    return {"ks": kolmogorov_smirnov(*sides), "wasserstein": wasserstein(*sides)}
