"""What a window was asked for, and what tells two decisions about the same rows apart."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from config.settings import Settings
from core.data.history import BatchEntry
from tasks.monitor.windows import _labels, report_folder
from tests.factories import credit_config

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)


def _batch(days_ago: float | None) -> BatchEntry:
    last = None if days_ago is None else NOW.replace(tzinfo=None) - timedelta(days=days_ago)
    return BatchEntry("0001-a", 1, 1, "", None, last, None, None)


@pytest.mark.parametrize(
    ("delay", "ages", "day"),
    [
        (0, [1.0], ""),
        (30, [None], ""),
        (30, [31.0], ""),
        (30, [30.0], ""),
        (30, [29.0], "2026-03-10"),
        (30, [90.0, 1.0, None], "2026-03-10"),
    ],
)
def test_a_window_is_judged_again_while_its_labels_come_in(delay: float, ages: list[float | None], day: str) -> None:
    """Once a day, until the youngest row is as old as the delay says."""
    config = credit_config(drift={"label_delay_days": delay})
    assert _labels([_batch(age) for age in ages], config, NOW) == day


def test_a_decision_has_a_folder_of_its_own(project: Settings) -> None:
    """Of the model, by the first digits of the decision's id."""
    first, second = (report_folder("credit", digit * 64, project) for digit in "ab")
    assert first == project.var / "reports" / "credit" / "drift" / ("a" * 12)
    assert first != second
