"""When a model is trained anew, and when not."""

from datetime import UTC, datetime, timedelta

import pytest

from config.schema import Retrain
from core.operate.retraining import NewRows, Pace, pace_refusal, rows_refusal

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
RULES = Retrain(cooldown_hours=6, per_week=3, min_new_labels=100)


def _code(refusal: object) -> str | None:
    return getattr(refusal, "code", None)


@pytest.mark.parametrize(
    ("hours", "n_week", "code"),
    [(None, 0, None), (5.99, 1, "cooldown"), (6, 1, None), (6, 3, "budget"), (0, 3, "cooldown"), (None, 4, "budget")],
)
def test_pace_is_bounded_by_cool_down_and_budget(hours: float | None, n_week: int, code: str | None) -> None:
    """Neither sooner than the cool-down nor more often than the budget, whichever says no first."""
    last = None if hours is None else NOON - timedelta(hours=hours)
    assert _code(pace_refusal(Pace(last, n_week), RULES, NOON)) == code


def test_a_clock_that_was_set_back_is_no_reason_to_wait_longer_than_the_cool_down() -> None:
    """The moment in the message is the last retraining's plus the cool-down, whatever the clock says now."""
    refusal = pace_refusal(Pace(NOON, 1), RULES, NOON - timedelta(hours=1))
    assert refusal is not None
    assert "not before 2026-01-05 18:00:00 UTC" in refusal.reason


@pytest.mark.parametrize(
    ("champion", "champion_data", "n_rows", "n_labelled", "code"),
    [
        (None, None, 100, 100, None),
        (None, None, 100, 99, "unlabelled"),
        (3, "now", 0, 0, "unchanged"),
        (3, "before", 0, 0, "unchanged"),
        (3, "before", 500, 99, "unlabelled"),
        (3, "before", 500, 100, None),
        (3, None, 500, 500, None),
    ],
)
def test_rows_are_a_reason_when_they_are_new_and_labelled(
    champion: int | None, champion_data: str | None, n_rows: int, n_labelled: int, code: str | None
) -> None:
    """The champion's own data never is; without a champion, or where its data is not known, all rows are new."""
    rows = NewRows("now", champion, champion_data, n_rows, n_labelled)
    assert _code(rows_refusal(rows, RULES)) == code
