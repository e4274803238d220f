"""Fit and score estimators so that the result depends only on the rows, the parameters and the seed."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.base import BaseEstimator, clone
from sklearn.compose import ColumnTransformer

from core.data.rolling_origin import Fold
from core.errors import TrainingError
from core.feature_contract import FeatureContract
from core.metrics.evaluation import predict_output
from core.metrics.metrics import Floats, metric_values
from core.train.weights import Weights, fit_weighted

KEPT_BYTES = 2**30
"""Encoded folds up to this size are kept in memory for the next candidate; larger ones are encoded each time."""

SMALL_CELLS = 1_000_000
"""Maximum cells of a matrix for one OpenMP thread: such a fit takes about a second, and with several threads it takes
two to four times as long if other processes use the cores (docs/decisions/training.md)."""

EncodedFold = tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]]


def fit_estimator(
    estimator: BaseEstimator,
    X: npt.NDArray[Any],
    y: npt.NDArray[Any],
    validation: tuple[npt.NDArray[Any], npt.NDArray[Any]] | None = None,
    weights: Weights | None = None,
) -> tuple[str, ...]:
    """Fit an estimator in place; return its distinct warnings.

    Linear algebra runs on one thread: with more, sums have another order and differ in the last bits.

    Parameters
    ----------
    estimator
        The estimator to fit.
    X
        Encoded features, shape (n, c), float32.
    y
        Encoded target, shape (n,): class codes, int64; regression: numbers, float64.
    validation
        Rows and target for the early stopping of histogram gradient boosting; None for its own choice.
    weights
        Weight of each row, shape (n,), above 0; None for equal weights.

    Raises
    ------
    TrainingError
        The estimator refuses the rows or a parameter's value; the message includes its own.
    """
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped] # ships no types

    given = {} if validation is None else {"X_val": validation[0], "y_val": validation[1]}
    limits = {"blas": 1} | ({"openmp": 1} if X.size <= SMALL_CELLS else {})
    with warnings.catch_warnings(record=True) as caught, threadpool_limits(limits):
        warnings.simplefilter("always")
        try:
            if weights is None:
                estimator.fit(X, y, **given)
            else:
                fit_weighted(estimator, X, y, weights, **given)
        except (ValueError, TypeError) as error:
            raise TrainingError(
                f"{type(estimator).__name__} cannot be fitted: {error}. Change training.params or the rows"
            ) from error
    _predict_in_order(estimator)
    return tuple(dict.fromkeys(" ".join(str(warning.message).split()) for warning in caught))


def check_trainable(prepared: pd.DataFrame, y: npt.NDArray[Any], contract: FeatureContract) -> None:
    """Check the training rows for values that no estimator can be fitted on.

    Parameters
    ----------
    prepared
        n rows as :func:`core.model_inputs.prepare` returns them.
    y
        Encoded target, shape (n,): class codes, int64; regression: numbers, float64.
    contract
        Names of the target and of the columns.

    Raises
    ------
    TrainingError
        The target is constant or not finite, or a feature has infinite values.
    """
    if not np.isfinite(y).all():
        raise TrainingError(
            f"target {contract.target!r} must be finite, found {np.count_nonzero(~np.isfinite(y)):,} infinite or NaN; "
            "correct them in the source, or leave the target empty there"
        )
    if len(np.unique(y)) < 2:
        raise TrainingError(
            f"target {contract.target!r} is constant in the training rows; add rows with another value to train"
        )
    for column in contract.prepared_numeric:
        n_infinite = int(np.isinf(prepared[column].to_numpy()).sum())
        if n_infinite:
            raise TrainingError(
                f"feature {column!r} must be finite, found {n_infinite:,} values that are infinite or beyond 3.4e38, "
                "the largest 32-bit number; correct them in the source, or move the feature to features.ignored"
            )


class EncodedFolds:
    """The encoded folds of cross-validation; each fold's encoder is fitted on its training rows only.

    Parameters
    ----------
    prepared, y
        Prepared training rows, n of them, and their encoded target, shape (n,).
    pairs
        Positions of the training and test rows of each fold.
    encoder_of
        Function from a fold's prepared training rows to its unfitted encoder.
    keep
        Whether the folds will be read more than once.
    weights
        Weight of each row, shape (n,); None for equal weights.
    """

    def __init__(
        self,
        prepared: pd.DataFrame,
        y: npt.NDArray[Any],
        pairs: Sequence[Fold],
        encoder_of: Callable[[pd.DataFrame], ColumnTransformer],
        keep: bool = False,
        weights: Weights | None = None,
    ) -> None:
        self._weights = weights
        self._prepared, self._y, self._pairs, self._encoder_of = prepared, y, pairs, encoder_of
        n_cells = sum(len(train) + len(test) for train, test in pairs) * prepared.shape[1]
        self._kept: list[EncodedFold] | None = [] if keep and n_cells * 4 <= KEPT_BYTES else None

    def __len__(self) -> int:
        return len(self._pairs)

    @property
    def targets(self) -> list[npt.NDArray[Any]]:
        """Encoded target of the test rows, by fold."""
        return [self._y[test] for _, test in self._pairs]

    @property
    def weights(self) -> list[Weights | None]:
        """Weights of each fold's training rows."""
        return [None if self._weights is None else self._weights[train] for train, _ in self._pairs]

    def __iter__(self) -> Iterator[EncodedFold]:
        for number, pair in enumerate(self._pairs):
            if self._kept is None:
                yield self._encoded(*pair)
                continue
            if number == len(self._kept):
                self._kept.append(self._encoded(*pair))
            yield self._kept[number]

    def _encoded(self, train: npt.NDArray[np.int64], test: npt.NDArray[np.int64]) -> EncodedFold:
        train_rows = self._prepared.take(train)
        encoder = self._encoder_of(train_rows)
        X_train = encoder.fit_transform(train_rows, self._y[train])
        return X_train, self._y[train], encoder.transform(self._prepared.take(test)), self._y[test]


