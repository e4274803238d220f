"""Made worlds whose drift is known: twenty features, a binary outcome, and the chances a perfect champion gives.

A row is drawn from its class: every feature has a normal score, ``N(0, 1)`` for the common class and
``N(effect, 1)`` for the rare one, and shows it in its own way: as it is, skewed, cut into levels, or not at all. The
champion answers with the true chance of the rare class given what the row shows, so that without drift nothing is to be
found: neither in the features, nor in the outcome, nor in the champion's answers, nor in its performance.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats
from scipy.special import expit, logit, ndtr, ndtri

from core.metrics.metrics import Floats, metric_values

RARE = 0.1
"""Share of the rare class without drift."""

OUTLIER = 1e6

NEW_LEVEL = "never seen"


@dataclass(frozen=True)
class Number:
    """A numeric feature.

    Parameters
    ----------
    show
        What is seen of the normal score.
    effect
        Standard deviations between the classes; 0 where ``show`` hides a part of the score.
    missing
        Share of rows without a value, whatever the class.
    """

    show: Callable[[Floats], Floats]
    effect: float = 0.0
    missing: float = 0.0


@dataclass(frozen=True)
class Category:
    """A categorical feature: levels by the rank of the normal score.

    Parameters
    ----------
    shares
        Of the levels in the common class.
    effect, missing
        As those of a :class:`Number`.
    """

    shares: tuple[float, ...]
    effect: float = 0.0
    missing: float = 0.0

    @property
    def cuts(self) -> Floats:
        """Scores between which the levels lie, shape (levels + 1,)."""
        return np.asarray(ndtri(np.clip([0.0, *np.cumsum(self.shares)[:-1], 1.0], 0.0, 1.0)))

    @property
    def gains(self) -> Floats:
        """What a level adds to the log-odds of the rare class, shape (levels,)."""
        rare, common = (np.diff(ndtr(self.cuts - effect)) for effect in (self.effect, 0.0))
        return np.asarray(np.log(rare / common))


def _zipf(n_levels: int) -> tuple[float, ...]:
    weights = 1.0 / np.arange(1, n_levels + 1)
    return tuple((weights / weights.sum()).tolist())


def _visits(score: Floats) -> Floats:
    # Poisson with mean 3, by its table: SciPy's quantile function is a hundred times slower.
    return np.searchsorted(ndtri(stats.poisson.cdf(np.arange(30), 3)), score).astype("float64")


def _returns(score: Floats) -> Floats:
    # Student's t with two degrees of freedom.
    chance = ndtr(score)
    return np.asarray((2 * chance - 1) / np.sqrt(2 * chance * ndtr(-score)))


def _claims(score: Floats) -> Floats:
    return np.where(score < ndtri(0.7), 0.0, -np.log(ndtr(-score) / 0.3))


FEATURES: dict[str, Number | Category] = {
    "income": Number(lambda score: score, 0.8),
    "age": Number(lambda score: 45 + 12 * score, 0.5, missing=0.05),
    "rate": Number(lambda score: score, 0.3, missing=0.1),
    "debt": Number(np.exp, 0.5),
    "price": Number(lambda score: np.exp(2 * score), 0.2),
    "tenure": Number(lambda score: -np.log(ndtr(-score)), 0.3, missing=0.3),
    "usage": Number(ndtr, 0.2),
    "returns": Number(_returns),
    "visits": Number(_visits),
    "claims": Number(_claims),
    "stars": Number(lambda score: np.clip(np.round(3.5 + score), 1, 5), missing=0.05),
    "noise": Number(lambda score: score),
    "sex": Category((0.5, 0.5)),
    "channel": Category((0.6, 0.3, 0.1), 0.4),
    "region": Category((0.2,) * 5, 0.3),
    "plan": Category((0.9, 0.09, 0.01), 0.2),
    "flag": Category((0.99, 0.01)),
    "product": Category(_zipf(12), 0.3, missing=0.1),
    "city": Category(_zipf(50), 0.2),
    "merchant": Category(_zipf(200)),
}
NUMBERS = tuple(name for name, feature in FEATURES.items() if isinstance(feature, Number))
CATEGORIES = tuple(name for name, feature in FEATURES.items() if isinstance(feature, Category))


@dataclass(frozen=True)
class Change:
    """What happens to a world.

    Parameters
    ----------
    shifts
        Feature: what is added to its normal score, in standard deviations; the outcome follows the features.
    rare
        Share of the rare class; each class keeps its features.
    missing
        Feature: share of rows without a value, in place of its own.
    all_missing
        At least this share of every feature has no value.
    new_level
        Feature: share of rows with a level that no reference holds.
    outlier
        Feature in whose first row a value of a million stands.
    """

    shifts: Mapping[str, float] = field(default_factory=dict)
    rare: float = RARE
    missing: Mapping[str, float] = field(default_factory=dict)
    all_missing: float = 0.0
    new_level: Mapping[str, float] = field(default_factory=dict)
    outlier: str | None = None

    @property
    def features(self) -> tuple[str, ...]:
        """Names of the features that change; without those that a prior change moves."""
        return (*self.shifts, *self.missing, *self.new_level)

    def half_missing(self) -> Change:
        """Give the same change in a world where half the values are missing."""
        return replace(self, all_missing=0.5)


@dataclass(frozen=True)
class Sample:
    """Rows of a world.

    Parameters
    ----------
    frame
        The features: numbers as floats, categories as text; NaN or None where missing.
    gains
        What each feature's value adds to the log-odds of the rare class, shape (n, features).
    y
        1: the rare class, shape (n,).
    """

    frame: pd.DataFrame
    gains: Floats
    y: npt.NDArray[np.int64]

    @cached_property
    def output(self) -> Floats:
        """The champion's probabilities of both classes, shape (n, 2)."""
        return probabilities(self.gains)


