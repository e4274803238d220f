"""Perennial's decisions on the windows of a stream, by the pure decision path of ``perennial monitor``.

The champion is a scikit-learn pipeline that is trained once. The windows are consecutive and of the same number of
rows; each is compared with the champion's training rows and holdout by default settings, with labels that arrive at
once and without labels.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from benchmarks.stream_worlds import Rows, Stream
from config.schema import Drift, Gate
from core.drift.columns import Pair, column_drifts
from core.drift.counts import frame_counts
from core.drift.decision import decide, performance_confidence
from core.drift.profile import LevelProfile, Profile, reference_profile
from core.drift.verdict import DriftEvidence, DriftVerdict, WindowFacts
from core.drift.windows import EarlierWindow
from core.metrics.bootstrap import Estimate, estimates
from core.metrics.calibration import event_chance
from core.metrics.importance import permutation_importance
from core.metrics.metrics import Floats
from core.metrics.strata import Strata
from core.performance.cbpe import CbpeReference, reference_cbpe
from core.performance.estimated import estimated_performance
from core.performance.label_check import contradiction
from core.performance.loss import Performance, realised_performance
from core.performance.loss_model import LossRows, estimated_loss, loss_contradiction, loss_estimate
from core.performance.prediction_bias import EventLevel, PredictionBias, event_level, prediction_bias
from core.performance.support import Support, feature_matrices, support

DRIFT = Drift()
CONFIDENCE = 0.95
"""Of the holdout's interval, as the model file's default has it."""

METRICS = {"binary": "roc_auc", "multiclass": "accuracy", "regression": "rmse"}
START = datetime(2026, 1, 1, tzinfo=UTC)
OF_WINDOW = "labelled rows of the window"


@dataclass(frozen=True, eq=False)
class Champion:
    """A model that is trained once, and what its bundle keeps of its rows."""

    stream: Stream
    model: Any
    metric: str
    output: Floats
    profile: Profile
    importance: dict[str, float]
    performance: Estimate
    level: EventLevel | None
    cbpe: CbpeReference | None

    @classmethod
    def of(cls, stream: Stream) -> Champion:
        """Train on the stream's training rows and evaluate on its holdout."""
        model, contract, holdout = _fitted(stream), stream.contract, stream.holdout
        output, metric = predicted(model, holdout.frame), METRICS[contract.task]
        found = estimates(holdout.y, output, (metric,), resamples=500, confidence=CONFIDENCE, seed=0)
        important = permutation_importance(
            lambda frame: predicted(model, frame), holdout.frame, holdout.y, contract, metric, seed=0
        )
        return cls(
            stream,
            model,
            metric,
            output,
            reference_profile(stream.train.frame, stream.train.y, output, contract),
            {one.feature: one.mean for one in important},
            found[metric],
            event_level(*event_chance(holdout.y, output), one_each(holdout)) if contract.classes else None,
            reference_cbpe(holdout.y, output, metric) if contract.classes else None,
        )


def one_each(rows: Rows) -> Strata:
    """Return that each row represents itself."""
    return Strata(np.zeros(len(rows), dtype="int64"), np.array([float(len(rows))]))


def _fitted(stream: Stream) -> Any:
    contract, train = stream.contract, stream.train
    if contract.task == "regression":
        return HistGradientBoostingRegressor(random_state=0).fit(train.frame, train.y)
    encoded = make_column_transformer(
        (StandardScaler(), list(contract.numeric)),
        (OneHotEncoder(handle_unknown="ignore"), list(contract.categorical)),
    )
    return make_pipeline(encoded, LogisticRegression(max_iter=1_000)).fit(train.frame, train.y)


def predicted(model: Any, frame: pd.DataFrame) -> Floats:
    """Return probabilities, shape (n, k), or values, shape (n,)."""
    found = model.predict_proba(frame) if hasattr(model, "predict_proba") else model.predict(frame)
    return np.asarray(found, dtype="float64")


def errors(rows: Rows, output: Floats) -> Floats:
    """Return the champion's error per row: whether the most probable class is wrong, or the absolute residual."""
    return np.abs(rows.y - output) if output.ndim == 1 else (output.argmax(axis=1) != rows.y).astype("float64")


def scores(output: Floats) -> Floats:
    """Return one number per row: the value, the positive class's probability, or that of the most probable class."""
    if output.ndim == 1:
        return output
    return output[:, 1] if output.shape[1] == 2 else output.max(axis=1)


def verdicts(champion: Champion, window_rows: int) -> Iterator[tuple[int, DriftVerdict, DriftVerdict]]:
    """Yield each window's end, in rows of the stream, and the verdicts with and without its labels.

    Parameters
    ----------
    champion
        Trained on the stream's first rows.
    window_rows
        Rows of a window; rows at the end that do not fill one are left out.
    """
    history: dict[bool, list[EarlierWindow]] = {True: [], False: []}
    rows = champion.stream.rows
    for end in range(window_rows, len(rows) + 1, window_rows):
        window = rows.part(end - window_rows, end)
        found = []
        for labelled, evidence in zip((True, False), _evidence(champion, window, end), strict=True):
            # A signal of an earlier window must not stop the recommendation of a later one: nothing is retrained.
            verdict = decide(evidence, history[labelled], DRIFT, START + timedelta(days=end))
            history[labelled].append(_earlier(verdict))
            found.append(verdict)
        yield end, found[0], found[1]


