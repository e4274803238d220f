"""Labelled rows and a window with other features, on which estimates without labels are compared with NannyML's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import expit, softmax

from core.metrics.metrics import Floats
from tests.factories import shared_data


@dataclass(frozen=True, eq=False)
class CbpeCase:
    """Rows with labels and a window of the same model.

    Parameters
    ----------
    y, reference
        Class codes (n,) and scores (n, k) of the labelled rows.
    window_y, window
        The same of the window; its labels are for comparison alone.
    """

    y: npt.NDArray[Any]
    reference: Floats
    window_y: npt.NDArray[Any]
    window: Floats


def binary(sharpness: float, seed: int) -> CbpeCase:
    """Log-odds that move by 0.8 standard deviations; the score says them times the sharpness, 1 is calibrated."""
    generator = np.random.default_rng(seed)

    def rows(n: int, shift: float) -> tuple[npt.NDArray[Any], Floats]:
        odds = 1.4 * (generator.normal(size=n) + shift) - 1
        chance = expit(sharpness * odds)
        return (generator.random(n) < expit(odds)).astype(int), np.column_stack([1 - chance, chance])

    return CbpeCase(*rows(4_000, 0.0), *rows(1_500, 0.8))


def multiclass(sharpness: float, seed: int) -> CbpeCase:
    """Three classes; the window has more of the third and less certain scores."""
    generator = np.random.default_rng(seed)

    def rows(n: int, shift: float) -> tuple[npt.NDArray[Any], Floats]:
        odds = (1.5 - shift) * generator.normal(size=(n, 3)) + np.array([0.0, 0.3, shift])
        passed = generator.random((n, 1)) > softmax(odds, axis=1).cumsum(axis=1)[:, :-1]
        return passed.sum(axis=1), softmax(sharpness * odds, axis=1)

    return CbpeCase(*rows(4_000, 0.0), *rows(1_500, 0.5))


def bank_marketing() -> CbpeCase:
    """Take a bank's calls: every other one of 2008 trains, the rest of them has labels, May 2009 is the window."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    frame = pd.read_parquet(shared_data("bank_marketing") / "ready.parquet")
    X = frame[["age", "campaign", "previous", "pdays", "emp.var.rate", "euribor3m", "cons.conf.idx"]].to_numpy()
    y, month = frame["target"].to_numpy(dtype=int), frame["event_month"]
    before, may = (
        np.flatnonzero(month < pd.Timestamp("2009-01-01")),
        np.flatnonzero(month == pd.Timestamp("2009-05-01")),
    )
    train, labelled = before[::2], before[1::2]
    chance = make_pipeline(StandardScaler(), LogisticRegression()).fit(X[train], y[train]).predict_proba(X)
    # NannyML takes rows of equal score one after the other; broken ties are the same question to both.
    score = np.clip(chance[:, 1] + 1e-6 * np.random.default_rng(0).random(len(y)), 0, 1)
    output = np.column_stack([1 - score, score])
    return CbpeCase(y[labelled], output[labelled], y[may], output[may])


CASES: dict[str, Callable[[], CbpeCase]] = {
    "calibrated": lambda: binary(1.0, 1),
    "overconfident": lambda: binary(2.5, 2),
    "underconfident": lambda: binary(0.4, 3),
    "three classes": lambda: multiclass(1.0, 4),
    "three overconfident classes": lambda: multiclass(2.0, 5),
    "bank marketing": bank_marketing,
}
