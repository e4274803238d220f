"""Delays, missed changes and false alarms are counted as the tables of the stream benchmark say."""

from __future__ import annotations

from benchmarks.stream_worlds import Kind
from benchmarks.streams import Job, Result, delays, false_alarms


def result(kind: Kind, change: int | None, signals: list[int], seed: int = 0, n_rows: int = 10_000) -> Result:
    """Make what one detector said of a stream of SEA."""
    return Result(Job("SEA", kind, seed), change, n_rows, (0.1, 0.2), {"ADWIN": signals})


def test_signals_before_the_change_are_false_alarms() -> None:
    """A signal at the last row before the change is false; all rows of a stream without change count."""
    found = [result("abrupt", 4_000, [100, 4_000, 4_001]), result("none", None, [9_000])]

    assert false_alarms(found, "ADWIN") == (3, 14_000)


def test_a_detector_that_was_not_asked_has_no_rows() -> None:
    """Streams that a detector was not given count neither as missed nor as quiet."""
    assert false_alarms([result("none", None, [5])], "DDM") == (0, 0)


def test_delays_are_medians_beside_missed_changes_and_false_alarms() -> None:
    """A row of the table has the median delay, the share of changes without a signal, and the rate of false alarms."""
    signals: tuple[list[int], ...] = ([10, 4_100], [4_300], [])
    found = [result("abrupt", 4_000, one, seed) for seed, one in enumerate(signals)]
    row = next(line for line in delays(found, ["ADWIN"]) if line.startswith("| ADWIN"))

    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[0] == "ADWIN, with labels"
    assert cells[1] == "200 (1 of 3 missed)"
    assert cells[-2:] == ["1 of 3", "0.83"]
