"""Which items of a kind may be removed, by number, age and need."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from typing import Literal

Kind = Literal[
    "labels",
    "scorings",
    "triggers",
    "events",
    "alerts",
    "drift documents",
    "drift runs",
    "unfinished runs",
    "version files",
    "training reports",
    "drift reports",
    "validation reports",
    "quarantined rows",
    "unfinished scorings",
    "snapshots",
    "bundle copies",
    "leftovers",
    "logs",
    "cache objects",
    "flow runs",
]


@dataclass(frozen=True)
class Item:
    """Something that retention may remove.

    Parameters
    ----------
    kind
        What it is.
    model
        Model that it belongs to; empty if it belongs to the whole project.
    name
        Identifies it among the items of its kind and model.
    at
        When it was written or last used, with time zone.
    size_bytes
        Its size on disk; 0 if it is not known, as for rows of a database.
    count
        Number of rows, runs or files in it.
    needed
        Why it has to stay; empty if nothing needs it.
    """

    kind: Kind
    model: str
    name: str
    at: datetime
    size_bytes: int = 0
    count: int = 1
    needed: str = ""


@dataclass(frozen=True)
class Rule:
    """How much of a kind is kept.

    Parameters
    ----------
    newest
        Number of newest items of each model that stay, whatever their age.
    age
        Younger items stay.
    """

    newest: int = 0
    age: timedelta = timedelta(0)


def expired(items: Iterable[Item], rule: Rule, now: datetime) -> list[Item]:
    """Return the items that may be removed, by model, oldest first.

    An item is removed if it is not among the newest of its model, is older than the rule's age, and nothing needs it.
    A needed item counts among the newest. Of two items of the same time, the one with the later name is the newer.

    Parameters
    ----------
    items
        Items of one kind.
    rule
        How much is kept.
    now
        The present time, with time zone.

    Examples
    --------
    >>> from datetime import UTC
    >>> now = datetime(2026, 3, 1, tzinfo=UTC)
    >>> old = [Item("snapshots", "credit", str(day), now - timedelta(days=day)) for day in (1, 2, 3)]
    >>> [item.name for item in expired(old, Rule(newest=1), now)]
    ['3', '2']
    >>> [item.name for item in expired(old, Rule(age=timedelta(days=2)), now)]
    ['3']
    """
    ordered = sorted(items, key=lambda item: (item.model, item.at, item.name))
    found: list[Item] = []
    for _, group in groupby(ordered, key=lambda item: item.model):
        of_model = list(group)
        found += _removable(of_model[: max(0, len(of_model) - rule.newest)], now - rule.age)
    return found


def _removable(items: Sequence[Item], before: datetime) -> list[Item]:
    return [item for item in items if item.at < before and not item.needed]
