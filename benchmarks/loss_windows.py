"""Windows of public data whose features shift and whose labels follow them, for ``benchmarks.loss_estimates``.

A champion is trained on a third of the rows, in random order; the rows after its holdout are a pool. A window is drawn
from the pool with chances in proportion to ``exp(shift * score)``, where the score is a column or the champion's
prediction, as normal ranks: the score's mean moves by about ``shift`` standard deviations. Rows are chosen by their
features alone, so the target given the features is that of the pool (covariate shift), and the loss to expect of a
window is the weighted mean over the pool.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import ndtri
from scipy.stats import rankdata

from benchmarks.estimate_windows import ROWS, SHARED, Case, Labelled, champion, kinds_of
from core.metrics.metrics import Floats

SHIFTS = (-1.0, -0.5, 0.5, 1.0)
QUIET = 6
"""Number of windows of a data set without a shift."""

MIN_VALUES, MAX_COLUMNS = 10, 4
"""Columns by which windows are drawn: with more values than this, the first ones in a data set."""


@dataclass(frozen=True)
class Numbers:
    """A public data set with a number to predict, and how many rows are for training and holdout."""

    folder: str
    target: str
    dropped: tuple[str, ...] = ()
    train: int = 6_000
    holdout: int = 3_000

    @property
    def name(self) -> str:
        """Name of the row of the table."""
        return f"{self.folder.replace('_', ' ')}, {self.target}"


NUMBERS = (
    Numbers("bike_sharing", "target", ("event_time", "dteday", "instant", "casual", "registered")),
    Numbers("default_credit_card_tw", "LIMIT_BAL", ("ID", "target")),
    Numbers("bank_marketing", "duration", ("event_month", "target")),
    Numbers("online_shoppers", "ProductRelated_Duration", ("target",), train=5_000, holdout=2_500),
)


@dataclass(frozen=True, eq=False)
class Shifted:
    """A window with the shift that it was drawn by.

    Parameters
    ----------
    case
        Holdout and window; its own metric and loss are not used.
    quiet
        Whether it was drawn without a shift.
    losses
        By metric (``mae``, ``rmse``), the loss to expect as a share of the value in the pool.
    """

    case: Case
    quiet: bool
    losses: dict[str, float]


def shifted(source: Numbers) -> Iterator[Shifted]:
    """Yield the windows of a data set."""
    frame, y = _read(source)
    rows = Labelled(frame, y, champion(frame, y, source.train, "rmse").predict(frame))
    start = source.train + source.holdout
    holdout, pool = rows.take(slice(source.train, start)), rows.take(slice(start, len(y)))
    before = _expected(pool, np.ones(len(pool.y)))
    generator = np.random.default_rng(0)
    for chances in _chances(pool):
        drawn = pool.take(generator.choice(len(pool.y), ROWS, p=chances / chances.sum()))
        losses = {metric: value / before[metric] - 1 for metric, value in _expected(pool, chances).items()}
        case = Case(source.name, "rmse", holdout, drawn, kinds_of(frame), None)
        yield Shifted(case, bool((chances == 1).all()), losses)


def _read(source: Numbers) -> tuple[pd.DataFrame, Floats]:
    frame = pd.read_parquet(SHARED / source.folder / "ready.parquet").sample(frac=1.0, random_state=0)
    y = frame[source.target].to_numpy(dtype="float64")
    return frame.drop(columns=[source.target, *source.dropped]).reset_index(drop=True), y


def _expected(rows: Labelled, weights: Floats) -> dict[str, float]:
    residual = rows.y - rows.output
    means = (float(np.average(losses, weights=weights)) for losses in (np.abs(residual), residual**2))
    return {"mae": next(means), "rmse": float(np.sqrt(next(means)))}


def _chances(pool: Labelled) -> Iterator[Floats]:
    """Yield unnormalised chances of the pool's rows: without a shift, then by each score and shift."""
    yield from [np.ones(len(pool.y))] * QUIET
    numbers = pool.frame.select_dtypes("number")
    columns = [name for name in numbers if numbers[name].nunique() > MIN_VALUES][:MAX_COLUMNS]
    for values in (pool.output, *(numbers[name].to_numpy(dtype="float64") for name in columns)):
        score = ndtri(rankdata(values) / (len(values) + 1))
        yield from (np.exp(shift * score) for shift in SHIFTS)
