"""Columns, performances and evidence of drift, built by hand."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from core.drift.columns import ColumnDrift
from core.drift.decision import EarlierWindow
from core.drift.divergence import ChiSquare
from core.drift.verdict import DriftEvidence, DriftVerdict, WindowFacts
from core.performance.loss import Performance
from core.performance.prediction_bias import PredictionBias

NOW = datetime(2025, 6, 1, 6, tzinfo=UTC)

QUIET = ColumnDrift(
    name="age",
    role="feature",
    kind="numeric",
    psi=0.012,
    bound=0.1,
    critical=0.019,
    p_value=0.4,
    method="chi-square",
    jensen_shannon=0.03,
    hellinger=0.025,
    chi_square=ChiSquare(9.4, 9, 0.4),
    n_reference=20_000,
    n_current=2000,
    missing=0.0,
    missing_reference=0.0,
    other=None,
    other_reference=None,
    importance=0.1,
    drifted=False,
)
DRIFTED = replace(QUIET, name="income", psi=0.31, p_value=1e-30, importance=0.34, drifted=True)
TARGET = replace(QUIET, name="target", role="target", kind="levels", other=0.0, other_reference=0.0, importance=0.0)
PREDICTION = replace(QUIET, name="prediction", role="prediction", importance=0.0)
COLUMNS = (QUIET, replace(QUIET, name="debt", importance=0.56), PREDICTION)

UNHARMED = Performance(
    kind="estimated",
    metric="roc_auc",
    value=0.809,
    low=0.79,
    high=0.83,
    reference=0.81,
    reference_low=0.8,
    reference_high=0.82,
    loss=0.001,
    loss_low=-0.01,
    loss_high=0.012,
    tolerated=0.016,
    harmed=False,
    n_rows=2000,
    reason="ROC AUC is estimated at 0.809",
)
HARMED = replace(
    UNHARMED, value=0.75, loss=0.06, loss_low=0.04, harmed=True, reason="ROC AUC is estimated at 0.75, a loss of 0.06"
)
UNKNOWN = replace(UNHARMED, loss_low=None, harmed=None, n_rows=12, reason="12 rows (labels unused) are too few")


def realised(performance: Performance) -> Performance:
    """Take the performance for one from labels."""
    return replace(performance, kind="realised", reason=performance.reason.replace("is estimated at", "is"))


def evidence(
    *columns: ColumnDrift,
    n_rows: int = 2000,
    performance: tuple[Performance, ...] = (UNHARMED,),
    bias: PredictionBias | None = None,
    **window: Any,
) -> DriftEvidence:
    """Evidence of batch 9 (September 2024), quiet where no column is given."""
    content: dict[str, Any] = {
        "batches": ("0009-a",),
        "n_rows": n_rows,
        "n_sampled": n_rows,
        "first_time": datetime(2024, 9, 1),
        "last_time": datetime(2024, 9, 30),
    }
    facts = WindowFacts(**{**content, **window})
    return DriftEvidence(
        id="a" * 64,
        model="credit",
        champion=3,
        against="champion",
        window=facts,
        columns=columns or COLUMNS,
        performance=performance,
        bias=bias,
    )


def earlier(month: int, **changes: Any) -> EarlierWindow:
    """Window of one month of 2024 that was judged at its place before ``NOW``, a day apart each; a signal."""
    content: dict[str, Any] = {
        "id": f"{month:02d}" * 32,
        "champion": 3,
        "against": "champion",
        "batches": (f"{month:04d}-a",),
        "first_time": datetime(2024, month, 1),
        "last_time": datetime(2024, month, 28),
        "drifted": True,
        "status": "watch",
        "retrain": False,
        "measured_at": NOW - timedelta(days=9 - month),
    }
    return EarlierWindow(**{**content, **changes})


def recalled(verdict: DriftVerdict) -> EarlierWindow:
    """Return what the history remembers of a verdict."""
    window = verdict.window
    return earlier(
        1,
        **{name: getattr(verdict, name) for name in ("id", "champion", "against", "drifted", "status", "retrain")},
        **{name: getattr(window, name) for name in ("batches", "first_time", "last_time")},
        measured_at=verdict.measured_at,
    )
