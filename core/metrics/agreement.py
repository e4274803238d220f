"""Whether two ways of computing a model's answers give the same answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from core.feature_contract import FeatureContract

TOLERANCE = 1e-5
"""Largest accepted difference of a probability, or of a value in standard deviations of the output."""


@dataclass(frozen=True)
class Agreement:
    """How far answers are from what was expected.

    Parameters
    ----------
    n_rows, n_apart
        Rows compared, and those that differ by more than is allowed; an answer that is NaN differs.
    max_abs_diff
        Largest absolute difference; None where an answer is not finite.
    allowed
        Largest difference that is none.
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
        size = (
            "infinitely or with no number at all" if self.max_abs_diff is None else f"by up to {self.max_abs_diff:.1e}"
        )
        return f"{size} (allowed {self.allowed:.1e}) in {self.n_apart:,} of {self.n_rows:,} rows"


def agreement(found: npt.NDArray[Any], expected: npt.NDArray[Any], contract: FeatureContract) -> Agreement:
    """Compare answers row by row.

    Parameters
    ----------
    found, expected
        Probabilities (n, k) or values (n,), of the same shape.

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
    """Largest difference of an answer that counts as none."""
    if contract.classes:
        return TOLERANCE
    # A graph answers in float32, so values far from zero are rounded: eight roundings of the largest are no error.
    rounding = 8 * float(np.finfo(np.float32).eps) * float(np.max(np.abs(expected), initial=0.0))
    return TOLERANCE * float(np.std(expected)) + rounding
