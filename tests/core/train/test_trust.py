"""The types a stored pipeline may hold."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import pytest
import skops.io
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import (
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, WhiteKernel
from sklearn.linear_model import (
    ElasticNet,
    LinearRegression,
    LogisticRegression,
    PoissonRegressor,
    Ridge,
    SGDClassifier,
    TweedieRegressor,
)
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.svm import SVC, SVR
from sklearn.tree import DecisionTreeClassifier

from core.train.trust import TRUSTED_TYPES, trusted_types, untrusted_message
from tests.factories import credit_config
from tests.tasks.registration import FRAME, fit_pipeline

CLASSIFIERS = [
    RandomForestClassifier(3),
    RandomForestClassifier(3, random_state=np.random.RandomState(0)),
    ExtraTreesClassifier(3),
    DecisionTreeClassifier(),
    HistGradientBoostingClassifier(max_iter=3),
    HistGradientBoostingClassifier(max_iter=3, early_stopping=True),
    GradientBoostingClassifier(n_estimators=3),
    GradientBoostingClassifier(n_estimators=3, loss="exponential"),
    LogisticRegression(),
    SGDClassifier(loss="log_loss"),
    GaussianNB(),
    KNeighborsClassifier(),
    KNeighborsClassifier(p=1),
    KNeighborsClassifier(p=3, weights="distance"),
    KNeighborsClassifier(metric="chebyshev", algorithm="ball_tree"),
    KNeighborsClassifier(algorithm="brute"),
    MLPClassifier((3,), solver="lbfgs", max_iter=500),
    MLPClassifier((3,), solver="adam", max_iter=5),
    MLPClassifier((3,), solver="sgd", max_iter=5),
    SVC(),
    CalibratedClassifierCV(GaussianNB(), cv=2),
    CalibratedClassifierCV(GaussianNB(), cv=2, method="isotonic"),
    VotingClassifier([("a", GaussianNB()), ("b", RandomForestClassifier(2))], voting="soft"),
    StackingClassifier([("a", GaussianNB()), ("b", DecisionTreeClassifier(max_depth=2))], cv=2),
]
REGRESSORS = [
    RandomForestRegressor(3),
    HistGradientBoostingRegressor(max_iter=3),
    HistGradientBoostingRegressor(max_iter=3, loss="absolute_error"),
    HistGradientBoostingRegressor(max_iter=3, loss="quantile", quantile=0.5),
    GradientBoostingRegressor(n_estimators=3, loss="huber"),
    LinearRegression(),
    Ridge(),
    ElasticNet(),
    PoissonRegressor(),
    TweedieRegressor(power=1.5),
    TweedieRegressor(power=0, link="identity"),
    KNeighborsRegressor(),
    MLPRegressor(hidden_layer_sizes=(3,), max_iter=5),
    SVR(),
    GaussianProcessRegressor(RBF() + WhiteKernel()),
]
# Five iterations do not converge, which is not what is tested.
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def config_of(estimator: Any, task: str) -> Any:
    """Model file of an estimator, for one of two tasks."""
    changes: dict[str, Any] = {"training": {"estimator": f"{type(estimator).__module__}.{type(estimator).__name__}"}}
    if task == "regression":
        changes |= {"task": task, "positive": None, "gate": {"metric": "rmse", "floor": 9.0}}
    return credit_config(**changes)


@pytest.mark.parametrize(
    ("estimator", "task"),
    [*((estimator, "binary") for estimator in CLASSIFIERS), *((estimator, "regression") for estimator in REGRESSORS)],
    ids=lambda value: value if isinstance(value, str) else repr(value)[:60].replace("\n", ""),
)
def test_scikit_learns_estimators_come_back_from_disk(estimator: Any, task: str) -> None:
    """A fitted pipeline with the estimator is stored and loaded with our list, and predicts the same bits."""
    pipeline, _ = fit_pipeline(estimator, config_of(estimator, task))
    loaded = skops.io.loads(skops.io.dumps(pipeline), trusted=list(TRUSTED_TYPES))
    answer = "predict_proba" if hasattr(pipeline, "predict_proba") else "predict"
    np.testing.assert_array_equal(getattr(loaded, answer)(FRAME), getattr(pipeline, answer)(FRAME))


def test_early_stopping_by_score_comes_back_too() -> None:
    """Above 10,000 rows histogram gradient boosting stops early by itself: its scorer is no obstacle."""
    X = np.random.default_rng(0).normal(size=(10_001, 2))
    model = HistGradientBoostingClassifier(max_iter=2).fit(X, X[:, 0] > 0)
    assert model.do_early_stopping_
    loaded = skops.io.loads(skops.io.dumps(model), trusted=list(TRUSTED_TYPES))
    np.testing.assert_array_equal(loaded.predict_proba(X), model.predict_proba(X))


@pytest.mark.parametrize("name", TRUSTED_TYPES)
def test_every_name_on_the_list_is_a_type(name: str) -> None:
    """The list names types that exist, and no function: a function could be called with a file's arguments."""
    module, _, attribute = name.rpartition(".")
    assert isinstance(getattr(importlib.import_module(module), attribute), type)


def test_a_model_files_own_types_are_added_once() -> None:
    """What a model file trusts comes on top of the list."""
    assert trusted_types(("mine.Booster", "numpy.dtype")) == (*TRUSTED_TYPES, "mine.Booster")


def test_the_message_names_the_types_and_the_setting() -> None:
    """People learn which types are meant and where to allow them."""
    message = untrusted_message({"mine.B", "mine.A"})
    assert "mine.A, mine.B" in message
    assert "training: {trusted_types: [mine.A, mine.B]}" in message
