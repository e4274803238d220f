"""What a pruning removed, as lines."""

from cli.lines.retention import prune_lines
from core.retention.outcome import PruneOutcome, Removal, Skipped

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
