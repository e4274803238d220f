"""Which models of a worker stay in memory, decided without a clock and without loading."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from serving.bundle.reader import GRAPH, PIPELINE, Manifest

STAY_FACTOR = 10
"""A loaded model stays for so many times the time that its load took: loads take a tenth of the time at most."""

MODEL_BYTES = 500_000
GRAPH_FACTOR = 4.2
PIPELINE_FACTOR = 1.1
"""Memory of a model: a fixed part, and so many bytes per byte of the graph, or of the pipeline; measured."""


@dataclass(slots=True)
class Resident:
    """A model in memory.

    Parameters
    ----------
    size
        Estimated bytes.
    since, took
        When it was loaded, and the seconds that took.
    used
        When it was last used, on the same clock.
    """

    size: int
    since: float
    took: float
    used: float


@dataclass(frozen=True)
class Room:
    """Where a model finds its place: the models that leave for it, or the seconds until some may."""

    leaving: tuple[str, ...] = ()
    wait: float = 0.0


def room_for(size: int, residents: Mapping[str, Resident], most: int, now: float) -> Room:
    """Return what makes room for a model: the least recently used models leave.

    A model larger than the bound is loaded alone, because otherwise it could never be served.

    Parameters
    ----------
    size
        Estimated bytes of the model.
    residents
        Models in memory.
    most
        Bound of the sum of their bytes.
    now
        Time on the clock of :class:`Resident`.

    Examples
    --------
    >>> old, new = Resident(60, since=0.0, took=1.0, used=5.0), Resident(30, since=8.0, took=1.0, used=8.0)
    >>> room_for(50, {"new": new, "old": old}, 100, now=11.0)
    Room(leaving=('old',), wait=0.0)
    >>> room_for(100, {"new": new, "old": old}, 100, now=11.0)
    Room(leaving=(), wait=7.0)
    """
    missing = min(size, most) + sum(one.size for one in residents.values()) - most
    leaving: list[str] = []
    for name, one in sorted(residents.items(), key=lambda item: item[1].used):
        if missing <= 0:
            break
        if _stays(one, now) <= 0:
            leaving.append(name)
            missing -= one.size
    if missing <= 0:
        return Room(tuple(leaving))
    return Room(wait=min(stays for one in residents.values() if (stays := _stays(one, now)) > 0))


def _stays(one: Resident, now: float) -> float:
    return one.since + STAY_FACTOR * one.took - now


def memory_of(manifest: Manifest) -> int:
    """Estimate the bytes that a bundle's graph or pipeline takes in memory."""
    files = manifest.by_path
    if GRAPH in files:
        return MODEL_BYTES + int(GRAPH_FACTOR * files[GRAPH].size)
    # skops stores without compression.
    return MODEL_BYTES + int(PIPELINE_FACTOR * files[PIPELINE].size)
