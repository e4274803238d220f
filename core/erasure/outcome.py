"""Result of an erasure: what was removed, and what remains and why."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal

What = Literal[
    "logged predictions",
    "labels",
    "rows of batches",
    "cache objects",
    "remote objects",
    "snapshots",
    "quarantined rows",
    "validation reports",
    "scored rows",
    "unfinished scorings",
    "work files",
]
"""What an erasure removes."""


@dataclass(frozen=True)
class Removed:
    """What was removed in a place.

    Parameters
    ----------
    what
        Kind.
    where
        Table, file or folder.
    n
        Number of rows, objects or folders.
    """

    what: What
    where: str
    n: int


@dataclass(frozen=True)
class Remaining:
    """What may hold or reflect the entity's rows and was not removed.

    Parameters
    ----------
    what
        Kind, such as ``trained version``.
    where
        Its name or address.
    why
        Why it stays, and what can be done.
    n
        Number of rows, if known.
    """

    what: str
    where: str
    why: str
    n: int | None = None


@dataclass(frozen=True)
class Found:
    """What a part of an erasure removed and left."""

    removed: tuple[Removed, ...] = ()
    remaining: tuple[Remaining, ...] = ()


@dataclass(frozen=True)
class ErasureOutcome:
    """Result of the command ``forget``.

    Parameters
    ----------
    model
        Name of the model.
    dry_run
        Whether nothing was removed.
    removed, remaining
        What was removed, or would be, and what was not.
    id
        Id of its record; empty for a dry run.
    """

    model: str
    dry_run: bool
    removed: tuple[Removed, ...]
    remaining: tuple[Remaining, ...]
    id: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as values that JSON can hold."""
        return asdict(self)

    def record(self) -> dict[str, Any]:
        """Return what the record keeps: numbers by kind, without names, which may contain the key."""
        removed: dict[str, int] = {}
        for one in self.removed:
            removed[one.what] = removed.get(one.what, 0) + one.n
        remaining = {one.what: sum(other.what == one.what for other in self.remaining) for one in self.remaining}
        return {"removed": removed, "remaining": remaining}


def together(parts: Iterable[Found]) -> Found:
    """Return several parts as one, in their order; numbers of the same kind and place are summed up."""
    found = [*parts]
    numbers: dict[tuple[What, str], int] = {}
    for one in (one for part in found for one in part.removed):
        numbers[one.what, one.where] = numbers.get((one.what, one.where), 0) + one.n
    removed = tuple(Removed(what, where, n) for (what, where), n in numbers.items())
    return Found(removed, tuple(one for part in found for one in part.remaining))


@dataclass(frozen=True)
class ErasureRecord:
    """The record of an erasure; it has no key, and nothing that a key could be found from.

    Parameters
    ----------
    id
        UUID.
    model
        Name of the model.
    actor
        Who erased, as ``user@host``.
    reason
        The given reason, such as the number of the request; may be empty.
    started_at, finished_at
        Times with time zone; ``finished_at`` is None while it runs and if it was interrupted.
    document
        See :meth:`ErasureOutcome.record`; empty until it has finished.
    """

    id: str
    model: str
    actor: str
    reason: str
    started_at: datetime
    finished_at: datetime | None
    document: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as values that JSON can hold."""
        ended = None if self.finished_at is None else self.finished_at.isoformat()
        return {**asdict(self), "started_at": self.started_at.isoformat(), "finished_at": ended}
