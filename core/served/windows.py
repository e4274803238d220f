"""Which rows are monitored if none are asked for: batches or the prediction log, and which range of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from core.errors import ConfigError

Source = Literal["batches", "predictions"]
Asked = Literal["auto", "batches", "predictions"]

SETTLED = timedelta(minutes=1)
"""Age from which an answer is in the log: with ``log=async`` it is written after it was sent."""

MOST_WINDOWS = 7
"""Longest range without a request for it, in lengths of a window: a week of daily ones."""


@dataclass(frozen=True)
class LogRange:
    """A range of the prediction log.

    Parameters
    ----------
    since, until
        Its ends with time zone; the end is not part of it.
    notes
        Sentences about the choice.
    """

    since: datetime
    until: datetime
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class SourceChoice:
    """Where the rows of a window come from, and sentences about the choice."""

    source: Source
    notes: tuple[str, ...] = ()


def next_range(judged: Sequence[tuple[datetime, datetime]], now: datetime, window_hours: float) -> LogRange:
    """Return the range of the log that no window has judged yet, in whole minutes.

    It begins where the latest judged window of the log ended, so that no row is left out and none is judged twice; the
    first begins ``window_hours`` before its end. After a longer pause it has :data:`MOST_WINDOWS` times these hours,
    and a sentence tells what no window has judged. It ends a minute ago, because an answer may be written a little
    later than it was sent.

    Parameters
    ----------
    judged
        Ranges of judged windows of the log, the latest first, with time zone.
    now
        The present time, with time zone.
    window_hours
        ``monitor.window_hours`` of the model file.
    """
    until = (now - SETTLED).replace(second=0, microsecond=0)
    if not judged:
        return LogRange(until - timedelta(hours=window_hours), until)
    since = max(judged[0][1], until - MOST_WINDOWS * timedelta(hours=window_hours))
    notes: tuple[str, ...] = ()
    if since > judged[0][1]:
        notes = (_left_out(judged[0][1], since),)
    elif len(judged) > 1 and judged[0][0] > judged[1][1]:
        notes = (_left_out(judged[1][1], judged[0][0]),)
    if since >= until:
        notes = (*notes, f"the predictions up to {_text(since)} are judged already")
    return LogRange(since, max(since, until), notes)


def asked_range(since: datetime | None, until: datetime | None, now: datetime, window_hours: float) -> LogRange:
    """Return a range of the log that was asked for; without a beginning it has ``window_hours``.

    It ends now at the latest: the next window begins where this one ends, and would leave out what is answered until
    then.

    Parameters
    ----------
    since, until
        Times with time zone; None for no bound.
    now
        The present time, with time zone.
    window_hours
        ``monitor.window_hours`` of the model file.

    Raises
    ------
    ConfigError
        The range is empty.
    """
    end, length = min(until or now, now), timedelta(hours=window_hours)
    start = since or max(end, datetime.min.replace(tzinfo=UTC) + length) - length
    if start >= end:
        raise ConfigError(
            f"expected --since before --until, found {start.isoformat()} and {end.isoformat()}: the range is empty"
        )
    is_later = until is not None and until > now
    return LogRange(start, end, (f"--until is later than now: the window ends at {_text(now)}",) if is_later else ())


def asked_time(option: str, text: str | None) -> datetime | None:
    """Return the time that an option names, with time zone: a text without an offset is UTC, as the log is.

    Raises
    ------
    ConfigError
        The text is no time, or none of the years 1 to 9999 in UTC.

    Examples
    --------
    >>> asked_time("--since", "2026-03-01")
    datetime.datetime(2026, 3, 1, 0, 0, tzinfo=datetime.timezone.utc)
    """
    found = stated_time(option, text)
    if found is None:
        return None
    try:
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
    except OverflowError as error:
        raise ConfigError(f"{option} expects a time of the years 1 to 9999 in UTC, found {text!r}") from error


def stated_time(option: str, text: str | None) -> datetime | None:
    """Return the time that an option names as it is written, with or without a time zone.

    Raises
    ------
    ConfigError
        The text is no time.
    """
    if text is None:
        return None
    try:
        return datetime.fromisoformat(text)
    except ValueError as error:
        raise ConfigError(f"{option} expects a time such as 2026-03-01 or 2026-03-01T12:30, found {text!r}") from error


def chosen_source(asked: Asked, *, n_pending: int, n_logged: int, min_rows: int) -> SourceChoice:
    """Return where the rows of a window come from if neither batches nor a range were asked for.

    Parameters
    ----------
    asked
        ``auto``: the log only if no batch is pending and the log has enough rows for a decision; otherwise batches, as
        without a log.
    n_pending
        Batches that are new to the champion and in no window of it.
    n_logged
        Rows of the log that no window has judged.
    min_rows
        ``drift.min_rows`` of the model file.
    """
    if asked != "auto":
        return SourceChoice(asked)
    if n_pending:
        return SourceChoice("batches")
    if n_logged >= min_rows:
        why = "the service answered this model since the last window, and no batch is pending"
        return SourceChoice("predictions", (f"the rows are those of the prediction log: {why} (monitor.source: auto)",))
    few = (
        f"the prediction log has {n_logged:,} rows that no window has judged, fewer than drift.min_rows ({min_rows:,})"
    )
    return SourceChoice("batches", (few,) if n_logged else ())


def _left_out(since: datetime, until: datetime) -> str:
    span = f"{_text(since)} to {_text(until)}"
    return f"no window has judged the predictions from {span}: --source predictions --since and --until do"


def _text(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"
