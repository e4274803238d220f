"""Stop asking a released version that harms clients, before any flow looks.

Each worker counts its own requests. The file of an open breaker tells the other workers and the follower, and stays
when a worker is restarted; its name holds the release's number and the start of the stage, so the next stage begins
with a closed one.
"""

from __future__ import annotations

import json
import logging
from collections import deque
from pathlib import Path
from statistics import median
from typing import Literal

_logger = logging.getLogger("perennial.release")

FOLDER = "breakers"
"""Folder of the files in the folder of an instance."""

WINDOW = 20
"""Newest requests to the version that are counted."""

MOST_FAILURES = 4
"""Failures of these that are tolerated; the fifth opens the breaker. A version that fails one request in a hundred
has five among 20 once in 750,000 times, one that fails every second one in nearly all (binomial distribution)."""

FIRST_FAILURES = 3
"""So many failures at the very beginning open it as well: a version that never answers is not asked 5 times."""

LATENCY_RATIO = 10.0
LATENCY_EXCESS = 0.02
"""The median of the newest requests may be 10 times that of the other version, or 20 ms longer; beyond both, the
version holds up the requests of other clients, which wait for the same event loop."""

LEAST_LIMIT = 1.0
"""Seconds that a version in a queue has at least until the other one is asked."""

Kind = Literal["breaker", "load"]


class Breaker:
    """The breaker of a released version in one worker.

    Parameters
    ----------
    file
        Shared by the workers; it exists if the breaker is open.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._failed: deque[bool] = deque(maxlen=WINDOW)
        self._seconds: deque[float] = deque(maxlen=WINDOW)
        self._others: deque[float] = deque(maxlen=WINDOW)
        self._n = 0
        self.reason: str | None = None
        """Why the version is not asked any more; None while it is."""
        self.look()

    @property
    def is_open(self) -> bool:
        """Whether the version is not asked any more."""
        return self.reason is not None

    def look(self) -> None:
        """Open if another worker has, or this one before it was restarted."""
        if self.reason is None and (found := read_report(self._file)) is not None:
            self.reason = found[1]
            _logger.warning("the released version is not asked any more: %s", self.reason)

    def failed(self, why: str) -> None:
        """Count a request that the version failed and the other one answered."""
        self._count(failed=True)
        n = sum(self._failed)
        if n > MOST_FAILURES or (self._n == n and n >= FIRST_FAILURES):
            self.open("breaker", f"{n} of the last {len(self._failed)} requests of a worker failed, the newest: {why}")

    def answered(self, seconds: float) -> None:
        """Count a request that the version answered; ``seconds``: the time of the model alone."""
        self._count(failed=False)
        self._seconds.append(seconds)
        if len(self._seconds) < WINDOW or len(self._others) < WINDOW:
            return
        own, other = median(self._seconds), median(self._others)
        if own > LATENCY_RATIO * other and own > other + LATENCY_EXCESS:
            what = f"the median of its last {WINDOW} answers is {1000 * own:.0f} ms"
            self.open("breaker", f"{what}, that of the other version {1000 * other:.1f} ms")

    def other_answered(self, seconds: float) -> None:
        """Note the time of the other version, which that of this one is compared with."""
        self._others.append(seconds)

    def limit(self, most: float) -> float:
        """Return the seconds that the version has for a request until the other one is asked, at most ``most``."""
        usual = median(self._others) if self._others else 0.0
        return min(most, max(LEAST_LIMIT, LATENCY_RATIO * usual))

    def open(self, kind: Kind, reason: str) -> None:
        """Stop asking the version, here and in the other workers; of several reasons, the first one counts."""
        if self.reason is not None:
            return
        self.reason = reason
        _logger.error("the released version is not asked any more: %s", reason)
        try:
            write_report(self._file, kind, reason)
        except OSError as error:
            _logger.warning("the other workers cannot be told, each finds out by itself: %s", error)

    def _count(self, *, failed: bool) -> None:
        self._n += 1
        self._failed.append(failed)


def breaker_file(instance: Path, model: str, number: int, since: str) -> Path:
    """Return the file of a release's breaker in one stage.

    Parameters
    ----------
    instance
        Folder of the instance.
    model, number, since
        The release, and the start of its stage in ISO 8601.

    Examples
    --------
    >>> breaker_file(Path("8470"), "credit", 2, "2026-01-02T03:04:05+00:00").name
    'credit.2.202601020304050000.json'
    """
    return instance / FOLDER / f"{model}.{number}.{''.join(filter(str.isdigit, since))}.json"


def write_report(file: Path, kind: Kind, reason: str) -> None:
    """Write the file of an open breaker; a file that is there already stays.

    Raises
    ------
    OSError
        The disk is full or not writable.
    """
    file.parent.mkdir(mode=0o700, exist_ok=True)
    if not file.exists():
        file.write_text(json.dumps({"kind": kind, "reason": reason}), encoding="utf-8")


def read_report(file: Path) -> tuple[Kind, str] | None:
    """Return kind and reason of an open breaker; None if it is closed."""
    try:
        text = file.read_text(encoding="utf-8")
    except OSError:
        return None
    try:
        found = json.loads(text)
        return ("load" if found["kind"] == "load" else "breaker"), str(found["reason"])
    except (ValueError, LookupError, TypeError):
        # Another worker is writing it, or was killed meanwhile: the file alone says that the breaker is open.
        return "breaker", "another worker opened it"
