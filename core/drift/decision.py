"""What a window's drift amounts to: whether it matters, lasts, and should lead to a retraining."""

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

RULE = 1
"""Version of the rule that decides: another one gives the same window another decision."""


def performance_confidence(drift: Drift, kinds: int) -> float:
    """Confidence of each kind's interval, so that a window without loss is called harmed as rarely as it may be.

    Columns have half of the chance of a false alarm, performance the other. Only losses count, so that one end of an
    interval may have all of this half; kinds (realised, estimated) share it.

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
    """Name what a decision is made from (64 hex digits): the same window twice is the same decision.

    Parameters
    ----------
    manifest
        SHA-256 of the manifest of the champion's bundle: the same number in a registry made anew is another version.
    batches
        Fingerprints; their order plays no part.
    labels
        Tells states of the same rows apart where labels come in later; empty where they do not.
    """
    ends = [moment.isoformat() if moment else None for moment in (since, until)]
    rule = [RULE, drift.model_dump(mode="json")]
    parts = json.dumps([model, champion, manifest, against, sorted(batches), ends, rule, labels], sort_keys=True)
    return hashlib.sha256(parts.encode()).hexdigest()


def decide(evidence: DriftEvidence, earlier: Sequence[EarlierWindow], drift: Drift, now: datetime) -> DriftVerdict:
    """Decide what a window is and what follows from it.

    A window smaller than ``drift.min_rows`` is insufficient; it neither counts nor breaks a row of signals. A signal
    in k of the last n disjoint windows, this one among the signals, is drift; less is watched. Performance counts as
    a signal too: where labels say it fell, no column needs to have drifted.

    Parameters
    ----------
    earlier
        Windows of the model judged before, oldest first; those of another champion count for the cool-down alone.
    now
        With its zone.

    Raises
    ------
    ValueError
        Enough rows and not one column measured.
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
    return "watch" if any(column.drifted for column in columns) else "ok"


def _drift_matters(columns: Sequence[ColumnDrift], share: float, drift: Drift) -> bool:
    others = any(column.drifted and column.role != "feature" for column in columns)
    return others or (share > 0 and share >= drift.min_importance)


def _deciding_first(performance: Sequence[Performance]) -> tuple[Performance, ...]:
    return tuple(sorted(performance, key=lambda one: (one.harmed is None, one.kind != "realised")))


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
    recent = [one for one in earlier if one.retrain and one.id != id_ and one.measured_at > start]
    return max(recent, key=lambda one: one.measured_at, default=None)


def _retrains(verdict: DriftVerdict, drift: Drift) -> bool:
    if verdict.status != "drift" or drift.retrain_on == "never":
        return False
    return drift.retrain_on == "drift" or verdict.harmed is not False
