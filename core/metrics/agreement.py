"""Whether two ways of computing a model's predictions agree."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from core.feature_contract import FeatureContract

TOLERANCE = 1e-5
"""Largest allowed difference of a probability, or of a value in standard deviations of the values."""


@dataclass(frozen=True)
class Agreement:
    """Differences of predictions from the expected ones.

    Parameters
    ----------
    n_rows, n_apart
        Number of rows compared, and of rows that differ by more than ``allowed``; a NaN always differs.
    max_abs_diff
        Largest absolute difference; None if a prediction is not finite.
    allowed
        Largest difference that counts as equal.
    """

    n_rows: int
    n_apart: int
    max_abs_diff: float | None
    allowed: float

    @property
    def holds(self) -> bool:
        """Whether every row agrees."""
        return self.n_apart == 0

    @property
    def sentence(self) -> str:
        """By how much and where: ``by up to 2.0e-03 (allowed 1.0e-05) in 3 of 1,005 rows``."""
        size = "with infinite values or NaN" if self.max_abs_diff is None else f"by up to {self.max_abs_diff:.1e}"
        return f"{size} (allowed {self.allowed:.1e}) in {self.n_apart:,} of {self.n_rows:,} rows"


def agreement(found: npt.NDArray[Any], expected: npt.NDArray[Any], contract: FeatureContract) -> Agreement:
    """Compare predictions row by row.

    Parameters
    ----------
    found, expected
        Predictions of equal shape: probabilities, shape (n, k), or values, shape (n,).
    contract
        Classes of the model; none for regression.

    Examples
    --------
    >>> contract = FeatureContract("regression", "price", (), ("size",), (), (), ())
    >>> agreement(np.array([1.0, 2.5]), np.array([1.0, 2.0]), contract).sentence
    'by up to 5.0e-01 (allowed 6.9e-06) in 1 of 2 rows'
    """
    apart, allowed = np.abs(found - expected), allowed_difference(expected, contract)
    wrong = ~(apart <= allowed)
    worst = float(np.max(apart, initial=0.0))
    n_apart = int(wrong.reshape(len(expected), -1).any(axis=1).sum())
    return Agreement(len(expected), n_apart, worst if np.isfinite(worst) else None, allowed)


def allowed_difference(expected: npt.NDArray[Any], contract: FeatureContract) -> float:
    """Return the largest difference that counts as equal, for predictions of shape (n, k) or (n,)."""
    if contract.classes:
        return TOLERANCE
    # An ONNX graph computes in float32: eight rounding errors of the largest value are allowed.
    rounding = 8 * float(np.finfo(np.float32).eps) * float(np.max(np.abs(expected), initial=0.0))
    return TOLERANCE * float(np.std(expected)) + rounding
