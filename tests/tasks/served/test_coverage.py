"""How many predictions of a week have a label, and how late labels arrive."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from config.settings import Settings
from store.database import open_database
from store.log.labels import Label, record_labels
from tasks.served.coverage import label_coverage
from tests.factories import credit_config, credit_rows, make_project
from tests.tasks.served.traffic import log_rows

MONDAY = datetime(2026, 3, 2, tzinfo=UTC)
DAY = timedelta(days=1)
CONFIG = credit_config(drift={"label_delay_days": 3})


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Return a project: three weeks of predictions, and labels of half of the first week after four days."""
    found = make_project(tmp_path)
    engine = open_database(found.database_url)
    for week in range(3):
        rows = credit_rows(100, seed=week).drop(columns="default")
        ids = log_rows(engine, rows, [[0.5, 0.5]] * 100, MONDAY + week * 7 * DAY, key="id", per_request=10)
        if week == 0:
            record_labels(engine, "credit", [Label("id", one, "1") for one in ids[:50]], "test", MONDAY + 4.5 * DAY)
    log_rows(engine, rows, [[0.5, 0.5]] * 100, MONDAY, variant="shadow")
    record_labels(engine, "credit", [Label("key", f"c1-{n}", "1") for n in range(7)], "test", MONDAY + 20 * DAY)
    return found


def test_each_week_has_its_predictions_and_labels(settings: Settings) -> None:
    """By id and by key, as they were known at a time; shadow answers are no predictions of clients."""
    found = label_coverage(CONFIG, 12, MONDAY + 30 * DAY, settings)
    assert [(one.week, one.n_rows, one.n_labelled) for one in found.weeks] == [
        (date(2026, 3, 2), 100, 50),
        (date(2026, 3, 9), 100, 7),
        (date(2026, 3, 16), 100, 0),
    ]
    assert [one.n_labelled for one in label_coverage(CONFIG, 12, MONDAY + 19 * DAY, settings).weeks] == [50, 0, 0]
    assert [one.week.day for one in label_coverage(CONFIG, 2, MONDAY + 20 * DAY, settings).weeks] == [9, 16]
    assert list((settings.var / "work").iterdir()) == []


def test_the_delay_stands_beside_the_configured_one(settings: Settings) -> None:
    """Estimated from what arrived; a document for machines has both."""
    document = label_coverage(CONFIG, 12, MONDAY + 30 * DAY, settings).to_dict()
    assert document["delay"]["median_days"] == 4
    assert document["delay"]["n_labels"] == 57
    assert document["label_delay_days"] == 3
    assert document["weeks"][0] == {"week": "2026-03-02", "n_rows": 100, "n_labelled": 50, "share": 0.5}


def test_without_predictions_there_are_no_weeks(tmp_path: Path) -> None:
    """And no delay."""
    found = label_coverage(CONFIG, 12, MONDAY, make_project(tmp_path))
    assert (found.weeks, found.delay) == ((), None)