def fold_outputs(
    estimator: BaseEstimator, folds: EncodedFolds, contract: FeatureContract
) -> tuple[list[Floats], tuple[str, ...]]:
    """Predict each fold's test rows by a clone of an estimator that was fitted on its training rows.

    Parameters
    ----------
    estimator
        The estimator to clone.
    folds
        Encoded training and test rows of each fold.
    contract
        Task and classes.

    Returns
    -------
    outputs
        By fold: probabilities, shape (n_test, k), or values, shape (n_test,).
    warned
        Distinct warnings of the clones.

    Raises
    ------
    TrainingError
        As :func:`fit_estimator`.
    """
    outputs: list[Floats] = []
    warned: list[str] = []
    for (X_train, y_train, X_test, _), weights in zip(folds, folds.weights, strict=True):
        candidate = clone(estimator)
        warned += fit_estimator(candidate, X_train, y_train, weights=weights)
        outputs.append(predict_output(candidate, X_test, contract))
    return outputs, tuple(dict.fromkeys(warned))


def output_scores(
    outputs: Sequence[Floats], targets: Sequence[npt.NDArray[Any]], metrics: Sequence[str]
) -> dict[str, tuple[float, ...]]:
    """Score the predictions of each fold.

    Parameters
    ----------
    outputs
        By fold: probabilities, shape (n_test, k), or values, shape (n_test,).
    targets
        By fold: encoded target, shape (n_test,).
    metrics
        Names of metrics that fit the task.

    Returns
    -------
    dict
        By metric, one value per fold.
    """
    by_fold = [metric_values(y, output, metrics) for output, y in zip(outputs, targets, strict=True)]
    return {metric: tuple(values[metric] for values in by_fold) for metric in metrics}


def _predict_in_order(estimator: BaseEstimator) -> None:
    """Make a forest sum its trees in a fixed order: in parallel, the order depends on which tree is ready first."""
    if "n_jobs" in estimator.get_params(deep=False):
        estimator.set_params(n_jobs=None)
