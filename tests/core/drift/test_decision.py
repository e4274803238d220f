from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from config.schema import Drift
from core.drift.decision import ColumnDrift, EarlierWindow, decide, decision_id
from core.drift.verdict import DriftVerdict, WindowFacts
from core.performance.loss import Performance
from tests.core.drift_samples import (
    COLUMNS,
    DRIFTED,
    HARMED,
    NOW,
    PREDICTION,
    QUIET,
    TARGET,
    UNHARMED,
    UNKNOWN,
    earlier,
    evidence,
    realised,
    recalled,
)

ONE_WINDOW = Drift(persistence=(1, 1))
CHANCE = replace(HARMED, loss_low=-0.02, harmed=None)


def judged(
    *columns: ColumnDrift,
    before: tuple[EarlierWindow, ...] = (),
    drift: Drift = ONE_WINDOW,
    **changes: Any,
) -> DriftVerdict:
    """Decide on evidence built by hand."""
    return decide(evidence(*columns, **changes), before, drift, NOW)


def test_a_quiet_window_is_ok() -> None:
    """No column drifted and the performance is as it was."""
    verdict = judged()
    assert (verdict.status, verdict.drifted, verdict.retrain, verdict.harmed) == ("ok", False, False, False)
    assert (verdict.importance_share, verdict.n_signals, verdict.n_windows) == (0.0, 0, 1)
    assert (verdict.model, verdict.champion, verdict.against) == ("credit", 3, "champion")
    assert (verdict.id, verdict.measured_at, verdict.columns) == ("a" * 64, NOW, COLUMNS)


def test_a_column_that_is_not_a_feature_decides_nothing() -> None:
    """However far it moved, the window is ok, and a sentence says what changed."""
    unused = replace(DRIFTED, name="channel", role="unused", importance=0.0)
    verdict = judged(*COLUMNS, unused)
    assert (verdict.status, verdict.drifted, verdict.retrain, verdict.importance_share) == ("ok", False, False, 0.0)
    assert "none of the 3 columns drifted" in verdict.reasons[0]
    assert any(reason.startswith("channel changed, which is not a feature: PSI 0.31") for reason in verdict.reasons)


@pytest.mark.parametrize("n_rows", [0, 1, 199])
def test_a_small_window_is_insufficient_whatever_it_shows(n_rows: int) -> None:
    """Never ok, never drift: neither columns nor performance count."""
    verdict = judged(DRIFTED, n_rows=n_rows, performance=(HARMED,), before=(earlier(8), earlier(7)))
    assert (verdict.status, verdict.drifted, verdict.retrain, verdict.harmed) == ("insufficient", False, False, None)
    assert (verdict.n_signals, verdict.n_windows) == (0, 0)
    assert judged(DRIFTED, n_rows=200).status == "drift"


def test_an_empty_window_needs_no_columns() -> None:
    """Nothing was measured, and nothing is said to be well."""
    empty = replace(evidence(n_rows=0, performance=()), columns=())
    assert decide(empty, (), ONE_WINDOW, NOW).status == "insufficient"


def test_a_window_without_one_measured_column_is_a_mistake() -> None:
    """Rows without columns would be a silent ok."""
    with pytest.raises(ValueError, match="at least one measured column of 2,000 rows"):
        decide(replace(evidence(), columns=()), (), ONE_WINDOW, NOW)


@pytest.mark.parametrize(
    ("columns", "needed", "signal"),
    [
        ((DRIFTED,), 0.1, True),
        ((DRIFTED,), 0.34, True),
        ((DRIFTED,), 0.35, False),
        ((DRIFTED, replace(DRIFTED, name="debt", importance=0.02)), 0.35, True),
        ((replace(DRIFTED, importance=0.0),), 0.0, False),
        ((replace(DRIFTED, importance=0.01),), 0.0, True),
        ((QUIET, replace(TARGET, drifted=True)), 1.0, True),
        ((QUIET, replace(PREDICTION, drifted=True)), 1.0, True),
    ],
)
def test_drift_is_a_signal_where_the_champion_leans_on_it(
    columns: tuple[ColumnDrift, ...], needed: float, signal: bool
) -> None:
    """By share of importance; the target and the predictions always are; all else is watched."""
    verdict = judged(*columns, drift=Drift(persistence=(1, 1), min_importance=needed))
    assert (verdict.drifted, verdict.status) == (signal, "drift" if signal else "watch")
    assert verdict.importance_share == pytest.approx(sum(c.importance for c in columns if c.drifted))


