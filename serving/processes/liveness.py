"""Whether a worker makes progress: while it starts, and while it serves.

A start may be slow: on a busy host the imports of a worker take minutes. It is ended only if it shows no progress for
longer than its deadline, which doubles with each start that was ended.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from serving.processes.start import BEAT

BEAT_DEADLINE_SECONDS = 30.0
"""A serving worker whose event loop has been blocked for this long is unresponsive."""

START_DEADLINE_SECONDS = 60.0
MAX_START_DEADLINE_SECONDS = 960.0
"""Bounds of the time without progress after which a start is ended."""

WHOLE_START = 10
"""Deadlines that a start may take in all, for a start that computes and never ends."""

SLOW_START_SECONDS = 30.0
"""A start that takes longer is reported once."""

Liveness = Literal["serving", "starting", "slow", "hung"]


@dataclass
class Vigil:
    """Watches one worker after the other in the same place.

    Parameters
    ----------
    deadline
        Seconds that the present start may show no progress.
    """

    deadline: float = START_DEADLINE_SECONDS
    is_serving: bool = field(default=False, init=False)
    stage: str = field(default="", init=False)
    _began: float = field(default=0.0, init=False)
    _heard: float = field(default=0.0, init=False)

    def begin(self, now: float) -> None:
        """Note that a worker is being started."""
        self._began = self._heard = now
        self.is_serving, self.stage = False, "nothing imported"

    def hear(self, said: bytes, now: float) -> None:
        """Take the lines that a worker has written, see :mod:`serving.processes.start`."""
        if BEAT in said:
            self.is_serving, self._heard = True, now
            self.deadline = START_DEADLINE_SECONDS
        elif said and not self.is_serving:
            # Of a serving worker only the event loop's beats count: its other threads may go on when the loop hangs.
            self._heard = now
            self.stage = f"{said.splitlines()[-1].decode()} modules imported"

    def state(self, now: float) -> Liveness:
        """Return the state of the worker."""
        silent = now - self._heard
        if self.is_serving:
            return "hung" if silent > BEAT_DEADLINE_SECONDS else "serving"
        if silent > self.deadline or now - self._began > WHOLE_START * self.deadline:
            return "hung"
        return "slow" if now - self._began > SLOW_START_SECONDS else "starting"

    def lengthen(self) -> None:
        """Give the next start more time."""
        self.deadline = min(MAX_START_DEADLINE_SECONDS, 2 * self.deadline)
