"""The decision on a window: whether its drift matters, persists, and should lead to a retraining."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from math import fsum

from config.schema import Drift
from core.drift.columns import ColumnDrift, column_drifts, importance_shares, weighted_holm
from core.drift.reasons import drift_reasons
from core.drift.verdict import DriftEvidence, DriftVerdict
from core.drift.windows import EarlierWindow, Status, disjoint_before
from core.performance.loss import Performance
from core.performance.prediction_bias import PredictionBias
from core.wrong_clock import newest_possible

__all__ = [
    "ColumnDrift",
    "EarlierWindow",
    "Performance",
    "Status",
    "column_drifts",
    "decide",
    "decision_id",
    "importance_shares",
    "performance_confidence",
    "weighted_holm",
]

RULE = 3
"""Version of the decision rule: with another version, the same window has another decision id."""


def performance_confidence(drift: Drift, kinds: int) -> float:
    """Return the confidence of the interval of each kind of performance, 0 to 1.

    Columns have half of the error probability ``1 - drift.confidence``, performance has the other half. Only losses
    count, so one end of the interval may use all of this half; the kinds (realised, estimated) share it.

    Parameters
    ----------
    drift
        Section ``drift`` of the model file.
    kinds
        Number of kinds of performance that are judged, at least 1.

    Examples
    --------
    >>> performance_confidence(Drift(), 1), performance_confidence(Drift(), 2)
    (0.99, 0.995)
    """
    return 1 - round((1 - drift.confidence) / kinds, 12)


def decision_id(
    *,
    model: str,
    champion: int,
    manifest: str,
    against: str,
    batches: Sequence[str],
    since: datetime | None,
    until: datetime | None,
    drift: Drift,
    labels: str = "",
) -> str:
    """Return the id of a decision, 64 hex digits: a hash of everything that decides it.

    Parameters
    ----------
    model
        Name of the model.
    champion
        The champion's version.
    manifest
        SHA-256 of the manifest of the champion's bundle: it distinguishes versions with the same number after the
        registry was recreated.
    against
        What the window is compared with: ``champion`` or a data version.
    batches
        Fingerprints of the batches; their order does not matter.
    since, until
        Requested range of times, ``until`` exclusive; None for no bound.
    drift
        Section ``drift`` of the model file.
    labels
        Text that identifies the state of the labels if they arrive after the rows; otherwise empty.
    """
    ends = [moment.isoformat() if moment else None for moment in (since, until)]
    rule = [RULE, drift.model_dump(mode="json")]
    parts = json.dumps([model, champion, manifest, against, sorted(batches), ends, rule, labels], sort_keys=True)
    return hashlib.sha256(parts.encode()).hexdigest()


def decide(evidence: DriftEvidence, earlier: Sequence[EarlierWindow], drift: Drift, now: datetime) -> DriftVerdict:
    """Decide the status of a window and whether to recommend a retraining.

    A window smaller than ``drift.min_rows`` is ``insufficient`` and does not count among the last windows. If the
    window is a signal and k of the last n disjoint windows are signals, the status is ``drift``; a signal with fewer is
    ``watch``. A loss of performance is a signal too, even if no column drifted.

    Parameters
    ----------
    evidence
        Measurements of the window.
    earlier
        Windows of the model judged before, oldest first; those of another champion count only for the cool-down.
    drift
        Section ``drift`` of the model file.
    now
        The present time, with time zone.

    Raises
    ------
    ValueError
        The window has enough rows, but no measured column.
    """
    verdict = _judged(evidence, earlier, drift, now)
    cooling = _cooling(evidence.id, earlier, drift, now)
    verdict = replace(verdict, retrain=_retrains(verdict, drift) and cooling is None)
    return replace(verdict, reasons=drift_reasons(verdict, drift, cooling))


def _judged(evidence: DriftEvidence, earlier: Sequence[EarlierWindow], drift: Drift, now: datetime) -> DriftVerdict:
    enough = evidence.window.n_rows >= drift.min_rows
    if enough and not evidence.columns:
        raise ValueError(f"expected at least one measured column of {evidence.window.n_rows:,} rows, found none")
    performance = _deciding_first(evidence.performance)
    harmed = _harmed(performance, evidence.bias) if enough else None
    share = min(1.0, fsum(column.importance for column in evidence.columns if column.drifted))
    signal = enough and (harmed is True or _drift_matters(evidence.columns, share, drift))
    before = _comparable(evidence, earlier, drift) if enough else ()
    n_signals = signal + sum(one.drifted for one in before)
    return DriftVerdict(
        id=evidence.id,
        model=evidence.model,
        champion=evidence.champion,
        against=evidence.against,
        status=_status(evidence.columns, enough, signal, n_signals >= drift.persistence[0]),
        drifted=signal,
        retrain=False,
        harmed=harmed,
        importance_share=share,
        columns=evidence.columns,
        performance=performance,
        bias=evidence.bias,
        n_signals=n_signals,
        n_windows=len(before) + enough,
        reasons=(),
        window=evidence.window,
        measured_at=now,
    )


def _harmed(performance: Sequence[Performance], bias: PredictionBias | None) -> bool | None:
    if bias is not None and bias.harmed:
        return True
    return performance[0].harmed if performance else None


def _status(columns: Sequence[ColumnDrift], enough: bool, signal: bool, lasting: bool) -> Status:
    if not enough:
        return "insufficient"
    if signal:
        return "drift" if lasting else "watch"
    return "watch" if any(column.drifted and column.role != "unused" for column in columns) else "ok"


def _drift_matters(columns: Sequence[ColumnDrift], share: float, drift: Drift) -> bool:
    others = any(column.drifted and column.role in ("target", "prediction") for column in columns)
    return others or (share > 0 and share >= drift.min_importance)


def _deciding_first(performance: Sequence[Performance]) -> tuple[Performance, ...]:
    return tuple(sorted(performance, key=lambda one: (not one.judged, one.harmed is None, one.kind != "realised")))


def _comparable(evidence: DriftEvidence, earlier: Sequence[EarlierWindow], drift: Drift) -> tuple[EarlierWindow, ...]:
    same = [
        one
        for one in earlier
        if (one.champion, one.against) == (evidence.champion, evidence.against)
        and one.id != evidence.id
        and one.status != "insufficient"
    ]
    return disjoint_before(evidence.window, same, drift.persistence[1] - 1)


def _cooling(id_: str, earlier: Sequence[EarlierWindow], drift: Drift, now: datetime) -> EarlierWindow | None:
    start = now - timedelta(hours=drift.cooldown_hours)
    end = newest_possible(now)
    recent = [one for one in earlier if one.retrain and one.id != id_ and start < one.measured_at <= end]
    return max(recent, key=lambda one: one.measured_at, default=None)


def _retrains(verdict: DriftVerdict, drift: Drift) -> bool:
    if verdict.status != "drift" or drift.retrain_on == "never":
        return False
    return drift.retrain_on == "drift" or verdict.harmed is not False
