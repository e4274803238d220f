"""How often a holdout's rows were used in earlier comparisons: a sketch of each holdout, and the overlap of two.

Each comparison on rows that were used before is one more chance of promotion by luck. The gate corrects for the number
of such looks; sketches make it possible to count them without keeping the rows.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from core.data.split import Hashes, scattered
from core.errors import StorageError

SKETCH_SIZE = 256
"""Hashes kept per holdout: an overlap of 0.5 is estimated to about ±0.03 (one standard error)."""


@dataclass(frozen=True)
class HoldoutSketch:
    """The k smallest hashes of a holdout's rows (k minimum values, KMV).

    Parameters
    ----------
    n_rows
        Distinct rows of the holdout.
    smallest
        At most 256 hashes, ascending; the hashes of all rows where the holdout has at most 256.

    References
    ----------
    Bar-Yossef, Jayram, Kumar, Sivakumar, Trevisan (2002), Counting distinct elements in a data stream, RANDOM.
    Beyer, Haas, Reinwald, Sismanis, Gemulla (2007), On synopses for distinct-value estimation under multiset
    operations, SIGMOD.
    """

    n_rows: int
    smallest: tuple[int, ...]

    @classmethod
    def of(cls, row_ids: Hashes) -> Self:
        """Build the sketch of a holdout from the identities of its rows, shape (n_rows,), uint64."""
        hashes = np.unique(scattered(row_ids))
        return cls(len(hashes), tuple(hashes[:SKETCH_SIZE].tolist()))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Build a sketch from :meth:`to_json`.

        Raises
        ------
        StorageError
            The text is not a sketch.
        """
        try:
            content = json.loads(text)
            return cls(int(content["n_rows"]), tuple(int(value, 16) for value in content["smallest"]))
        except (ValueError, TypeError, KeyError) as error:
            raise StorageError(
                f"expected a sketch of a holdout, found {text[:80]!r} in the operational database; restore its backup"
            ) from error

    def to_json(self) -> str:
        """One line of text, at most 5 kB; hashes as hexadecimal, because JSON numbers are exact only up to 2**53."""
        return json.dumps({"n_rows": self.n_rows, "smallest": [f"{value:016x}" for value in self.smallest]})

    @property
    def threshold(self) -> int | None:
        """Largest hash up to which the sketch is complete; None: it holds all rows."""
        return self.smallest[-1] if len(self.smallest) < self.n_rows else None


def overlap(present: HoldoutSketch, earlier: HoldoutSketch) -> float:
    """Share of the present holdout's rows that the earlier holdout contained, 0 to 1.

    Counted over the present rows whose hash lies below both thresholds, which is a random sample; exact where both
    holdouts have at most 256 rows. Where no row lies below both (the earlier holdout is far larger) it is 1: the
    correction is then too strict rather than too loose.
    """
    thresholds = [sketch.threshold for sketch in (present, earlier) if sketch.threshold is not None]
    reached = [value for value in present.smallest if not thresholds or value <= min(thresholds)]
    if not reached:
        return 1.0
    return len(set(reached) & set(earlier.smallest)) / len(reached)


def effective_looks(present: HoldoutSketch, earlier: Sequence[HoldoutSketch]) -> float:
    """Count the looks at the present holdout's rows, this one included: 1 plus the overlap of each earlier look."""
    return 1.0 + sum(overlap(present, look) for look in earlier)
