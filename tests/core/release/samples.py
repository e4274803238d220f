"""Made observations of a champion and a challenger."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from core.metrics.metrics import Floats
from core.release.observed import Observed

EDGES = np.array([-np.inf, -1.28, -0.84, -0.52, -0.25, 0.0, 0.25, 0.52, 0.84, 1.28, np.inf])


def observed(
    n: int,
    *,
    seed: int = 0,
    errors: float = 0.01,
    slower: float = 1.0,
    shift: float = 0.0,
    labels: npt.NDArray[Any] | None = None,
    scores: Floats | None = None,
    n_effective: float | None = None,
) -> Observed:
    """One variant with n requests: its rate of errors, how many times slower, and by how many sd its answers moved."""
    rng = np.random.default_rng(seed)
    counts = np.histogram(rng.normal(size=n) + shift, EDGES)[0].astype(np.int64)
    given: dict[str, Any] = {} if labels is None else {"labels": labels, "scores": scores}
    return Observed(
        n_requests=n,
        n_failures=round(errors * n),
        latencies_ms=slower * 20 * rng.lognormal(sigma=0.5, size=n),
        predictions=counts,
        n_effective=n_effective,
        **given,
    )


def labelled(n: int, *, seed: int = 0, noise: float = 1.0) -> tuple[npt.NDArray[np.int64], Floats]:
    """Labels and probabilities, shapes (n,) and (n, 2), of a model that sees the truth through noise."""
    rng = np.random.default_rng([seed, 1])
    labels = rng.binomial(1, 0.3, size=n)
    chance = 1 / (1 + np.exp(-(2 * labels - 1 + noise * np.random.default_rng([seed, 2]).normal(size=n))))
    return labels.astype(np.int64), np.column_stack([1 - chance, chance])
