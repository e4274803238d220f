"""The bins that predictions are counted in, the same in the service, in a look and in a monitoring system."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

EDGE_TOLERANCE = 1e-5
"""Relative tolerance by which a score below an edge still counts as on the edge."""


def score_bin(score: float, edges: Sequence[float]) -> int:
    """Return the bin of a probability or a number.

    Examples
    --------
    >>> [score_bin(score, (0.1, 0.5)) for score in (0.05, 0.1, 0.499999, 0.7)]
    [0, 1, 2, 2]
    """
    # Edges are predictions in double precision; the graph's answer to the same row may be slightly smaller.
    return bisect_right(edges, score + EDGE_TOLERANCE * abs(score))


def class_bin(probabilities: Sequence[float]) -> int:
    """Return the bin of the most likely class, where classes are their own bins."""
    return max(range(len(probabilities)), key=probabilities.__getitem__)


def bin_names(classes: Sequence[str], edges: Sequence[float]) -> tuple[str, ...]:
    """Return the names of the bins in order: with more than two classes they are the classes, else upper edges.

    Examples
    --------
    >>> bin_names(("no", "yes"), (0.1, 0.25)), bin_names(("a", "b", "c"), ())
    (('0.1', '0.25', '+Inf'), ('a', 'b', 'c'))
    """
    return tuple(classes) if len(classes) > 2 else (*(f"{edge:.6g}" for edge in edges), "+Inf")
