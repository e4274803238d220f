"""Data versions and batches as lines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cli.output import section, table
from core.text import counted

if TYPE_CHECKING:
    from datetime import datetime

    from core.data.history import DataHistory


def history_lines(history: DataHistory) -> list[str]:
    """Versions, newest last, and the batches of the working copy."""
    versions = [
        (
            "*" if entry.is_current else "",
            entry.version.removesuffix(".dir"),
            _count(entry.n_rows),
            _count(entry.n_batches),
            _moment(entry.created_at),
            entry.git_commit[:10] or "–",
        )
        for entry in history.versions
    ]
    batches = [
        (
            entry.name,
            _count(entry.n_rows),
            _count(entry.n_quarantined),
            _day(entry.first_time),
            _day(entry.last_time),
            _moment(entry.ingested_at),
            entry.source,
        )
        for entry in history.batches
    ]
    if not versions:
        return [f"no data of {history.model} yet; read it with: perennial ingest {history.model}"]
    header = ("batch", "rows", "set aside", "first", "last", "ingested", "source")
    return [
        *table(("", "data version", "rows", "batches", "made", "commit"), versions),
        *section(table(header, batches)),
        *_counts(history),
    ]


def _counts(history: DataHistory) -> list[str]:
    if not history.batches or history.n_distinct is None:
        return []
    rows, batches = counted(history.n_rows, "row"), counted(len(history.batches), "batch", "batches")
    return ["", f"{rows} in {batches}, {history.n_distinct:,} distinct"]


def _count(value: int | None) -> str:
    return "–" if value is None else f"{value:,}"


def _day(value: datetime | None) -> str:
    return "–" if value is None else str(value.date())


def _moment(value: datetime | None) -> str:
    return "–" if value is None else f"{value.date()} {value:%H:%M}"
