"""What a window's page says beside its figures."""

from __future__ import annotations

from datetime import datetime

from tasks.monitor.reports import _name, _weight, _window_notes
from tests.core.drift_samples import DRIFTED, HARMED, PREDICTION, TARGET, UNHARMED, evidence


def test_a_column_is_told_with_its_weight() -> None:
    """A feature with its share of the importance, target and predictions by what they are and by names."""
    weights = [_weight(column) for column in (DRIFTED, TARGET, PREDICTION)]
    assert weights == ["34 % of the importance", "the target", "the predictions"]
    assert [_name(column, "paid") for column in (DRIFTED, TARGET, PREDICTION)] == ["income", "paid", "(prediction)"]


def test_the_notes_are_those_of_the_window() -> None:
    """Rows, period, every performance and what else was noted, in this order."""
    found = _window_notes(evidence(DRIFTED, n_rows=12_345, performance=(UNHARMED, HARMED), notes=("age is gone",)))
    assert found == [
        "Scores are computed from all 12,345 current rows, in bins fixed at training.",
        "Current rows are from 2024-09-01 00:00 to 2024-09-30 00:00.",
        UNHARMED.reason,
        HARMED.reason,
        "age is gone",
    ]


def test_rows_without_times_have_no_period() -> None:
    """One end of it is none."""
    for window in ({"first_time": None, "last_time": None}, {"first_time": datetime(2024, 9, 1), "last_time": None}):
        assert not any("rows are from" in note for note in _window_notes(evidence(DRIFTED, **window)))
