"""How well single columns, or a weighted sum of columns, predict the target.

All scores are out of fold: a column with as many levels as rows gets no score by memorising them. The scores are
deterministic: folds are interleaved rows, so the same rows give the same score.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Vector = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]

N_FOLDS = 2
N_BINS = 64
MAX_COLUMNS = 64
"""Maximum number of columns in the search for a linear combination; those with the highest correlation are used."""


def single_feature_score(x: npt.NDArray[Any], y: npt.NDArray[Any], task: str) -> float:
    """Return how well one column alone predicts the target.

    Parameters
    ----------
    x
        Shape (n_rows,). Numbers (or booleans, dates as numbers), NaN if missing; any other dtype is read as levels.
    y
        Shape (n_rows,). Binary: 0 and 1; multiclass: codes from 0; regression: numbers.
    task
        ``binary``, ``multiclass`` or ``regression``.

    Returns
    -------
    float
        Binary: area under the ROC curve in the better direction, 0.5 to 1. Multiclass: the mean of the same over the
        classes, one against the rest. Regression: R², 0 to 1, of the numbers or of their ranks. It is the best score of
        a table of means per bin (or level) and, for numbers, of the number itself and of interpolation.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.arange(100.0)
    >>> single_feature_score(x, (x > 49).astype(int), "binary")
    1.0
    >>> round(single_feature_score(x, 3 * x, "regression"), 3)
    1.0
    """
    if len(y) < 4:
        return 0.0 if task == "regression" else 0.5
    numbers = np.asarray(x, dtype=np.float64) if x.dtype.kind in "biuf" else None
    return _score(numbers, group_codes(x), y, task)


def grouped_score(groups: Codes, y: npt.NDArray[Any], task: str) -> float:
    """Return how well groups of rows predict the target, as :func:`single_feature_score` does.

    Parameters
    ----------
    groups
        Shape (n_rows,), codes from 0.
    y, task
        As of :func:`single_feature_score`.
    """
    return _score(None, groups, y, task)


def additive_score(columns: Sequence[npt.NDArray[Any]], y: npt.NDArray[Any], task: str) -> float:
    """Return how well columns predict the target together, each by its numbers and its bins (or levels), added up.

    Parameters
    ----------
    columns
        Each of shape (n_rows,), as of :func:`single_feature_score`.
    y, task
        As of :func:`single_feature_score`.
    """
    if task == "regression":
        return _additive_score(columns, y.astype(np.float64), task)
    labels = y.astype(np.int64)
    classes = np.unique(labels) if task == "multiclass" else np.array([1])
    return float(np.mean([_additive_score(columns, (labels == label).astype(np.float64), task) for label in classes]))


def _additive_score(columns: Sequence[npt.NDArray[Any]], y: Vector, task: str) -> float:
    means = [_means(group_codes(x, 16), y) for x in columns]
    X = standardised(np.column_stack([*means, *(x for x in columns if x.dtype.kind in "biuf")]))
    centred = y - y.mean()
    fitted = _out_of_fold(len(y), _linear_fit(X, centred))
    return max(0.0, _r2(centred, fitted)) if task == "regression" else _auc(fitted, y == 1)


def group_codes(x: npt.NDArray[Any], n_bins: int = N_BINS) -> Codes:
    """Return a code per row: of its level, or of its bin if the column has more than ``n_bins`` numbers."""
    return _bins(np.asarray(x, dtype=np.float64), n_bins) if x.dtype.kind in "biuf" else _levels(x)


def _score(numbers: Vector | None, groups: Codes, y: npt.NDArray[Any], task: str) -> float:
    if task == "regression":
        return _regression_score(numbers, groups, y.astype(np.float64))
    labels = y.astype(np.int64)
    classes = np.unique(labels) if task == "multiclass" else np.array([1])
    return float(np.mean([_binary_score(numbers, groups, labels == label) for label in classes]))


def linear_leak(X: npt.NDArray[Any], y: npt.NDArray[Any], min_r2: float = 0.999) -> tuple[int, ...]:
    """Return the columns whose weighted sum reproduces the target, for example ``casual + registered = cnt``.

    Parameters
    ----------
    X
        Shape (n_rows, n_columns), numbers; NaN counts as the column's mean.
    y
        Shape (n_rows,), numbers.
    min_r2
        Minimum out-of-fold R² of the least-squares fit for columns to count as reproducing the target, at most 1.

    Returns
    -------
    tuple of int
        Positions of the smallest such set of columns that a greedy search finds, ascending; empty if there is none.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(500, 4))
    >>> linear_leak(X, X[:, 1] + X[:, 3])
    (1, 3)
    >>> linear_leak(X, X[:, 1] + rng.normal(size=500))
    ()
    """
    columns, centred = standardised(X), y.astype(np.float64) - np.mean(y)
    if not np.any(centred) or len(y) < 20:
        return ()
    correlation = np.abs(columns.T @ centred)
    candidates = np.argsort(-correlation, kind="stable")[: min(MAX_COLUMNS, len(y) // 10)]
    candidates = candidates[correlation[candidates] > 0]
    if _linear_r2(columns[:, candidates], centred) < min_r2:
        return ()
    chosen = _added_until(columns, centred, candidates, min_r2)
    for column in list(chosen):
        rest = [other for other in chosen if other != column]
        if rest and _linear_r2(columns[:, rest], centred) >= min_r2:
            chosen = rest
    return tuple(sorted(chosen))


def _added_until(columns: Vector, y: Vector, candidates: npt.NDArray[np.intp], min_r2: float) -> list[int]:
    chosen: list[int] = []
    residual = y
    while len(chosen) < len(candidates):
        gain = np.abs(columns.T @ residual)
        rest = [int(column) for column in candidates if column not in chosen]
        chosen.append(max(rest, key=lambda column: (gain[column], -column)))
        weights = np.linalg.lstsq(columns[:, chosen], y, rcond=None)[0]
        residual = y - columns[:, chosen] @ weights
        if _linear_r2(columns[:, chosen], y) >= min_r2:
            break
    return chosen


def standardised(X: npt.NDArray[Any]) -> Vector:
    """Return columns with mean 0 and norm 1; missing values count as the mean."""
    columns = np.array(X, dtype=np.float64)
    columns[~np.isfinite(columns)] = np.nan
    counts = np.maximum(np.sum(~np.isnan(columns), axis=0), 1)
    columns -= np.nansum(columns, axis=0) / counts
    columns[np.isnan(columns)] = 0.0
    norms = np.linalg.norm(columns, axis=0)
    columns /= np.where(norms > 0, norms, 1.0)
    return columns


def _linear_r2(columns: Vector, y: Vector) -> float:
    return _r2(y, _out_of_fold(len(y), _linear_fit(columns, y)))


def _linear_fit(columns: Vector, y: Vector) -> Callable[[npt.NDArray[np.bool_]], Vector]:
    def fit(train: npt.NDArray[np.bool_]) -> Vector:
        design = np.column_stack([columns, np.ones(len(y))])
        weights = np.linalg.lstsq(design[train], y[train], rcond=None)[0]
        fitted: Vector = design[~train] @ weights
        return fitted

    return fit


def _regression_score(numbers: Vector | None, groups: Codes, y: Vector) -> float:
    scores = [_r2(y, _means(groups, y))]
    if numbers is not None and not np.isnan(numbers).all():
        filled = np.where(np.isnan(numbers), np.nanmean(numbers), numbers)
        ranks = _ranks(y)  # a few very large values dominate R², and the other fold has none as large as the largest
        scores += [_r2(y, _interpolated(filled, y)), _r2(ranks, _interpolated(filled, ranks))]
        scores.append(_linear_r2(filled[:, None] - filled.mean(), y))
    return float(min(max(0.0, *scores), 1.0))


def _binary_score(numbers: Vector | None, groups: Codes, positive: npt.NDArray[np.bool_]) -> float:
    scores = [_auc(_means(groups, positive.astype(np.float64)), positive)]
    if numbers is not None:
        own = _auc(np.where(np.isnan(numbers), -np.inf, numbers), positive)
        scores.append(max(own, 1 - own))
    return float(max(0.5, *scores))


def _levels(x: npt.NDArray[Any]) -> Codes:
    text = np.array([str(value) for value in x.tolist()], dtype=object)
    return np.unique(text, return_inverse=True)[1].astype(np.int64)


def _bins(numbers: Vector, n_bins: int) -> Codes:
    """Return bin codes: few distinct numbers have a bin each, many are binned by quantiles; NaN is bin 0."""
    known = numbers[~np.isnan(numbers)]
    values = np.unique(known)
    edges = values if len(values) <= n_bins else np.unique(np.quantile(known, np.linspace(0, 1, n_bins + 1)))
    codes = np.searchsorted(edges, numbers, side="right").astype(np.int64)
    return np.where(np.isnan(numbers), 0, codes + 1)


def _means(groups: Codes, y: Vector) -> Vector:
    """Predict each row by its group's mean in the other fold, shrunk to the fold's mean with the weight of a row."""
    size = int(groups.max()) + 1

    def fit(train: npt.NDArray[np.bool_]) -> Vector:
        sums = np.bincount(groups[train], weights=y[train], minlength=size)
        counts = np.bincount(groups[train], minlength=size)
        table: Vector = (sums + y[train].mean()) / (counts + 1)
        fitted: Vector = table[groups[~train]]
        return fitted

    return _out_of_fold(len(y), fit)


def _interpolated(x: Vector, y: Vector) -> Vector:
    """Predict each row by interpolation in the other fold: close for any smooth function, also with heavy tails."""

    def fit(train: npt.NDArray[np.bool_]) -> Vector:
        values, inverse, counts = np.unique(x[train], return_inverse=True, return_counts=True)
        means = np.bincount(inverse, weights=y[train]) / counts
        return np.interp(x[~train], values, means)

    return _out_of_fold(len(y), fit)


def _out_of_fold(n_rows: int, fit: Callable[[npt.NDArray[np.bool_]], Vector]) -> Vector:
    # Interleaved by a multiplicative hash: alternating rows would split rows that come in pairs systematically.
    fold = (np.arange(n_rows, dtype=np.uint64) * np.uint64(2654435761) >> np.uint64(16)) % np.uint64(N_FOLDS)
    predicted = np.empty(n_rows)
    for number in range(N_FOLDS):
        predicted[fold == number] = fit(fold != number)
    return predicted


def _r2(y: Vector, predicted: Vector) -> float:
    total = float(np.sum((y - y.mean()) ** 2))
    return 0.0 if total == 0 else 1.0 - float(np.sum((y - predicted) ** 2)) / total


def _auc(score: Vector, positive: npt.NDArray[np.bool_]) -> float:
    """Return the area under the ROC curve by ranks, with ties counted half; 0.5 if a class is absent."""
    n_positive = int(positive.sum())
    n_negative = len(positive) - n_positive
    if not n_positive or not n_negative:
        return 0.5
    return float((_ranks(score)[positive].sum() - n_positive * (n_positive + 1) / 2) / (n_positive * n_negative))


def _ranks(values: Vector) -> Vector:
    """Return ranks from 1; ties have their mean rank."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks: Vector = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    return ranks
