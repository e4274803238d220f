"""What one variant did in one stage of a release."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from core.metrics.metrics import Floats

Counts = npt.NDArray[np.int64]


def _no_floats() -> Floats:
    return np.empty(0, dtype=np.float64)


def _no_counts() -> Counts:
    return np.empty(0, dtype=np.int64)


@dataclass(frozen=True, eq=False, kw_only=True)
class Observed:
    """What one variant did in one stage of a release, from its start to the look.

    Parameters
    ----------
    n_requests
        Number of requests that the variant was asked, including those that failed.
    n_failures
        Number of these that raised, timed out or were stopped by the breaker.
    latencies_ms
        Latencies of its requests in milliseconds, shape (n,), float64, any order; a NaN is a missing measurement.
    predictions
        Number of its predictions in each bin of the reference, shape (b,), int64; empty if they are not counted.
    labels
        True labels of its requests that have one by now: class codes, int64, or numbers, float64, shape (k,).
    scores
        Outputs for these requests: probabilities, shape (k, classes), or numbers, shape (k,), float64. In the shadow
        stage the rows of both variants are the same, in the same order.
    n_effective
        Number of independent requests that these are worth if subjects repeat: with c requests of each subject,
        ``sum(c) ** 2 / sum(c ** 2)`` (Kish). None: every request has its own subject.

    Raises
    ------
    ValueError
        A count is negative or larger than what it is part of, or an array has another shape or type.

    References
    ----------
    Kish (1965), Survey Sampling, Wiley: design effects.
    """

    n_requests: int = 0
    n_failures: int = 0
    latencies_ms: Floats = field(default_factory=_no_floats)
    predictions: Counts = field(default_factory=_no_counts)
    labels: npt.NDArray[Any] = field(default_factory=_no_floats)
    scores: Floats = field(default_factory=_no_floats)
    n_effective: float | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.n_failures <= self.n_requests:
            raise ValueError(f"expected 0 to n_requests = {self.n_requests} failures, found {self.n_failures}")
        _check_array("latencies_ms", self.latencies_ms, "f", 1)
        _check_array("predictions", self.predictions, "i", 1)
        if (self.latencies_ms < 0).any() or (self.predictions < 0).any():
            raise ValueError("expected latencies and counts of predictions of at least 0, found negative ones")
        _check_array("labels", self.labels, "if", 1)
        _check_array("scores", self.scores, "f", 2 if self.scores.ndim == 2 else 1)
        if len(self.labels) != len(self.scores):
            raise ValueError(f"expected a score per label, found {len(self.labels)} and {len(self.scores)}")
        if self.scores.ndim == 2 and not _are_codes(self.labels, self.scores.shape[1]):
            raise ValueError(f"expected class codes from 0 to {self.scores.shape[1] - 1}, int64, as labels of scores")
        if self.n_effective is not None and not 0 <= self.n_effective <= max(self.n_requests, 1) * (1 + 1e-9):
            raise ValueError(f"expected 0 to {self.n_requests} effective requests, found {self.n_effective}")

    @property
    def effect(self) -> float:
        """Design effect of repeated subjects, at least 1: requests per independent request."""
        if self.n_effective is None or self.n_requests == 0:
            return 1.0
        return max(1.0, self.n_requests / max(self.n_effective, 1.0))

    @property
    def failure_rate(self) -> float | None:
        """Share of the requests that failed; None without requests."""
        return self.n_failures / self.n_requests if self.n_requests else None


def _are_codes(labels: npt.NDArray[Any], n_classes: int) -> bool:
    return labels.dtype.kind == "i" and bool(((labels >= 0) & (labels < n_classes)).all())


def _check_array(name: str, values: npt.NDArray[Any], kinds: str, dimensions: int) -> None:
    if not isinstance(values, np.ndarray) or values.dtype.kind not in kinds or values.ndim != dimensions:
        found = f"{values.dtype}, shape {values.shape}" if isinstance(values, np.ndarray) else type(values).__name__
        raise ValueError(f"expected {name} as an array of kind {kinds!r} with {dimensions} dimension(s), found {found}")
