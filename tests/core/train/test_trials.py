"""Trials of estimators on the folds of the training rows."""

from __future__ import annotations

from typing import Any

import pytest
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression

from core.data.split import folds, newest_fold
from core.feature_contract import FeatureContract
from core.model_inputs import encode_target, prepare
from core.train.trials import FoldTrials
from tests.core.training_rows import training_config, training_rows

STOPPING = HistGradientBoostingClassifier(early_stopping=True, random_state=0)


def trials(time: str | None, n_folds: int) -> FoldTrials:
    """Return trials on 1,500 rows with that many folds, in time order if there is a time column."""
    config, rows = training_config(time=time), training_rows(1500)
    contract = FeatureContract.of(config, rows.frame[config.target].unique().tolist())
    prepared, y = prepare(rows.frame, contract), encode_target(rows.frame[config.target], contract)
    pairs = folds(config, rows.frame, y, rows.row_ids, n_folds)
    return FoldTrials(config, contract, prepared, y, pairs, newest_fold(config, rows.frame, y))


@pytest.mark.parametrize("n_folds", [0, 3])
def test_boosting_in_time_order_validates_on_no_random_part(n_folds: int) -> None:
    """The number of iterations is chosen on later rows, with the folds of cross-validation or without any."""
    trial = trials("day", n_folds).trial(STOPPING)
    estimator: Any = trial.estimator
    assert trial.params == {"early_stopping": False, "max_iter": estimator.max_iter}
    assert [len(values) for values in trial.scores.values()] == [3, 3] * bool(n_folds)


def test_boosting_without_a_time_stops_as_configured() -> None:
    """Rows without an order have no later part."""
    trial = trials(None, 3).trial(STOPPING)
    estimator: Any = trial.estimator
    assert (trial.params, estimator.early_stopping) == ({}, True)


def test_a_trial_has_one_output_and_one_score_per_fold() -> None:
    """The gate's metric comes first, and without folds there is none."""
    trial = trials("day", 3).trial(LogisticRegression())
    assert len(trial.outputs) == 3
    assert list(trial.scores) == ["roc_auc", "log_loss"]
    assert all(score > 0.6 for score in trial.scores["roc_auc"])
    assert trials("day", 0).trial(LogisticRegression()).scores == {}
