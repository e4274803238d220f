from __future__ import annotations

import pytest

from core.errors import ConfigError
from core.train.estimators import load_estimator

FOREST = "sklearn.ensemble.RandomForestClassifier"


def test_seed_becomes_the_random_state() -> None:
    """The seed of the model file decides, unless the parameters say otherwise."""
    assert load_estimator(FOREST, {}, 7, "binary").random_state == 7
    assert load_estimator(FOREST, {"random_state": 3}, 7, "binary").random_state == 3
    assert not hasattr(load_estimator("sklearn.neighbors.KNeighborsRegressor", {}, 7, "regression"), "random_state")


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("sklearn.ensemble.HistGradientBostingClassifier", "did you mean 'sklearn.ensemble.HistGradientBoosting"),
        ("sklearn.ensembles.RandomForestClassifier", "does not import: .* did you mean 'sklearn.ensemble.RandomForest"),
        ("nowhere.Model", "'nowhere.Model' does not import: No module named 'nowhere'"),
        ("os.path.join", "expected an estimator class .* found 'os.path.join'"),
        ("collections.OrderedDict", "expected an estimator class"),
    ],
)
def test_path_that_leads_nowhere_is_refused(path: str, message: str) -> None:
    """The message says what failed and names a close match."""
    with pytest.raises(ConfigError, match=message):
        load_estimator(path, {}, 0, "binary")


def test_unknown_parameter_is_refused() -> None:
    """The message names a close match and the parameters there are."""
    with pytest.raises(ConfigError, match=r"no parameter 'n_estimator'.*'n_estimators'.*max_depth"):
        load_estimator(FOREST, {"n_estimator": 10}, 0, "binary")


@pytest.mark.parametrize(
    ("path", "task", "message"),
    [
        (FOREST, "regression", "needs a regressor, found .* use sklearn.ensemble.RandomForestRegressor"),
        (
            "sklearn.linear_model.Ridge",
            "binary",
            "the task binary needs a classifier, found sklearn.linear_model.Ridge",
        ),
        ("sklearn.svm.LinearSVC", "binary", r"no probabilities.*CalibratedClassifierCV.*import: sklearn.svm.LinearSVC"),
        ("sklearn.preprocessing.StandardScaler", "binary", "needs a classifier"),
    ],
)
def test_estimator_must_fit_the_task(path: str, task: str, message: str) -> None:
    """A regressor is no classifier, and probabilities are needed; the message says what to use."""
    with pytest.raises(ConfigError, match=message):
        load_estimator(path, {}, 0, task)


def test_parameter_can_be_an_estimator() -> None:
    """The advice given for estimators without probabilities works."""
    inner = {"import": "sklearn.svm.LinearSVC", "params": {"C": 0.5}}
    found = load_estimator("sklearn.calibration.CalibratedClassifierCV", {"estimator": inner}, 5, "binary")
    assert (found.estimator.C, found.estimator.random_state) == (0.5, 5)


def test_missing_required_part_is_refused() -> None:
    """An estimator that needs others says so."""
    with pytest.raises(ConfigError, match=r"cannot be built.*estimators"):
        load_estimator("sklearn.ensemble.VotingClassifier", {}, 0, "binary")
