"""What a pruning or an erasure removed, as lines."""

from __future__ import annotations

from collections.abc import Sequence

from cli.output import section, table, utc_text
from core.erasure.outcome import ErasureOutcome, ErasureRecord
from core.retention.outcome import PruneOutcome, Removal
from core.text import readable

MIB = 1024 * 1024
PLACE = 300


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


def erasure_lines(outcome: ErasureOutcome) -> list[str]:
    """Return a table of what was removed, and one line for each thing that remains."""
    verb = "WOULD REMOVE" if outcome.dry_run else "REMOVED"
    rows = [(one.what, f"{one.n:,}", readable(one.where, PLACE)) for one in outcome.removed]
    remaining = [
        f"{one.what} {readable(one.where, PLACE)}"
        f"{'' if one.n is None else f' ({one.n:,} rows)' if one.n != 1 else ' (1 row)'}: {one.why}"
        for one in outcome.remaining
    ]
    return [
        *(table((verb, "N", "WHERE"), rows) or ["no rows of this key to remove"]),
        *section(["not removed:", *(f"- {line}" for line in remaining)] if remaining else []),
        *([f"recorded as {outcome.id}"] if outcome.id else []),
    ]


def record_lines(records: Sequence[ErasureRecord]) -> list[str]:
    """Return a table of recorded erasures, oldest first."""
    rows = [
        (
            utc_text(record.started_at),
            readable(record.actor),
            "interrupted or running" if record.finished_at is None else _numbers(record),
            readable(record.reason, PLACE) or "–",
            record.id,
        )
        for record in records
    ]
    return table(("STARTED (UTC)", "BY", "REMOVED", "REASON", "ID"), rows) or ["nothing was forgotten yet"]


def _numbers(record: ErasureRecord) -> str:
    removed = record.document.get("removed", {})
    return ", ".join(f"{n:,} {what}" for what, n in removed.items()) or "nothing"
