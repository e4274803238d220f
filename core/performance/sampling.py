"""How many rows of a window the champion scores: all events that matter, and enough of the other rows.

The precision of ranking metrics, rates and calibration depends on the number of events, not of rows. Rows of rare
classes are all scored, up to a bound, and weighted; see :class:`core.metrics.strata.Strata`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

SAMPLE_ROWS = 50_000
"""Rows of a window that the champion scores at least; the AUC of this many rows of even classes has an interval of
±0.005."""

MAX_SAMPLE_ROWS = 200_000
"""Rows that it scores at most, if events are rare: some seconds and, with 50 columns, some 100 MB."""

WANTED_EVENTS = 1_000
"""Expected rows of the rarest class in the sample, if the bound allows: its AUC has an interval of about ±0.02."""

MAX_RARE_ROWS = 50_000
"""Rows of rare classes that the champion scores beside the sample, at most."""

RARE = 0.1
"""Rate below which a class is rare: of all rows of more frequent classes the sample has enough."""


def rare_classes(rows: Mapping[str, int]) -> tuple[str, ...]:
    """Return the rare classes, given the number of reference rows of each class."""
    total = sum(rows.values())
    return tuple(name for name, count in rows.items() if count < RARE * total)


def sample_rows(rows: Mapping[str, int]) -> int:
    """Return the number of rows to score, so that the rarest class occurs often enough.

    Given are the reference rows of each class; a regression has none, and a class without rows counts as absent.

    Examples
    --------
    >>> sample_rows({"no": 9_900, "yes": 100}), sample_rows({})
    (100000, 50000)
    """
    present = [count for count in rows.values() if count]
    if not present:
        return SAMPLE_ROWS
    return min(max(math.ceil(WANTED_EVENTS * sum(present) / min(present)), SAMPLE_ROWS), MAX_SAMPLE_ROWS)
