"""When a process that shows no sign of life is restarted."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

HANG_SECONDS = 60.0
"""A process that was healthy and has shown no sign of life for this long hangs, unless a setting says otherwise."""

START_SECONDS = 180.0
"""The same for a process that has not been healthy since its start; creating a database takes a minute."""

MAX_DOUBLINGS = 4
"""Both are doubled with each restart, so a restart that does not help is repeated less and less often."""

STEADY_SECONDS = 600.0
"""A process that was healthy for this long starts again with the first deadline."""

Health = Literal["healthy", "unresponsive", "unknown"]
"""``unknown``: what would show it is away, such as Prefect, which receives the worker's heartbeats."""


class PatientClock:
    """Seconds during which this process could look: a step between two readings counts at most so much.

    When a supervisor was stopped, or the machine slept or was too busy to run it, the processes that it watches had no
    time either.

    Parameters
    ----------
    max_step
        Most seconds that a step counts.
    clock
        Monotonic clock, in seconds.
    """

    def __init__(self, max_step: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._max_step = max_step
        self._clock = clock
        self._last = clock()
        self._seconds = 0.0

    def read(self) -> float:
        """Return the seconds since the start of the clock."""
        now = self._clock()
        self._seconds += min(self._max_step, max(0.0, now - self._last))
        self._last = now
        return self._seconds


@dataclass
class Patience:
    """Signs of life of one process after the other in the same place.

    Parameters
    ----------
    hang_seconds
        Time without a sign of life after which a process that was healthy is restarted.
    pid
        The present process; 0 if there is none.
    n_restarts
        Restarts in a row, without a steady time between them.
    """

    hang_seconds: float = HANG_SECONDS
    pid: int = 0
    n_restarts: int = 0
    _heard: float = field(default=0.0, init=False)
    _healthy_since: float | None = field(default=None, init=False)

    @property
    def deadline(self) -> float:
        """Seconds that the process may show no sign of life."""
        base = START_SECONDS if self._healthy_since is None else self.hang_seconds
        return float(base * 2 ** min(self.n_restarts, MAX_DOUBLINGS))

    def look(self, pid: int, health: Health, now: float) -> bool:
        """Take a sign of life, or its absence; return whether the process is to be restarted.

        Parameters
        ----------
        pid
            The process; 0 if there is none.
        health
            What it shows.
        now
            Seconds of a :class:`PatientClock`.
        """
        if pid != self.pid:
            self.pid, self._heard, self._healthy_since = pid, now, None
        if health == "healthy":
            self._healthy_since = now if self._healthy_since is None else self._healthy_since
            if now - self._healthy_since > STEADY_SECONDS:
                self.n_restarts = 0
        if health != "unresponsive" or not pid:
            self._heard = now
            return False
        return now - self._heard > self.deadline

    def note_restart(self) -> None:
        """Give the next process more time."""
        self.n_restarts += 1
