"""History of a model's data: its versions, and the batches in the working copy."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True)
class VersionEntry:
    """One data version.

    Parameters
    ----------
    version
        32 hex digits and ``.dir``.
    created_at
        When it was created in this clone; None in a clone that only fetched its name.
    n_rows, n_batches, size_bytes
        Number of rows, number of batches and size; rows and size are None if only the name was fetched.
    git_commit
        Commit that was checked out when it was created; empty if unknown.
    is_current
        Whether the working copy holds this version.
    """

    version: str
    created_at: datetime | None
    n_rows: int | None
    n_batches: int
    size_bytes: int | None
    git_commit: str
    is_current: bool


@dataclass(frozen=True)
class BatchEntry:
    """One batch of the working copy.

    Parameters
    ----------
    name
        Name of the batch.
    n_rows, size_bytes
        Number of rows and size of the file.
    source
        Where the rows came from.
    first_time, last_time
        Earliest and latest value of the model's time column; None if there is none.
    ingested_at, n_quarantined
        Time of ingestion and number of rows set aside; None in a clone that did not ingest the batch.
    """

    name: str
    n_rows: int
    size_bytes: int
    source: str
    first_time: datetime | None
    last_time: datetime | None
    ingested_at: datetime | None
    n_quarantined: int | None


@dataclass(frozen=True)
class DataHistory:
    """Data versions and batches of one model.

    Parameters
    ----------
    model
        Name of the model.
    versions
        Data versions, oldest first.
    batches
        Batches of the working copy, in order of ingestion.
    n_rows, n_distinct
        Number of rows in the batches, and how many are left if each is counted once: distinct rows, or with a unique
        key the newest row of each key. ``n_distinct`` is None if it cannot be counted.
    """

    model: str
    versions: tuple[VersionEntry, ...]
    batches: tuple[BatchEntry, ...]
    n_rows: int = 0
    n_distinct: int | None = None

    @property
    def current(self) -> str | None:
        """Version of the working copy; None if it has no batch."""
        return next((entry.version for entry in self.versions if entry.is_current), None)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as values that JSON can hold, times in ISO 8601."""
        content: dict[str, Any] = _plain(asdict(self))
        return content


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value.isoformat() if isinstance(value, datetime) else value
