"""Run the follower in a thread, and start another thread when that one hangs.

A thread cannot be ended. One that hangs, such as in a connection to a database that neither answers nor closes, is left
behind and told to publish nothing any more.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

_logger = logging.getLogger("perennial.following")

STEP_SECONDS = 120.0
"""Time for a step that waits for the database or the disk: a busy SQLite file alone may take 30 s."""

MAX_DOUBLINGS = 4
"""Each thread has twice the time of the one before, so that those left behind stay few."""


@dataclass
class Pulse:
    """Signs of life of one thread."""

    stop: threading.Event = field(default_factory=threading.Event)
    allowed: float = STEP_SECONDS
    count: int = 0

    def beat(self, allowed: float = STEP_SECONDS) -> None:
        """Show that the thread goes on; the next sign may take so many seconds."""
        self.allowed, self.count = allowed, self.count + 1


class Following:
    """Keeps a thread that follows the champions.

    Parameters
    ----------
    follow
        Follows until ``pulse.stop`` is set, and beats before each step.
    """

    def __init__(self, follow: Callable[[Pulse], None]) -> None:
        self._follow = follow
        self._pulse = Pulse()
        self._thread: threading.Thread | None = None
        self._count = 0
        self._heard = 0.0
        self._n_left = 0

    def keep(self, now: float) -> None:
        """Start the thread, and replace one that hangs or ended.

        Parameters
        ----------
        now
            Seconds of a :class:`core.operate.patience.PatientClock`.
        """
        if self._thread is None:
            self._start(now)
            return
        if self._pulse.count != self._count:
            self._count, self._heard = self._pulse.count, now
        deadline = self._pulse.allowed * 2 ** min(self._n_left, MAX_DOUBLINGS)
        if self._thread.is_alive() and now - self._heard <= deadline:
            return
        what = "showed no sign of life for {:.0f} s" if self._thread.is_alive() else "ended after {:.0f} s"
        _logger.warning(
            "the thread that follows champions and keys %s; starting another one. Check that the database answers",
            what.format(now - self._heard),
        )
        self._n_left += 1
        self.end()
        self._start(now)

    def end(self) -> None:
        """Tell the thread to end; it publishes nothing after this."""
        self._pulse.stop.set()

    def _start(self, now: float) -> None:
        self._pulse, self._count, self._heard = Pulse(), 0, now
        self._thread = threading.Thread(target=self._follow, args=(self._pulse,), daemon=True)
        self._thread.start()
