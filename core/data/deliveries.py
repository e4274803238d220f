"""What a delivery of a source brought: the identity of the source, and how its rows compare with stored ones."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from core.references import DeliveredFiles, RowCounts
from core.text import counted, listed

PREDICTION_LOG = "the prediction log"
"""Source that batches of served rows record."""

_SIMULATED_MONTHS = re.compile(r"^\d+ (?=simulated months )")


@dataclass(frozen=True)
class ReadBefore:
    """What a batch records of the delivery that it was written from.

    Parameters
    ----------
    batch
        Name of the batch.
    n_rows
        Its number of rows.
    n_read, n_offered
        Number of rows that were read, and of those that the validation accepted; None if it is not on record.
    files, reading, fingerprint
        See :class:`~core.references.DeliveredFiles` (the files that were read) and
        :class:`~core.references.StagedRows`.
    source
        Where the rows came from.
    """

    batch: str
    n_rows: int
    n_read: int | None
    files: tuple[str, ...]
    reading: str
    fingerprint: str
    n_offered: int | None = None
    source: str = ""

    @property
    def is_whole(self) -> bool:
        """Whether the batch holds every row of its files: none was known or set aside."""
        return bool(self.files) and self.n_read == self.n_rows


def files_to_read(
    files: Sequence[str], reading: str, before: Sequence[ReadBefore], *, append: bool, replaces: bool = False
) -> tuple[list[int], list[ReadBefore]]:
    """Return the positions of the files to read, and the batches that hold the rows of the others.

    Of files with the same content, the first is read: the others are copies. A file of a source that delivers new rows
    only is left out if its content was ever read. Otherwise the rows are compared by number with those of earlier
    batches, so files are left out together with the batches that hold exactly their rows: neither side is compared.
    They must have been read as they would be now.

    Parameters
    ----------
    files
        Hashes of the files of the delivery.
    reading
        Hash of how they would be read.
    before
        The model's batches in order.
    append
        Whether the source delivers new rows only.
    replaces
        Whether a row replaces the older row of its key. Then the files are read unless the newest batch was written
        from exactly these: a file that was read earlier may revert rows that another one changed.

    Examples
    --------
    >>> january = ReadBefore("0001-a", 80, 80, ("a",), "r", "f")
    >>> files_to_read(["a", "b"], "r", [january], append=False)[0]
    [1]
    """
    first = {file: files.index(file) for file in files}
    if replaces:
        newest = list(before[-1:])
        return ([], newest) if is_repeated(files, reading, newest) else ([*first.values()], [])
    if append:
        known = {file for batch in before for file in batch.files}
        holding = [batch for batch in before if set(batch.files) & set(files)]
        return [place for file, place in first.items() if file not in known], holding
    left, covered = set(first), []
    for batch in before:
        if batch.is_whole and batch.reading == reading and left.issuperset(batch.files):
            left.difference_update(batch.files)
            covered.append(batch)
    return [place for file, place in first.items() if file in left], covered


def is_repeated(files: Sequence[str], reading: str, before: Sequence[ReadBefore]) -> bool:
    """Return whether a batch was written from exactly these files, read as now, and no row was set aside.

    Their rows are the ones that were offered then, so that comparing them with the batches again finds nothing new.

    Parameters
    ----------
    files
        Hashes of the files to read.
    reading
        Hash of how they would be read.
    before
        The batches to look at.

    Examples
    --------
    >>> grown = ReadBefore("0002-a", 50, 850, ("b",), "r", "f", n_offered=850)
    >>> is_repeated(["b"], "r", [grown]), is_repeated(["b"], "other", [grown])
    (True, False)
    """
    return any(
        batch.reading == reading
        and set(batch.files) == set(files)
        and batch.n_read is not None
        and batch.n_read == batch.n_offered
        for batch in before
    )


def file_notes(files: DeliveredFiles) -> tuple[str, ...]:
    """Describe files that were not read; none if all were read.

    Examples
    --------
    >>> file_notes(DeliveredFiles(all=("a", "b"), read=("b",)))
    ('1 of 2 files has the content of another file, or of one that was read before: not read again',)
    """
    if not files.n_skipped:
        return ()
    verb = "has" if files.n_skipped == 1 else "have"
    of_all = f"{files.n_skipped:,} of {counted(len(files.all), 'file')}"
    return (f"{of_all} {verb} the content of another file, or of one that was read before: not read again",)


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
    return (*_compared(counts, n_written), *_without(counts), *_gone(counts, n_written, keyed=keyed))


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


def _gone(counts: RowCounts, n_written: int, *, keyed: bool) -> tuple[str, ...]:
    # With a key, a delivery of new rows alone is as usual as one of all rows: only the latter can have shrunk. It holds
    # most of the stored rows, or most of its own rows are known.
    has_most = counts.n_known + counts.n_replaced >= counts.n_gone or counts.n_known > n_written
    if not counts.n_gone or (keyed and not has_most):
        return ()
    # A delivery that holds most of the stored rows is one of all rows.
    advice = (
        "; if the source delivers new rows only, set 'source.append: true'" if counts.n_known < counts.n_gone else ""
    )
    rows = counted(counts.n_gone, "row")
    return (f"not in this delivery: {rows} of earlier batches of this source, kept in the data{advice}",)
