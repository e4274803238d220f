"""The rows of a window as files: its batches, or a range of the prediction log that is written to one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC
from pathlib import Path

from config.settings import Settings
from core.data.cells import in_utc
from core.drift.monitored_window import LoggedWindow, MonitoredWindow
from core.drift.verdict import WindowFacts
from core.text import counted
from store.log.served import ServedRange
from tasks.monitor.reference import Reference
from tasks.served.staged import staged_window


@dataclass(frozen=True)
class WindowFiles:
    """Files with a window's rows.

    Parameters
    ----------
    paths
        The files, in order.
    log
        The range of the log that they are of; None for batches.
    outputs
        Columns with the served predictions.
    n_incomplete
        Rows of the log that lack a column of the champion.
    """

    paths: tuple[Path, ...]
    log: LoggedWindow | None = None
    outputs: tuple[str, ...] = ()
    n_incomplete: int = 0

    @property
    def name(self) -> str:
        """What the rows are of."""
        return "the prediction log" if self.log else counted(len(self.paths), "batch", "batches")

    def reference(self, reference: Reference) -> Reference:
        """Return the reference without columns that the rows cannot have: the log has features and keys only."""
        if self.log is None:
            return reference
        return replace(reference, profile=replace(reference.profile, unused=()))

    def facts(self, facts: WindowFacts) -> WindowFacts:
        """Add what is known about rows of the log."""
        log = self.log
        if log is None:
            return facts
        timed = facts.first_time is not None or not facts.n_rows
        return replace(
            facts,
            source="predictions",
            answered=log.answered,
            n_shadow=log.n_shadow,
            n_failed=log.n_failed,
            n_incomplete=self.n_incomplete,
            labels_as_of=log.as_of,
            # Without a time column the answers' times tell which windows share rows.
            first_time=facts.first_time if timed else in_utc(log.since),
            last_time=facts.last_time if timed else in_utc(log.until),
            notes=(*facts.notes, *_incomplete(self.n_incomplete)),
        )


@contextmanager
def window_files(window: MonitoredWindow, champion: Reference, settings: Settings) -> Iterator[WindowFiles]:
    """Return the files of a window; those of the log are removed when the block ends.

    Raises
    ------
    StorageError
        The operational database or the disk failed.
    """
    if window.log is None:
        yield WindowFiles(window.paths)
        return
    with log_files(champion, window.champion, window.log, settings) as files:
        yield files


@contextmanager
def log_files(champion: Reference, version: int, log: LoggedWindow, settings: Settings) -> Iterator[WindowFiles]:
    """Write a range of the log to a file that is there until the block ends.

    Parameters
    ----------
    champion, version
        The champion whose features the rows are read with, and whose answers are its served predictions.
    log
        The range.

    Raises
    ------
    StorageError
        The operational database or the disk failed.
    """
    asked = ServedRange(champion.config.model, log.since, log.until)
    with staged_window(champion.config, champion.contract, version, asked, log.as_of, settings) as staged:
        yield WindowFiles((staged.path,), log, staged.outputs, staged.n_incomplete)


def logged_window(facts: WindowFacts) -> LoggedWindow | None:
    """Return the range of the log that a recorded window was of; None for batches."""
    if facts.source != "predictions" or facts.since is None or facts.until is None or facts.labels_as_of is None:
        return None
    since, until = (moment.replace(tzinfo=UTC) for moment in (facts.since, facts.until))
    return LoggedWindow(since, until, facts.labels_as_of, facts.answered, facts.n_shadow, facts.n_failed)


def _incomplete(n_rows: int) -> Sequence[str]:
    if not n_rows:
        return ()
    return (
        f"{counted(n_rows, 'row')} that versions with other features answered lack columns of the champion: left out",
    )
