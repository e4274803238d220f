"""The choice among candidates by their scores on folds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from config.schema import AVERAGE
from core.errors import ConfigError
from core.train.portfolio import average_outputs, candidate_estimators, check_estimators, chosen
from tests.core.training_rows import training_config

CANDIDATES = {
    "boosting": {"estimator": "sklearn.ensemble.HistGradientBoostingClassifier", "params": {"max_iter": 5}},
    "linear": {"estimator": "sklearn.linear_model.LogisticRegression", "params": {"C": 0.5}},
}


@pytest.mark.parametrize(
    ("boosting", "average", "metric", "in_time_order", "name"),
    [
        ((0.80, 0.81, 0.79), (0.79, 0.80, 0.78), "roc_auc", False, "boosting"),
        ((0.80, 0.81, 0.79), (0.79, 0.80, 0.781), "roc_auc", True, "boosting"),
        ((0.80, 0.90, 0.70), (0.81, 0.85, 0.71), "roc_auc", True, AVERAGE),
        ((0.80, 0.90, 0.70), (0.81, 0.85, 0.71), "roc_auc", False, "boosting"),
        ((5.0, 6.0, 9.0), (8.0, 9.0, 12.5), "rmse", True, "boosting"),
        ((5.0, 6.0, 9.0), (6.0, 5.9, 8.5), "rmse", True, AVERAGE),
        ((0.9,), (0.8,), "roc_auc", True, "boosting"),
        ((float("nan"), 0.9), (0.5, 0.5), "roc_auc", False, AVERAGE),
    ],
)
def test_in_time_order_the_average_is_left_for_a_clear_lead_only(
    boosting: tuple[float, ...], average: tuple[float, ...], metric: str, in_time_order: bool, name: str
) -> None:
    """One standard error over the folds; without an order of rows the best mean is chosen, one fold has no error."""
    found, reason = chosen({"boosting": boosting, AVERAGE: average}, metric, in_time_order)
    assert found == name
    assert metric in reason


def test_a_single_candidate_is_chosen_by_its_mean() -> None:
    """Where there is no average, time order makes no difference."""
    assert chosen({"one": (0.6, 0.7), "other": (0.7, 0.5)}, "roc_auc", True)[0] == "one"


def test_the_average_is_the_mean_of_the_members_by_fold() -> None:
    """Of probabilities, row by row."""
    one, other = [np.array([[0.2, 0.8]]), np.array([[1.0, 0.0]])], [np.array([[0.4, 0.6]]), np.array([[0.5, 0.5]])]
    first, second = average_outputs([one, other])
    np.testing.assert_allclose(first, [[0.3, 0.7]])
    np.testing.assert_allclose(second, [[0.75, 0.25]])


def test_candidates_are_built_with_their_parameters() -> None:
    """And with the seed of the model file."""
    config = training_config(
        training={"estimator": "auto", "params": {}, "search": {"candidates": CANDIDATES}, "seed": 4}
    )
    built = candidate_estimators(config)
    assert list(built) == ["boosting", "linear"]
    assert (built["boosting"].max_iter, built["boosting"].random_state, built["linear"].C) == (5, 4, 0.5)


def test_a_wrong_candidate_is_named() -> None:
    """The message names the candidate's place in the model file."""
    wrong = {**CANDIDATES, "linear": {"estimator": "sklearn.linear_model.Ridge"}}
    config = training_config(training={"estimator": "auto", "params": {}, "search": {"candidates": wrong}})
    with pytest.raises(ConfigError, match=r"training\.search\.candidates\.linear\.estimator: the task binary needs"):
        candidate_estimators(config)


@pytest.mark.parametrize(
    ("training", "message"),
    [
        ({"estimator": "sklearn.nosuch.Foo"}, r"training\.estimator: 'sklearn\.nosuch\.Foo' does not import"),
        ({"params": {"max_itr": 5}}, r"takes no parameter 'max_itr'; did you mean 'max_iter'"),
        ({"search": {"space": {"max_depht": [2, 8]}, "trials": 2}}, r"training\.search\.space: .* 'max_depht'"),
        (
            {"estimator": "auto", "params": {}, "search": {"candidates": CANDIDATES | {"x": {"estimator": "a.B"}}}},
            r"training\.search\.candidates\.x\.estimator: 'a\.B' does not import",
        ),
    ],
)
def test_every_estimator_of_a_model_file_is_checked_without_rows(training: dict[str, Any], message: str) -> None:
    """One estimator with its search space, or each candidate."""
    base = {"estimator": "sklearn.ensemble.HistGradientBoostingClassifier", "params": {}}
    check_estimators(training_config(training=base))
    with pytest.raises(ConfigError, match=message):
        check_estimators(training_config(training=base | training))