def test_harm_is_a_signal_without_any_drift_of_columns() -> None:
    """Concept drift shows in the performance alone."""
    verdict = judged(performance=(realised(HARMED),))
    assert (verdict.status, verdict.drifted, verdict.harmed, verdict.retrain) == ("drift", True, True, True)
    assert judged(performance=()).harmed is None


@pytest.mark.parametrize(
    ("performance", "harmed", "deciding"),
    [
        ((HARMED, realised(UNHARMED)), False, "realised"),
        ((UNHARMED, realised(HARMED)), True, "realised"),
        ((HARMED, realised(UNKNOWN)), True, "estimated"),
        ((HARMED, realised(CHANCE)), True, "estimated"),
        ((UNKNOWN, realised(UNKNOWN)), None, "realised"),
        ((CHANCE,), None, "estimated"),
    ],
)
def test_labels_decide_on_harm_where_they_tell(
    performance: tuple[Performance, ...], harmed: bool | None, deciding: str
) -> None:
    """Too few labels, or a loss above what is tolerated that may be chance, leave it to the estimate."""
    verdict = judged(performance=performance)
    assert (verdict.harmed, verdict.performance[0].kind) == (harmed, deciding)
    assert len(verdict.performance) == len(performance)


def test_a_further_metric_never_decides() -> None:
    """It is shown last, and harm stays unknown although it was computed as harmed."""
    beside = replace(HARMED, metric="mae", judged=False)
    verdict = judged(performance=(beside, UNKNOWN))
    assert verdict.harmed is None
    assert [one.judged for one in verdict.performance] == [True, False]


@pytest.mark.parametrize(
    ("before", "persistence", "status", "counted"),
    [
        ((), (2, 3), "watch", (1, 1)),
        ((earlier(8),), (2, 3), "drift", (2, 2)),
        ((earlier(7), earlier(8, drifted=False, status="ok")), (2, 3), "drift", (2, 3)),
        ((earlier(6), earlier(7, drifted=False), earlier(8, drifted=False)), (2, 3), "watch", (1, 3)),
        ((earlier(7), earlier(8, drifted=False, status="insufficient")), (2, 2), "drift", (2, 2)),
        ((earlier(8, champion=2),), (2, 3), "watch", (1, 1)),
        ((earlier(8, against="d" * 32 + ".dir"),), (2, 3), "watch", (1, 1)),
        ((earlier(9, id="a" * 64),), (2, 3), "watch", (1, 1)),
        ((earlier(9, batches=("0008-a", "0009-a")),), (2, 3), "watch", (1, 1)),
        ((earlier(8), earlier(8, id="b" * 64, drifted=False)), (2, 3), "watch", (1, 2)),
        ((earlier(10), earlier(11)), (2, 3), "watch", (1, 1)),
        ((earlier(8), earlier(7)), (3, 3), "drift", (3, 3)),
    ],
)
def test_drift_lasts(
    before: tuple[EarlierWindow, ...], persistence: tuple[int, int], status: str, counted: tuple[int, int]
) -> None:
    """K of the last n: windows too small, of others, with the same rows, or with later rows do not count."""
    verdict = judged(DRIFTED, before=before, drift=Drift(persistence=persistence))
    assert (verdict.status, (verdict.n_signals, verdict.n_windows)) == (status, counted)
    assert verdict.drifted


def test_a_quiet_window_after_drift_is_ok() -> None:
    """Earlier signals alone do not make a quiet window drift."""
    verdict = judged(before=(earlier(7), earlier(8)), drift=Drift(persistence=(2, 3)))
    assert (verdict.status, verdict.n_signals, verdict.n_windows) == ("ok", 2, 3)


