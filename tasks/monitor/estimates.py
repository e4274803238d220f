"""The performance of a window estimated without labels, and the reasons to withhold the estimate."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from core.drift.monitored_window import MonitoredWindow
from core.metrics.bootstrap import Estimate
from core.metrics.metrics import Floats
from core.model_inputs import encode_target
from core.performance.estimated import estimated_performance
from core.performance.label_check import contradiction, earlier_half_contradicted
from core.performance.loss import NEEDED, Performance
from core.performance.loss_model import (
    MIN_HOLDOUT,
    LossRows,
    estimated_loss,
    loss_contradiction,
    loss_estimate,
    loss_metric,
    other_metric,
    prediction_doubts,
    shown_loss,
    unknown_loss,
)
from core.performance.support import Support, feature_matrices, support
from tasks.monitor.reference import Reference
from tasks.monitor.scored import known_labels
from tasks.monitor.window_counts import count_window
from tasks.train.holdout_rows import HoldoutRows

MAX_NEWEST = 5_000
"""Maximum rows before the window on which the estimate is checked."""

MIN_IMPORTANCE = 0.01
"""Share of the importance from which a feature's support matters."""

OF_WINDOW, OF_BEFORE = "labelled rows of the window", "labelled rows before the window"


def window_estimates(
    reference: Reference,
    frame: pd.DataFrame,
    output: Floats,
    known: npt.NDArray[np.bool_],
    y: npt.NDArray[Any],
    *,
    max_loss: float,
    confidence: float,
) -> list[Performance]:
    """Estimate the gate's metric on a window without its labels, for a regression MAE and RMSE.

    A classifier's estimate is missing if the gate has another metric than when the champion was registered.

    Parameters
    ----------
    reference
        The champion, with what its bundle holds for estimates.
    frame
        n raw rows of the window.
    output
        The champion's predictions for them: probabilities, shape (n, k), or values, shape (n,).
    known
        Which rows have a label that counts, shape (n,).
    y
        Their labels: class codes or numbers.
    max_loss, confidence
        As in :func:`core.performance.loss.realised_performance`.
    """
    if len(frame) < NEEDED["estimated"] or not np.isfinite(output).all():
        return _unsupported(reference, output, max_loss, confidence)
    if not reference.contract.classes:
        return _regression(reference, frame, output, known, y, max_loss, confidence)
    if reference.cbpe is None:
        return []
    doubts = (*_support(reference, frame).doubts, *_contradictions(reference, output[known], y))
    return [estimated_performance(output, reference.cbpe, max_loss=max_loss, confidence=confidence, doubts=doubts)]


def with_newest_labels(
    reference: Reference, window: MonitoredWindow, known: npt.NDArray[np.bool_], now: datetime
) -> Reference:
    """Add labelled rows from before the window, if the window has too few of its own to check the estimate.

    Parameters
    ----------
    reference
        The champion.
    window
        The window, with the batches before it.
    known
        Which of the window's rows have a label that counts, shape (n,).
    now
        The present time, with time zone: rows younger than ``drift.label_delay_days`` do not count.
    """
    if known.sum() >= NEEDED["estimated"] or not window.before:
        return reference
    seed = reference.config.training.seed
    frame = count_window(window.before, reference.profile, reference.config, sample_rows=MAX_NEWEST, seed=seed).sample
    frame = frame[known_labels(frame, reference, now)[0]]
    if not len(frame):
        return reference
    y = encode_target(frame[reference.config.target], reference.contract)
    return replace(reference, newest=HoldoutRows(frame, y, reference.predictor.predict(frame)))


def _unsupported(reference: Reference, output: Floats, max_loss: float, confidence: float) -> list[Performance]:
    if not len(output):
        return []
    if not reference.contract.classes:
        return [_unknown(reference, len(output), max_loss, confidence)]
    if reference.cbpe is None:
        return []
    return [estimated_performance(output, reference.cbpe, max_loss=max_loss, confidence=confidence)]