def _earlier(verdict: DriftVerdict) -> EarlierWindow:
    return EarlierWindow(
        id=verdict.id,
        champion=verdict.champion,
        against=verdict.against,
        batches=verdict.window.batches,
        first_time=None,
        last_time=None,
        drifted=verdict.drifted,
        status=verdict.status,
        retrain=verdict.retrain,
        measured_at=verdict.measured_at,
    )


def _evidence(champion: Champion, window: Rows, end: int) -> tuple[DriftEvidence, DriftEvidence]:
    output, drift = predicted(champion.model, window.frame), DRIFT
    pairs = _pairs(champion, window, output)
    unlabelled = [pair for pair in pairs if pair[0] != "target"]
    place = _support(champion, window)
    performance = realised(champion, window, output), estimate(champion, window, output, place, labelled=True)
    facts = WindowFacts(batches=(str(end),), n_rows=len(window), n_sampled=len(window))
    common = {"id": str(end), "model": champion.stream.name, "champion": 1, "against": "champion", "window": facts}
    return (
        DriftEvidence(
            **common,  # type: ignore[arg-type] # the types of the fields differ
            columns=column_drifts(pairs, champion.importance, drift, seed=0),
            performance=performance,
            bias=bias(champion, window, output),
        ),
        DriftEvidence(
            **common,  # type: ignore[arg-type] # the types of the fields differ
            columns=column_drifts(unlabelled, champion.importance, drift, seed=0),
            performance=(estimate(champion, window, output, place, labelled=False),),
        ),
    )


def _pairs(champion: Champion, window: Rows, output: Floats) -> list[Pair]:
    profile, contract = champion.profile, champion.stream.contract
    pairs: list[Pair] = [
        ("feature", *both) for both in zip(profile.columns, frame_counts(profile.columns, window.frame), strict=True)
    ]
    labels = [contract.classes[code] for code in window.y] if contract.classes else window.y
    shown = output.argmax(axis=1) if isinstance(profile.prediction, LevelProfile) else scores(output)
    said = [contract.classes[code] for code in shown] if isinstance(profile.prediction, LevelProfile) else shown
    frame = pd.DataFrame({"target": labels, "prediction": said})
    target, prediction = frame_counts((profile.target, profile.prediction), frame)
    return [*pairs, ("target", profile.target, target), ("prediction", profile.prediction, prediction)]


def harm_confidence(champion: Champion) -> float:
    """Return the confidence per test of performance."""
    return performance_confidence(DRIFT, kinds=3 if champion.stream.contract.classes else 2)


def realised(champion: Champion, window: Rows, output: Floats) -> Performance:
    """Compare the labels with what the champion predicted."""
    return realised_performance(
        window.y,
        output,
        champion.metric,
        champion.performance,
        CONFIDENCE,
        max_loss=DRIFT.max_loss,
        confidence=harm_confidence(champion),
        seed=0,
    )


def bias(champion: Champion, window: Rows, output: Floats) -> PredictionBias | None:
    """Compare the labels with how high the champion's probabilities were; None for a regression."""
    if champion.level is None:
        return None
    return prediction_bias(
        window.y,
        output,
        champion.level,
        tolerated=Gate(metric=champion.metric, floor=0.0).max_calibration_loss,
        max_ratio=DRIFT.class_ratio,
        confidence=harm_confidence(champion),
    )


def estimate(champion: Champion, window: Rows, output: Floats, place: Support, *, labelled: bool) -> Performance:
    """Estimate the performance from scores, or from a model of the losses, with the reasons to withhold it."""
    confidence = harm_confidence(champion)
    if champion.cbpe is None:
        return _estimated_loss(champion, window, output, place, labelled=labelled)
    against = (window.y, output, champion.cbpe, champion.performance.value, OF_WINDOW)
    doubts = (*place.doubts, *(contradiction(*against) if labelled else ()))
    return estimated_performance(output, champion.cbpe, max_loss=DRIFT.max_loss, confidence=confidence, doubts=doubts)


def _estimated_loss(champion: Champion, window: Rows, output: Floats, place: Support, *, labelled: bool) -> Performance:
    holdout, contract = champion.stream.holdout, champion.stream.contract
    here, there = feature_matrices(holdout.frame, window.frame, contract, contract.raw_columns)
    residual = holdout.y - champion.output
    rows = LossRows(np.column_stack([here, champion.output]), np.column_stack([there, output]), residual, place.weights)
    found = loss_estimate(rows, champion.metric, seed=0)
    contradicted = loss_contradiction(window.y - output, found, OF_WINDOW) if labelled else ()
    doubts = (*place.doubts, *contradicted)
    return estimated_loss(found, max_loss=DRIFT.max_loss, confidence=harm_confidence(champion), doubts=doubts)


def _support(champion: Champion, window: Rows) -> Support:
    contract, total = champion.stream.contract, math.fsum(max(0.0, mean) for mean in champion.importance.values())
    mattering = [name for name in contract.raw_columns if champion.importance[name] >= 0.01 * (total or 1.0)]
    return support(champion.stream.holdout.frame, window.frame, contract, mattering, 0)