@pytest.mark.parametrize(
    ("policy", "performance", "retrain"),
    [
        ("harm", (HARMED,), True),
        ("harm", (UNHARMED,), False),
        ("harm", (UNKNOWN,), True),
        ("harm", (CHANCE,), True),
        ("harm", (), True),
        ("drift", (UNHARMED,), True),
        ("drift", (HARMED,), True),
        ("never", (HARMED,), False),
    ],
)
def test_retraining_follows_the_policy(policy: Any, performance: tuple[Performance, ...], retrain: bool) -> None:
    """By default drift that is known to do no harm is only reported."""
    drift = Drift(persistence=(1, 1), retrain_on=policy)
    verdict = judged(DRIFTED, performance=performance, drift=drift)
    assert (verdict.status, verdict.retrain) == ("drift", retrain)
    watched = judged(DRIFTED, performance=performance, drift=drift.model_copy(update={"persistence": (2, 2)}))
    assert (watched.status, watched.retrain) == ("watch", False)


@pytest.mark.parametrize(
    ("changes", "retrain"),
    [
        ({"retrain": True, "measured_at": NOW - timedelta(hours=23)}, False),
        ({"retrain": True, "measured_at": NOW - timedelta(hours=24)}, True),
        ({"retrain": True, "measured_at": NOW - timedelta(hours=23), "champion": 2}, False),
        ({"retrain": False, "measured_at": NOW - timedelta(hours=1)}, True),
        ({"retrain": True, "measured_at": NOW - timedelta(hours=1), "id": "a" * 64}, True),
        ({"retrain": True, "measured_at": NOW + timedelta(minutes=1)}, False),
        ({"retrain": True, "measured_at": NOW + timedelta(days=400)}, True),
    ],
)
def test_a_retraining_is_not_recommended_twice_in_a_row(changes: dict[str, Any], retrain: bool) -> None:
    """Within the cool-down only the first does; the same decision again and one of a wrong clock do not count."""
    verdict = judged(DRIFTED, performance=(HARMED,), before=(earlier(8, **changes),))
    assert (verdict.status, verdict.retrain) == ("drift", retrain)


def test_a_verdict_is_an_earlier_window_to_the_next() -> None:
    """Two signals of disjoint windows are drift where two are needed."""
    drift = Drift(persistence=(2, 2))
    first = judged(DRIFTED, drift=drift)
    later: dict[str, Any] = {
        "batches": ("0010-a",),
        "first_time": datetime(2024, 10, 1),
        "last_time": datetime(2024, 10, 31),
    }
    second = replace(evidence(DRIFTED, **later), id="b" * 64)
    assert decide(second, (recalled(first),), drift, NOW).status == "drift"
    assert decide(second, (recalled(judged(drift=drift)),), drift, NOW).status == "watch"


ID: dict[str, Any] = {
    "model": "credit",
    "champion": 3,
    "manifest": "ab" * 32,
    "against": "champion",
    "batches": ("b1", "b2"),
    "since": None,
    "until": None,
    "drift": Drift(),
}


def test_the_same_window_is_the_same_decision() -> None:
    """64 hex digits that do not depend on the order of the batches."""
    found = decision_id(**ID)
    assert len(bytes.fromhex(found)) == 32
    assert decision_id(**{**ID, "batches": ("b2", "b1")}) == found


@pytest.mark.parametrize(
    "change",
    [
        {"model": "bike"},
        {"champion": 4},
        {"manifest": "cd" * 32},
        {"against": "d" * 32 + ".dir"},
        {"batches": ("b1",)},
        {"since": datetime(2024, 9, 1, tzinfo=UTC)},
        {"until": datetime(2024, 9, 1, tzinfo=UTC)},
        {"drift": Drift(psi=0.2)},
        {"labels": "2024-09"},
    ],
)
def test_another_window_is_another_decision(change: dict[str, Any]) -> None:
    """Whatever goes into a decision is in its name."""
    assert decision_id(**{**ID, **change}) != decision_id(**ID)


def test_facts_of_a_window_have_quiet_defaults() -> None:
    """Only batches and rows are needed."""
    facts = WindowFacts(batches=(), n_rows=0)
    assert (facts.n_seen, facts.notes, facts.since) == (0, (), None)
