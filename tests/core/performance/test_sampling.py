"""How many rows are scored, by the rates of the classes."""

from __future__ import annotations

import pytest

from core.performance.sampling import MAX_SAMPLE_ROWS, SAMPLE_ROWS, rare_classes, sample_rows


def test_classes_below_a_tenth_are_rare() -> None:
    """A regression has no classes."""
    assert rare_classes({"no": 9_941, "yes": 59}) == ("yes",)
    assert rare_classes({"a": 500, "b": 460, "c": 40, "d": 0}) == ("c", "d")
    assert rare_classes({"no": 880, "yes": 120}) == ()
    assert rare_classes({}) == ()


@pytest.mark.parametrize(
    ("counts", "rows"),
    [
        ({"no": 500, "yes": 500}, SAMPLE_ROWS),
        ({"no": 990, "yes": 10}, 100_000),
        ({"no": 9_990, "yes": 10}, MAX_SAMPLE_ROWS),
        ({"no": 10, "yes": 0}, SAMPLE_ROWS),
        ({"no": 0, "yes": 0}, SAMPLE_ROWS),
        ({}, SAMPLE_ROWS),
    ],
)
def test_rare_events_need_more_rows_up_to_a_bound(counts: dict[str, int], rows: int) -> None:
    """A thousand events are wanted; a class without a row in the reference asks for nothing."""
    assert sample_rows(counts) == rows
