"""What a delivery of a source brought: the identity of the source, and how its rows compare with stored ones."""

from __future__ import annotations

import re

from core.references import RowCounts
from core.text import counted, listed

_SIMULATED_MONTHS = re.compile(r"^\d+ (?=simulated months )")


def source_id(source: str) -> str:
    """Return what identifies a source in the name that its batches record.

    Examples
    --------
    >>> source_id("./raw/"), source_id("12 simulated months (seed 7)")
    ('raw', 'simulated months (seed 7)')
    """
    name = _SIMULATED_MONTHS.sub("", source)
    return name if "://" in name else name.removeprefix("./").rstrip("/") or name


def row_notes(counts: RowCounts, n_written: int, *, keyed: bool) -> tuple[str, ...]:
    """Describe the numbers in sentences; there is nothing to say about a first batch.

    Parameters
    ----------
    counts
        The comparison with earlier batches.
    n_written
        Rows that were written as a batch.
    keyed
        Whether a row replaces the older row of its key.

    Examples
    --------
    >>> row_notes(RowCounts(n_known=800), 50, keyed=False)
    ('850 rows: 800 known from earlier batches and left out, 50 new',)
    """
    return (*_compared(counts, n_written), *_without(counts), *_gone(counts, keyed))


def _compared(counts: RowCounts, n_written: int) -> tuple[str, ...]:
    if not counts.n_known and not counts.n_replaced:
        return ()
    known = f"{counts.n_known:,} known from earlier batches and left out"
    replaced = f"{counts.n_replaced:,} in place of an older row of the same key"
    parts = [known] * bool(counts.n_known) + [replaced] * bool(counts.n_replaced)
    return (f"{counted(counts.n_known + n_written, 'row')}: {', '.join(parts)}, {n_written - counts.n_replaced:,} new",)


def _without(counts: RowCounts) -> tuple[str, ...]:
    if not counts.n_known or not counts.not_compared:
        return ()
    return (
        f"compared without {listed(counts.not_compared)}, which the model file declares and earlier batches lack: "
        "known rows stay without a value there",
    )


def _gone(counts: RowCounts, keyed: bool) -> tuple[str, ...]:
    # With a key, a delivery of new rows alone is as usual as one of all rows: only the latter can have shrunk.
    if not counts.n_gone or (keyed and counts.n_known + counts.n_replaced < counts.n_gone):
        return ()
    advice = "" if keyed else "; if the source delivers new rows only, set 'source.append: true'"
    rows = counted(counts.n_gone, "row")
    return (f"not in this delivery: {rows} of earlier batches of this source, kept in the data{advice}",)
