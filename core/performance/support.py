"""Whether rows lie where an estimate without labels knows something: in the support of the rows it was made on.

An estimate carries what was learnt on labelled rows over to rows without labels. Where there were no such rows it is an
extrapolation. Two measures: the share of rows with a value that the reference does not have (a number beyond its range,
an unknown level, no value where it always had one), and the share of rows that a classifier of the domain recognises as
new: it learns to tell window and reference apart, so that its odds estimate the ratio of their densities, which also
finds new combinations of known values.

The same ratio weights the reference's rows like the window's. Its effective number of rows is Kish's.

References
----------
Crump, Hotz, Imbens & Mitnik (2009), Dealing with limited overlap in estimation of average treatment effects, Biometrika
96, 187-199 (no answer for rows with a propensity outside 0.1 to 0.9).
Bickel, Brückner & Scheffer (2009), Discriminative learning under covariate shift, JMLR 10, 2137-2155 (density ratio
from a classifier).
Kish (1965), Survey Sampling, section 11.7 (effective number of rows).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from core.feature_contract import FeatureContract
from core.metrics.metrics import Floats
from core.text import listed, percent, readable

if TYPE_CHECKING:
    from sklearn.ensemble import HistGradientBoostingClassifier

MAX_OUTSIDE = 0.1
"""Maximum share of a window's rows with a value that the reference does not have, in addition to chance."""

NEW = 0.1
"""A row is new if, of such rows, less than this share would be the reference's, both sides having equal numbers."""

MAX_NEW = 0.2
"""Maximum share of new rows in a window."""

MIN_EFFECTIVE = 100.0
"""Minimum effective number of reference rows that resemble the window's."""

MAX_ROWS = 5_000
"""Maximum rows of each side on which the classifier of the domain is fitted, to bound its time to a second."""

MAX_BINS = 250
"""Maximum bins of a column for that classifier, below the 255 up to which it takes values as they are."""

MAX_CODES = 200
"""Maximum number of levels of a category with a code of their own; all others share one."""

Matrix = npt.NDArray[np.float64]

_LARGEST = float(np.finfo("float32").max)


@dataclass(frozen=True, eq=False)
class Support:
    """How a window lies in a reference's support.

    Parameters
    ----------
    outside
        Share of the window's rows with a value that the reference does not have, 0 to 1.
    by_chance
        Share to expect of rows like the reference's, 0 to 1.
    columns
        Names of the columns with such values in at least 1 % of the rows, the largest share first.
    new
        Share of the window's rows that the classifier of the domain recognises as new, 0 to 1.
    weights
        Density ratio of window and reference at each of the reference's rows, shape (m,), with mean 1.
    """

    outside: float
    by_chance: float
    columns: tuple[str, ...]
    new: float
    weights: Floats

    @property
    def effective_rows(self) -> float:
        """Effective number of reference rows under the weights, 1 to m."""
        return float(self.weights.sum() ** 2 / (self.weights**2).sum())

    @property
    def doubts(self) -> tuple[str, ...]:
        """Sentences on why the estimate is an extrapolation; empty if it is not."""
        if self.outside - self.by_chance > MAX_OUTSIDE:
            where = f" ({listed([readable(name, 60) for name in self.columns])})" if self.columns else ""
            return (f"{percent(self.outside)} of them have a value that the labelled rows do not have{where}",)
        if self.new > MAX_NEW:
            return (f"{percent(self.new)} of them are unlike the labelled rows: they lie where few labelled rows are",)
        if self.effective_rows < MIN_EFFECTIVE:
            return (f"only {self.effective_rows:.0f} of {len(self.weights):,} labelled rows resemble them",)
        return ()


def support(
    reference: pd.DataFrame, window: pd.DataFrame, contract: FeatureContract, features: Sequence[str], seed: int
) -> Support:
    """Measure how a window lies in the support of a reference.

    Parameters
    ----------
    reference, window
        Raw rows with the contract's columns, at least one each.
    contract
        Kinds of the columns.
    features
        Columns that matter to the model. Dates are left out, because later rows have later dates.
    seed
        Seed of the draws and of the classifier.
    """
    names = [name for name in features if name not in contract.dates]
    here, there = feature_matrices(reference, window, contract, names)
    outside = _outside(here, there)
    weights, new = _domain(here, there, seed)
    shares = outside.mean(axis=0) if names else np.zeros(0)
    order = [place for place in np.argsort(-shares, kind="stable") if shares[place] >= 0.01]
    return Support(
        outside=float(outside.any(axis=1).mean()) if names else 0.0,
        by_chance=min(1.0, 2 * len(names) / (len(reference) + 1)),
        columns=tuple(names[place] for place in order),
        new=new,
        weights=weights,
    )