def _support(reference: Reference, frame: pd.DataFrame) -> Support:
    """Compare the window with the labelled rows of the bundle; versions registered before have training rows only."""
    total = sum(max(0.0, mean) for mean in reference.importance.values()) or 1.0
    mattering = [
        name
        for name in reference.contract.raw_columns
        if max(0.0, reference.importance.get(name, 0.0)) / total >= MIN_IMPORTANCE
    ]
    rows = reference.rows if reference.holdout is None else reference.holdout.frame
    return support(rows, frame, reference.contract, mattering, reference.config.training.seed)


def _contradictions(reference: Reference, output: Floats, y: npt.NDArray[Any]) -> tuple[str, ...]:
    cbpe, holdout = reference.cbpe, reference.holdout
    if cbpe is None:
        return ()
    of_holdout, older = reference.performance.value, reference.newest
    found = contradiction(y, output, cbpe, of_holdout, OF_WINDOW)
    if older is not None:
        found = (*found, *contradiction(older.y, older.output, cbpe, of_holdout, OF_BEFORE))
    if found or holdout is None or reference.config.time is None:
        return found
    # Rows with newer labels that agree weigh more than the halves of an older holdout.
    if len(y) + (len(older.y) if older else 0) >= NEEDED["estimated"]:
        return ()
    return earlier_half_contradicted(holdout.y, holdout.output, cbpe.metric)


def _regression(
    reference: Reference,
    frame: pd.DataFrame,
    output: Floats,
    known: npt.NDArray[np.bool_],
    y: npt.NDArray[Any],
    max_loss: float,
    confidence: float,
) -> list[Performance]:
    holdout, seed = reference.holdout, reference.config.training.seed
    if holdout is None or len(holdout.y) < MIN_HOLDOUT:
        return [_unknown(reference, len(frame), max_loss, confidence)]
    place, metric = _support(reference, frame), _loss_metric(reference)
    rows = _loss_rows(reference, holdout, frame, output, place.weights)
    found = loss_estimate(rows, metric, seed)
    residual = np.full(len(frame), np.nan)
    residual[known] = y - output[known]
    labels = loss_contradiction(residual, found, OF_WINDOW) or _older_losses(reference, holdout, found.metric)
    doubts = (*place.doubts, *prediction_doubts(output, holdout.output), *labels)
    judged = estimated_loss(found, max_loss=max_loss, confidence=confidence, doubts=doubts)
    if doubts:
        return [judged]
    other = loss_estimate(rows, other_metric(metric), seed)
    return [judged, shown_loss(other, metric, max_loss=max_loss, confidence=confidence)]


def _loss_metric(reference: Reference) -> str:
    return loss_metric(reference.config.gate.metric)


def _unknown(reference: Reference, n_rows: int, max_loss: float, confidence: float) -> Performance:
    metric, holdout = _loss_metric(reference), reference.holdout
    known = reference.performance if metric == reference.config.gate.metric else Estimate(np.nan, None, None)
    n_holdout = None if holdout is None else len(holdout.y)
    return unknown_loss(metric, known, n_rows, n_holdout, max_loss=max_loss, confidence=confidence)


def _older_losses(reference: Reference, holdout: HoldoutRows, metric: str) -> tuple[str, ...]:
    older = reference.newest
    if older is None:
        return ()
    place = _support(reference, older.frame)
    rows = _loss_rows(reference, holdout, older.frame, older.output, place.weights)
    found = loss_estimate(rows, metric, reference.config.training.seed)
    return loss_contradiction(older.y - older.output, found, OF_BEFORE)


def _loss_rows(
    reference: Reference, holdout: HoldoutRows, frame: pd.DataFrame, output: Floats, weights: Floats
) -> LossRows:
    contract = reference.contract
    names = [name for name in contract.raw_columns if name not in contract.dates]
    here, there = feature_matrices(holdout.frame, frame, contract, names)
    return LossRows(
        reference=np.column_stack([here, holdout.output]),
        window=np.column_stack([there, output]),
        residual=holdout.y - holdout.output,
        weights=weights,
    )
