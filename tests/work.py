"""Processor time of a piece of work, in a unit that does not depend on the machine or on what else it does."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

UNIT_STEPS = 1_000_000
"""Steps of the loop that is one unit of work: 30 to 60 ms of a processor of 2024."""


@dataclass
class Work:
    """Work that was done.

    Parameters
    ----------
    units
        Processor time of all threads, in loops of a million steps; known once the block is left.
    """

    units: float = 0.0


@contextmanager
def measured() -> Iterator[Work]:
    """Measure a block in units of a loop that runs just before and just after it, which a busy machine slows alike."""
    work, before = Work(), unit_seconds()
    began = time.process_time()
    yield work
    seconds = time.process_time() - began
    work.units = 2 * seconds / (before + unit_seconds())


def unit_seconds() -> float:
    """Return the processor time of one unit, measured now."""
    began, total = time.process_time(), 0
    for number in range(UNIT_STEPS):
        total ^= number
    return time.process_time() - began
