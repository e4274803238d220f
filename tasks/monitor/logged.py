"""Ranges of the prediction log as windows: what was answered in them, and which is the next."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from sqlalchemy import Engine

from config.schema import ModelConfig
from core.drift.monitored_window import AnsweredRows, LoggedWindow, MonitoredWindow
from core.drift.windows import EarlierWindow
from core.served.windows import LogRange, next_range
from core.text import counted
from store.log.served import ServedRange, judged_ranges, served_groups


def next_log_range(engine: Engine, config: ModelConfig, now: datetime) -> LogRange:
    """Return the range of the log that no window has judged yet."""
    judged = judged_ranges(engine, config.model)
    spans = [(since.replace(tzinfo=UTC), until.replace(tzinfo=UTC)) for since, until in judged]
    return next_range(spans, now, config.monitor.window_hours)


def logged_rows(engine: Engine, model: str, span: LogRange, as_of: datetime) -> LoggedWindow:
    """Count a range's rows by version and role; none of them is read.

    Parameters
    ----------
    as_of
        Labels that are known by this time count, with time zone.
    """
    groups = served_groups(engine, ServedRange(model, span.since, span.until))
    return LoggedWindow(
        since=span.since,
        until=span.until,
        as_of=as_of,
        answered=tuple(AnsweredRows(one.version, one.variant, one.n_rows) for one in groups if one.is_answer),
        n_shadow=sum(one.n_rows for one in groups if one.variant == "shadow"),
        n_failed=sum(one.n_rows for one in groups if one.failed and one.variant != "shadow"),
    )


def log_notes(log: LoggedWindow) -> tuple[str, ...]:
    """Return sentences about the rows of a range that are there, and that are left out."""
    span = f"from {log.since:%Y-%m-%d %H:%M} to {log.until:%Y-%m-%d %H:%M} UTC"
    if not log.answered:
        found = [f"the prediction log has no answered rows of this model {span}"]
    else:
        groups = (f"{counted(one.n_rows, 'row')} of version {one.version} ({one.variant})" for one in log.answered)
        found = [f"predictions {span}: {', '.join(groups)}"]
    if log.n_shadow or log.n_failed:
        left_out = f"{log.n_shadow:,} that a shadow answered and {log.n_failed:,} that failed"
        found.append(f"rows that no client has an answer to are left out: {left_out}")
    return tuple(found)


def pending_batches(names: Sequence[str], earlier: Sequence[EarlierWindow], window: MonitoredWindow) -> list[str]:
    """Return the batches of a window that no decision about the same champion and reference has judged.

    Parameters
    ----------
    names
        Names of the batches that the usual choice takes.
    earlier
        Recorded windows of the model.
    window
        The window of these batches.
    """
    same = [one for one in earlier if (one.champion, one.against) == (window.champion, window.against)]
    judged = {name for one in same for name in one.batches}
    return [name for name in names if name not in judged]
