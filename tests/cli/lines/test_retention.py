"""What a pruning or an erasure removed, as lines."""

from datetime import UTC, datetime

from cli.lines.retention import erasure_lines, prune_lines, record_lines
from core.erasure.outcome import ErasureOutcome, ErasureRecord, Remaining, Removed
from core.retention.outcome import PruneOutcome, Removal, Skipped

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
REMOVALS = (
    Removal("drift reports", "credit", 12, 52 * 1024 * 1024, ("a",)),
    Removal("alerts", "", 1_200, 0, ("rows",)),
)


def test_each_kind_is_a_line_and_sizes_are_summed_up() -> None:
    """Rows of a database have a number and no size."""
    assert prune_lines(PruneOutcome(False, REMOVALS)) == [
        "MODEL      REMOVED            N   MiB",
        "credit     drift reports     12  52.0",
        "(project)  alerts         1,200",
        "52.0 MiB freed",
    ]


def test_a_dry_run_says_so() -> None:
    """Nobody takes its table for what was done."""
    lines = prune_lines(PruneOutcome(True, REMOVALS))
    assert lines[0].startswith("MODEL      WOULD REMOVE")
    assert lines[-1] == "52.0 MiB would be freed"


def test_what_was_skipped_is_named() -> None:
    """With its reason on one line, also where nothing was removed."""
    assert prune_lines(PruneOutcome(False, (), (Skipped("model credit", "in use\nby 1"),))) == [
        "nothing to remove",
        "skipped model credit: in use\\nby 1",
    ]


def test_what_remains_is_told_with_its_reason() -> None:
    """And how many rows, where that is known."""
    removed = (Removed("labels", "label_history", 1200), Removed("snapshots", "3f2a", 1))
    remaining = (
        Remaining("batch", "data/credit/0001-a.parquet", "versions were trained on it", 2),
        Remaining("source", "rows.csv", "delete the rows there"),
    )
    lines = erasure_lines(ErasureOutcome("credit", False, removed, remaining, "0b18"))
    assert lines == [
        "REMOVED        N  WHERE",
        "labels     1,200  label_history",
        "snapshots      1  3f2a",
        "",
        "  not removed:",
        "  - batch data/credit/0001-a.parquet (2 rows): versions were trained on it",
        "  - source rows.csv: delete the rows there",
        "recorded as 0b18",
    ]


def test_a_dry_run_promises_nothing() -> None:
    """It has no record, and may find nothing."""
    assert erasure_lines(ErasureOutcome("credit", True, (), ())) == ["no rows of this key to remove"]
    (first, *_) = erasure_lines(ErasureOutcome("credit", True, (Removed("labels", "label_history", 1),), ()))
    assert first.split() == ["WOULD", "REMOVE", "N", "WHERE"]


def test_records_tell_who_and_when() -> None:
    """One that was killed says so."""
    records = [
        ErasureRecord("a", "credit", "ada@host", "request 31", AT, AT, {"removed": {"labels": 2, "snapshots": 1}}),
        ErasureRecord("b", "credit", "ada@host", "", AT, AT, {"removed": {}}),
        ErasureRecord("c", "credit", "ada@host", "", AT, None, {}),
    ]
    assert record_lines(records) == [
        "STARTED (UTC)        BY        REMOVED                 REASON      ID",
        "2026-03-01 12:00:00  ada@host  2 labels, 1 snapshots   request 31  a",
        "2026-03-01 12:00:00  ada@host  nothing                 –           b",
        "2026-03-01 12:00:00  ada@host  interrupted or running  –           c",
    ]
    assert record_lines([]) == ["nothing was forgotten yet"]
