"""The short form of a drift decision."""

import json
from datetime import UTC, datetime

from core.drift.verdict import DriftVerdict, WindowFacts
from core.retention.documents import NOTE, START, shortened

VERDICT = DriftVerdict(
    id="5" * 64,
    model="credit",
    champion=4,
    against="champion",
    status="drift",
    drifted=True,
    retrain=True,
    harmed=True,
    importance_share=0.42,
    columns=(),
    performance=(),
    bias=None,
    n_signals=2,
    n_windows=3,
    reasons=("42 % of the importance drifted", 'a reason with "quotes" and ä'),
    window=WindowFacts(batches=("2026-02",), n_rows=2000),
    measured_at=datetime(2026, 1, 1, tzinfo=UTC),
)


def _document() -> str:
    content = VERDICT.to_dict() | {"columns": [{"name": f"column {number}", "psi": 0.1} for number in range(30)]}
    return json.dumps(content, indent=2, ensure_ascii=False)


def test_a_shortened_decision_is_still_a_verdict() -> None:
    """Status, reasons and rows can be read; a last reason says what is gone."""
    short = shortened(_document())
    found = DriftVerdict.from_dict(json.loads(short))
    assert len(short) < len(_document()) / 2
    assert (found.id, found.status, found.retrain, found.window) == (VERDICT.id, "drift", True, VERDICT.window)
    assert found.reasons == (*VERDICT.reasons, NOTE)
    assert not found.columns
    assert not found.performance


def test_a_repeat_changes_nothing() -> None:
    """The database finds by its beginning what is shortened."""
    short = shortened(_document())
    assert short.startswith(START)
    assert shortened(short) == short
