"""What a pruning tells."""

from datetime import UTC, datetime

from core.retention.items import Item
from core.retention.outcome import PruneOutcome, Removal, Skipped, merged, removals

AT = datetime(2026, 3, 1, tzinfo=UTC)


def test_items_are_summed_up_by_model_and_kind() -> None:
    """Rows count by number, files by size; names stay in order."""
    found = removals(
        [
            Item("snapshots", "credit", "a", AT, 10),
            Item("labels", "credit", "rows", AT, count=300),
            Item("snapshots", "credit", "b", AT, 5),
            Item("logs", "", "crash.log", AT, 7),
        ]
    )
    assert found == (
        Removal("snapshots", "credit", 2, 15, ("a", "b")),
        Removal("labels", "credit", 300, 0, ("rows",)),
        Removal("logs", "", 1, 7, ("crash.log",)),
    )


def test_outcomes_are_put_together_in_their_order() -> None:
    """One model after the other, the project last."""
    first = PruneOutcome(False, (Removal("snapshots", "credit", 1, 5, ("a",)),))
    last = PruneOutcome(False, (Removal("logs", "", 1, 7, ("crash.log",)),), (Skipped("cache", "in use"),))
    assert merged([first, last]) == PruneOutcome(False, first.removals + last.removals, last.skipped)
    assert merged([first, last]).size_bytes == 12


def test_the_document_has_everything() -> None:
    """Scripts read the same that people see."""
    outcome = PruneOutcome(True, (Removal("logs", "", 1, 7, ("crash.log",)),), (Skipped("model credit", "in use"),))
    assert outcome.to_dict() == {
        "dry_run": True,
        "size_bytes": 7,
        "removed": [{"kind": "logs", "model": "", "n": 1, "size_bytes": 7, "names": ["crash.log"]}],
        "skipped": [{"what": "model credit", "reason": "in use"}],
    }
