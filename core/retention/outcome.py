"""What a pruning removed, or would remove."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import Any

from core.retention.items import Item, Kind


@dataclass(frozen=True)
class Removal:
    """The removed items of one kind and model.

    Parameters
    ----------
    kind, model
        What was removed; ``model`` is empty if it belongs to the whole project.
    n
        Number of rows, runs, versions, folders or files.
    size_bytes
        Their size on disk; 0 for rows of a database.
    names
        Their names, oldest first.
    """

    kind: Kind
    model: str
    n: int
    size_bytes: int
    names: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as values that JSON can hold."""
        return {**asdict(self), "names": list(self.names)}


@dataclass(frozen=True)
class Skipped:
    """Something that was not looked at, and why."""

    what: str
    reason: str


@dataclass(frozen=True)
class PruneOutcome:
    """Result of the flow and command ``prune``.

    Parameters
    ----------
    dry_run
        Whether nothing was removed.
    removals
        What was removed, or would be.
    skipped
        What was in use or away; the next pruning looks at it again.
    """

    dry_run: bool
    removals: tuple[Removal, ...]
    skipped: tuple[Skipped, ...] = ()

    @property
    def size_bytes(self) -> int:
        """Size of everything removed."""
        return sum(removal.size_bytes for removal in self.removals)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as values that JSON can hold."""
        return {
            "dry_run": self.dry_run,
            "size_bytes": self.size_bytes,
            "removed": [removal.to_dict() for removal in self.removals],
            "skipped": [asdict(one) for one in self.skipped],
        }


def merged(outcomes: Sequence[PruneOutcome]) -> PruneOutcome:
    """Return several outcomes as one, in their order."""
    return PruneOutcome(
        dry_run=any(outcome.dry_run for outcome in outcomes),
        removals=tuple(removal for outcome in outcomes for removal in outcome.removals),
        skipped=tuple(one for outcome in outcomes for one in outcome.skipped),
    )


def removals(items: Iterable[Item]) -> tuple[Removal, ...]:
    """Sum items up by model and kind; the order of kinds within a model is that of the items."""
    kinds: dict[tuple[str, Kind], list[Item]] = {}
    for item in items:
        kinds.setdefault((item.model, item.kind), []).append(item)
    return tuple(
        Removal(kind, model, sum(item.count for item in found), sum(item.size_bytes for item in found), _names(found))
        for (model, kind), found in kinds.items()
    )


def _names(items: Iterable[Item]) -> tuple[str, ...]:
    return tuple(name for name, _ in groupby(item.name for item in items))