def probabilities(gains: Floats) -> Floats:
    """Give what the champion answers: it knows the old share of the rare class alone."""
    log_odds = logit(RARE) + gains.sum(axis=1)
    return np.column_stack([expit(-log_odds), expit(log_odds)])


def sample(n_rows: int, change: Change, generator: np.random.Generator) -> Sample:
    """Draw rows of the world after a change."""
    y = (generator.random(n_rows) < change.rare).astype("int64")
    columns, gains = {}, np.zeros((n_rows, len(FEATURES)))
    for place, (name, feature) in enumerate(FEATURES.items()):
        score = generator.normal(size=n_rows) + feature.effect * y + change.shifts.get(name, 0.0)
        values, gain = _shown(name, feature, score, change.new_level.get(name, 0.0), generator)
        share = max(change.missing.get(name, feature.missing), change.all_missing)
        gone = generator.random(n_rows) < share
        values[gone] = np.nan if isinstance(feature, Number) else None
        columns[name], gains[:, place] = values, np.where(gone, 0.0, gain)
    if change.outlier is not None:
        columns[change.outlier][0] = OUTLIER
    if change.shifts:
        y = (generator.random(n_rows) < probabilities(gains)[:, 1]).astype("int64")
    return Sample(pd.DataFrame(columns), gains, y)


def _shown(
    name: str, feature: Number | Category, score: Floats, new: float, generator: np.random.Generator
) -> tuple[npt.NDArray[Any], Floats]:
    if isinstance(feature, Number):
        return np.array(feature.show(score)), feature.effect * (score - feature.effect / 2)
    n_levels = len(feature.shares)
    levels = np.array([*(f"{name} {place}" for place in range(n_levels)), NEW_LEVEL], dtype="object")
    codes = np.searchsorted(feature.cuts[1:-1], score)
    codes[generator.random(len(codes)) < new] = n_levels
    return levels[codes], np.append(feature.gains, 0.0)[codes]


def importance(rows: Sample, generator: np.random.Generator) -> dict[str, float]:
    """Loss of ROC AUC when a feature's values are put in another order."""
    whole = _roc_auc(rows.y, rows.gains)
    found = {}
    for place, name in enumerate(FEATURES):
        shuffled = rows.gains.copy()
        shuffled[:, place] = generator.permutation(shuffled[:, place])
        found[name] = whole - _roc_auc(rows.y, shuffled)
    return found


def _roc_auc(y: npt.NDArray[np.int64], gains: Floats) -> float:
    return metric_values(y, probabilities(gains), ("roc_auc",))["roc_auc"]