def feature_matrices(
    reference: pd.DataFrame, window: pd.DataFrame, contract: FeatureContract, names: Sequence[str]
) -> tuple[Matrix, Matrix]:
    """Return both sides as numbers, shape (n, n_names) each: levels as codes by the reference's frequency, NaN missing.

    Levels that the reference does not have get the code -1.

    Parameters
    ----------
    reference, window
        Raw rows with the contract's columns.
    contract
        Kinds of the columns.
    names
        Columns, in the order of the matrix.
    """
    sides: list[tuple[Matrix, Matrix]] = []
    for name in names:
        if name in contract.categorical or name in contract.boolean:
            levels = reference[name].astype(object).value_counts().index
            sides.append((_codes(reference[name], levels), _codes(window[name], levels)))
        else:
            sides.append((_numbers(reference[name]), _numbers(window[name])))
    empty = np.zeros((len(reference), 0)), np.zeros((len(window), 0))
    if not sides:
        return empty
    return np.column_stack([one for one, _ in sides]), np.column_stack([other for _, other in sides])


def _codes(values: pd.Series, levels: pd.Index) -> Matrix:
    codes = levels.get_indexer(pd.Index(values.astype(object))).astype("float64")
    codes = np.where(codes >= MAX_CODES, MAX_CODES, codes)
    return np.where(values.isna().to_numpy(dtype=bool), np.nan, codes)


def _numbers(values: pd.Series) -> Matrix:
    numbers = np.asarray(values.astype("float64").to_numpy(dtype="float64", na_value=np.nan))
    # Trees cannot be fitted on infinities.
    return np.asarray(np.nan_to_num(numbers, nan=np.nan, posinf=_LARGEST, neginf=-_LARGEST))


def _outside(reference: Matrix, window: Matrix) -> npt.NDArray[np.bool_]:
    """Return which cells of the window have a value beyond the reference's, shape (n, n_columns)."""
    gone = np.isnan(reference)
    low = np.where(gone, np.inf, reference).min(axis=0)
    high = np.where(gone, -np.inf, reference).max(axis=0)
    beyond = (window < low) | (window > high)
    found: npt.NDArray[np.bool_] = np.where(np.isnan(window), ~gone.any(axis=0), beyond)
    return found


def _domain(reference: Matrix, window: Matrix, seed: int) -> tuple[Floats, float]:
    """Return the weights of the reference's rows and the share of new rows, from a classifier of the domain."""
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    if not reference.shape[1]:
        return np.ones(len(reference)), 0.0
    generator = np.random.default_rng(seed)
    kept = [np.sort(generator.permutation(len(side))[:MAX_ROWS]) for side in (reference, window)]
    both = np.concatenate([reference[kept[0]], window[kept[1]]])
    edges = _edges(both)
    X = _binned(both, edges)
    is_window = np.repeat([0, 1], [len(kept[0]), len(kept[1])])
    model = _classifier(seed)
    folds = StratifiedKFold(3, shuffle=True, random_state=seed)
    chance = cross_val_predict(model, X, is_window, cv=folds, method="predict_proba")[:, 1]
    new = float((1 - chance[is_window == 1] < NEW).mean())
    weights: Floats = np.ones(len(reference), dtype=np.float64)
    of_reference = np.clip(chance[is_window == 0], NEW, 1 - NEW)
    if len(kept[0]) < len(reference):
        rest = np.setdiff1d(np.arange(len(reference)), kept[0])
        of_rest = model.fit(X, is_window).predict_proba(_binned(reference[rest], edges))[:, 1]
        weights[rest] = _odds(np.clip(of_rest, NEW, 1 - NEW))
    weights[kept[0]] = _odds(of_reference)
    weights = np.asarray(weights / weights.mean(), dtype=np.float64)
    return weights, new


def _classifier(seed: int) -> HistGradientBoostingClassifier:
    from sklearn.ensemble import HistGradientBoostingClassifier

    # Few deep steps: the same weights as with twice as many steps of half the size, in half the time.
    return HistGradientBoostingClassifier(
        max_iter=20,
        learning_rate=0.2,
        max_leaf_nodes=8,
        l2_regularization=10.0,
        min_samples_leaf=50,
        early_stopping=False,
        class_weight="balanced",
        random_state=seed,
    )


def _edges(X: Matrix) -> list[Floats]:
    """Return the ends of each column's bins: its quantiles, or nothing where it has few values.

    The classifier bins columns itself. With weights of classes scikit-learn 1.9 computes each quantile of each column
    on its own for that, which takes 20 times as long as the fit.
    """
    levels = np.linspace(0, 1, MAX_BINS + 1)[1:-1]
    columns = [column[~np.isnan(column)] for column in X.T]
    return [
        np.unique(np.quantile(column, levels, method="averaged_inverted_cdf"))
        if len(np.unique(column)) > MAX_BINS
        else np.zeros(0)
        for column in columns
    ]


def _binned(X: Matrix, edges: Sequence[Floats]) -> Matrix:
    """Replace the values of columns with bins by the number of their bin; missing values stay missing."""
    columns = [
        np.where(np.isnan(column), np.nan, np.searchsorted(ends, column)) if len(ends) else column
        for column, ends in zip(X.T, edges, strict=True)
    ]
    return np.column_stack(columns)


def _odds(chance: Floats) -> Floats:
    odds: Floats = chance / (1 - chance)
    return odds
