"""Data versions and batches as lines."""

from __future__ import annotations

from datetime import UTC, datetime

from cli.lines.data import history_lines
from core.data.history import BatchEntry, DataHistory, VersionEntry

AT = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
OLD = VersionEntry("0" * 32 + ".dir", None, None, 1, None, "", is_current=False)
NEW = VersionEntry("1" * 32 + ".dir", AT, 12_345, 2, 100, "c" * 40, is_current=True)
BATCH = BatchEntry("0001-a", 10_000, 100, "rows.csv", datetime(2025, 12, 1), None, None, None)


def test_versions_and_batches_are_two_tables() -> None:
    """The current version is marked; what a fresh clone does not know is a dash."""
    header, old, new, gap, batches, batch = history_lines(DataHistory("credit", (OLD, NEW), (BATCH,)))
    assert header.split() == ["data", "version", "rows", "batches", "made", "commit"]
    assert old.split() == ["0" * 32, "–", "1", "–", "–"]
    assert new.split() == ["*", "1" * 32, "12,345", "2", "2026-01-02", "03:04", "c" * 10]
    assert (gap, batches.split()[0]) == ("", "batch")
    assert batch.split() == ["0001-a", "10,000", "–", "2025-12-01", "–", "–", "rows.csv"]


def test_distinct_rows_stand_below() -> None:
    """Unless they were not counted."""
    *_, gap, line = history_lines(DataHistory("credit", (NEW,), (BATCH,), n_rows=10_000, n_distinct=9_000))
    assert (gap, line) == ("", "10,000 rows in 1 batch, 9,000 distinct")


def test_without_data_there_is_advice() -> None:
    """The command that reads it."""
    assert history_lines(DataHistory("credit", (), ())) == [
        "no data of credit yet; read it with: perennial ingest credit"
    ]
    assert len(history_lines(DataHistory("credit", (OLD,), ()))) == 2
