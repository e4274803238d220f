"""What a pruning removed, as lines."""

from __future__ import annotations

from cli.output import table
from core.retention.outcome import PruneOutcome, Removal
from core.text import readable

MIB = 1024 * 1024


def prune_lines(outcome: PruneOutcome) -> list[str]:
    """Return a table of what was removed, its size, and what was skipped."""
    skipped = [f"skipped {readable(one.what)}: {readable(one.reason, 500)}" for one in outcome.skipped]
    if not outcome.removals:
        return ["nothing to remove", *skipped]
    header = ("MODEL", "WOULD REMOVE" if outcome.dry_run else "REMOVED", "N", "MiB")
    total = "would be freed" if outcome.dry_run else "freed"
    return [
        *table(header, [_row(removal) for removal in outcome.removals]),
        f"{outcome.size_bytes / MIB:,.1f} MiB {total}",
        *skipped,
    ]


def _row(removal: Removal) -> tuple[str, str, str, str]:
    size = f"{removal.size_bytes / MIB:,.1f}" if removal.size_bytes else ""
    return (readable(removal.model) or "(project)", removal.kind, f"{removal.n:,}", size)
