"""Labels and their coverage as lines."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime

from cli.lines.labels import coverage_lines, recorded_lines
from core.served.delay import LabelDelay
from tasks.served.bulk import BulkLabels
from tasks.served.coverage import LabelCoverage, WeekCoverage

RECORDED = BulkLabels(10, 5, 2, 1, 1, 1, 1, ("0198-x",), (), 0.5)
COVERAGE = LabelCoverage(
    "credit",
    (WeekCoverage(date(2026, 3, 2), 200, 50), WeekCoverage(date(2026, 3, 9), 1_000, 0)),
    LabelDelay(4, 9, 50, 0.3),
    3.0,
    datetime(2026, 3, 12, tzinfo=UTC),
)


def test_every_row_of_a_file_is_accounted_for() -> None:
    """What was recorded, what was left out and why, and what was not found."""
    text = "\n".join(recorded_lines("credit", RECORDED))
    assert "5 labels added, 2 unchanged, 1 with another value" in text
    assert "1 row without a label left out" in text
    assert "1 row before the last one about the same prediction or event" in text
    assert "1 id not in the prediction log so far; the labels are kept: 0198-x" in text
    assert "16 labels per second" in text
    assert len(recorded_lines("credit", replace(RECORDED, repeated=0, empty=0, unmatched=0))) == 2


def test_keys_that_no_prediction_has_are_told() -> None:
    """With the first of them, readable."""
    found = replace(RECORDED, unmatched=1_200, unmatched_ids=(), unmatched_keys=("k1", "k\x1b2"))
    assert r"1,200 keys not in the prediction log so far; the labels are kept: k1, k\x1b2" in "\n".join(
        recorded_lines("credit", found)
    )


def test_weeks_are_listed_with_the_delay() -> None:
    """Beside the configured delay, and with what follows if that is shorter."""
    text = "\n".join(coverage_lines(COVERAGE))
    assert "2026-03-02" in text
    assert "25.0 %" in text
    assert "95 % within 9 days" in text
    assert "drift.label_delay_days is 3: labels of younger rows count although they are incomplete" in text
    assert "incomplete" not in "\n".join(coverage_lines(replace(COVERAGE, label_delay_days=10.0)))
    assert "too few labels" in "\n".join(coverage_lines(replace(COVERAGE, delay=None)))
    assert "no predictions" in coverage_lines(replace(COVERAGE, weeks=()))[0]
