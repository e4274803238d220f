"""Early stopping of boosting on rows that come after those it was fitted on."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.linear_model import Ridge

from core.data.split import folds
from core.feature_contract import FeatureContract
from core.metrics.evaluation import predict_output
from core.model_inputs import encode_target, prepare
from core.train.fitting import EncodedFolds, fit_estimator
from core.train.iterations import best_number, checked_numbers, stopped_in_time_order, stops_on_random_rows
from core.train.pipeline import build_encoder
from tests.core.training_rows import training_config, training_rows


def time_folds(task: str = "binary", n_rows: int = 1500) -> tuple[EncodedFolds, FeatureContract]:
    """Return three encoded folds in time order, and the contract of their rows."""
    config, rows = training_config(task, time="day"), training_rows(n_rows, task)
    labels = () if task == "regression" else rows.frame[config.target].unique().tolist()
    contract = FeatureContract.of(config, labels)
    prepared, y = prepare(rows.frame, contract), encode_target(rows.frame[config.target], contract)
    pairs = folds(config, rows.frame, y, rows.row_ids, 3)
    return EncodedFolds(prepared, y, pairs, lambda part: build_encoder(contract, part, "gaps")), contract


@pytest.mark.parametrize(
    ("estimator", "n_rows", "prefixes"),
    [
        (HistGradientBoostingClassifier(early_stopping=True), 100, [""]),
        (HistGradientBoostingClassifier(), 10_000, []),
        (HistGradientBoostingClassifier(), 10_001, [""]),
        (HistGradientBoostingRegressor(early_stopping=False), 50_000, []),
        (CalibratedClassifierCV(HistGradientBoostingClassifier(early_stopping=True)), 100, ["estimator__"]),
        (Ridge(), 50_000, []),
    ],
)
def test_boosting_that_validates_on_random_rows_is_found(estimator: Any, n_rows: int, prefixes: list[str]) -> None:
    """Also inside another estimator; ``auto`` stops early above 10,000 rows."""
    assert list(stops_on_random_rows(estimator, n_rows)) == prefixes


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_outputs_are_those_of_a_model_fitted_with_the_chosen_number(task: str) -> None:
    """The predictions of the first iterations equal those of a boosting that ends there, on every fold.

    The number that is set is larger, as all rows are more than a fold's.
    """
    kind = HistGradientBoostingRegressor if task == "regression" else HistGradientBoostingClassifier
    encoded, contract = time_folds(task)
    estimator = kind(early_stopping=True, max_iter=200, max_features=0.5, random_state=0)
    metric = {"binary": "roc_auc", "multiclass": "log_loss", "regression": "rmse"}[task]
    stopped = stopped_in_time_order(estimator, encoded, contract, metric, 1500)
    chosen: Any = stopped.estimator
    assert (chosen.early_stopping, estimator.early_stopping) == (False, True)
    assert 1 <= chosen.max_iter < 200
    assert stopped.outputs is not None
    on_folds = round(chosen.max_iter * np.mean([len(fold[0]) for fold in encoded]) / 1500)
    for output, (X_train, y_train, X_test, _) in zip(stopped.outputs, encoded, strict=True):
        ended = clone(chosen).set_params(max_iter=on_folds)
        fit_estimator(ended, X_train, y_train)
        rows: Any = X_test
        np.testing.assert_array_equal(output, predict_output(ended, rows, contract))


def test_boosting_inside_another_estimator_gets_its_number() -> None:
    """The wrapper is refitted by the caller, so there are no outputs to reuse."""
    encoded, contract = time_folds()
    wrapped = CalibratedClassifierCV(HistGradientBoostingClassifier(early_stopping=True, random_state=0))
    stopped = stopped_in_time_order(wrapped, encoded, contract, "roc_auc", 1500)
    assert stopped.outputs is None
    inner: Any = stopped.estimator.get_params()["estimator"]
    assert inner.early_stopping is False
    assert inner.max_iter < 100


@pytest.mark.parametrize(
    ("curves", "metric", "best"),
    [
        ([{10: 0.6, 20: 0.8}, {10: 0.9, 20: 0.8}], "roc_auc", 20),
        ([{10: 3.0, 20: 2.0}, {10: 1.0, 20: 4.0}], "rmse", 10),
        ([{10: 0.7, 20: 0.9}, {10: 0.7, 15: 0.8}], "roc_auc", 20),
        ([{10: 0.7, 20: 0.7}], "roc_auc", 10),
        ([{10: np.nan, 20: np.nan}, {10: 0.8, 20: 0.7}], "roc_auc", 10),
        ([{10: np.nan, 20: np.nan}], "roc_auc", 20),
    ],
)
def test_the_number_with_the_best_mean_is_chosen(curves: list[dict[int, float]], metric: str, best: int) -> None:
    """A fold that stopped before counts with its last value; a fold without the metric does not count."""
    assert best_number(curves, metric) == best


def test_numbers_to_check_are_few_and_end_at_the_last() -> None:
    """However many iterations there are."""
    assert checked_numbers(3) == [3]
    assert len(checked_numbers(100_000)) <= 25
    assert checked_numbers(777)[-1] == 777
