"""Fits that depend on rows, parameters and seed alone, and rows that nothing can learn from."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from core.errors import TrainingError
from core.feature_contract import FeatureContract
from core.train.fitting import EncodedFolds, check_trainable, fit_estimator, fold_outputs, output_scores
from tests.factories import credit_config

CONTRACT = FeatureContract.of(
    credit_config(features={"numeric": ["income"], "categorical": [], "boolean": []}), ["0", "1"]
)
FRAME = pd.DataFrame({"income": np.arange(12, dtype="float32")})
Y = np.array([0, 1] * 6)
PAIRS = [(np.arange(6), np.arange(6, 12)), (np.arange(6, 12), np.arange(6))]


class Complaining(ClassifierMixin, BaseEstimator):  # type: ignore[misc] # scikit-learn ships no types
    """Warns twice alike, on two lines, and then of the number of its rows."""

    def fit(self, X: npt.NDArray[Any], y: npt.NDArray[Any]) -> Complaining:
        """Learn the classes."""
        for text in ("slow\n  progress", "slow\n  progress", f"{len(X)} rows"):
            warnings.warn(text, stacklevel=1)
        self.classes_ = np.unique(y)
        return self

    def predict_proba(self, X: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Answer the same for each row."""
        return np.full((len(X), 2), 0.5)


def test_warnings_are_returned_once_each() -> None:
    """On one line, and never shown in between."""
    assert fit_estimator(Complaining(), FRAME.to_numpy(), Y) == ("slow progress", "12 rows")


def test_what_the_estimator_refuses_is_said_in_its_words() -> None:
    """With what to change."""
    with pytest.raises(TrainingError, match=r"LogisticRegression cannot be fitted: .*C.*Change training\.params"):
        fit_estimator(LogisticRegression(C=-1), FRAME.to_numpy(), Y)


def test_a_forest_predicts_in_one_order() -> None:
    """Trees that are added up in parallel differ in the last bits."""
    forest = RandomForestClassifier(2, n_jobs=2, random_state=0)
    fit_estimator(forest, FRAME.to_numpy(), Y)
    assert forest.n_jobs is None


@pytest.mark.parametrize(
    ("y", "income", "says"),
    [
        ([0.0, np.inf, np.nan], [1, 2, 3], r"must be finite, found 2 infinite or NaN"),
        ([1.0, 1.0, 1.0], [1, 2, 3], "is constant in the training rows"),
        ([0.0, 1.0, 1.0], [1, np.inf, -np.inf], r"feature 'income' must be finite, found 2 values"),
    ],
)
def test_rows_that_nothing_can_learn_from_are_refused(y: list[float], income: list[float], says: str) -> None:
    """Before an estimator fails on them in words of its own."""
    frame = pd.DataFrame({"income": np.array(income, dtype="float32")})
    with pytest.raises(TrainingError, match=says):
        check_trainable(frame, np.array(y), CONTRACT)


def test_a_gap_is_no_obstacle() -> None:
    """Missing numbers are values like others."""
    check_trainable(pd.DataFrame({"income": np.array([np.nan, 1.0], dtype="float32")}), np.array([0, 1]), CONTRACT)


def _folds(seen: list[list[float]], *, keep: bool) -> EncodedFolds:
    def encoder_of(learnt_from: pd.DataFrame) -> ColumnTransformer:
        seen.append(learnt_from["income"].tolist())
        return ColumnTransformer([("scale", StandardScaler(), ["income"])])

    return EncodedFolds(FRAME, Y, PAIRS, encoder_of, keep=keep)


@pytest.mark.parametrize(("keep", "n_encoded"), [(True, 2), (False, 4)])
def test_an_encoder_learns_from_its_training_rows_alone(keep: bool, n_encoded: int) -> None:
    """Folds that are read twice are the same arrays where they are kept, and equal ones where they are not."""
    seen: list[list[float]] = []
    folds = _folds(seen, keep=keep)
    first, second = list(folds), list(folds)
    assert len(folds) == 2
    assert len(seen) == n_encoded
    assert seen[:2] == [FRAME["income"].tolist()[:6], FRAME["income"].tolist()[6:]]
    for one, other in zip(first, second, strict=True):
        assert (one[0] is other[0]) is keep
        assert all(np.array_equal(*pair) for pair in zip(one, other, strict=True))
    X_train, _, X_test, _ = first[0]
    assert X_train.mean() == pytest.approx(0, abs=1e-6)
    assert X_test.mean() > 3


def test_each_fold_is_scored_by_a_model_of_its_own() -> None:
    """One value per fold and metric, and the warnings of all; the estimator that was given stays unfitted."""
    estimator = Complaining()
    folds = _folds([], keep=False)
    outputs, warned = fold_outputs(estimator, folds, CONTRACT)
    assert output_scores(outputs, [Y[test] for _, test in PAIRS], ["roc_auc", "brier"]) == {
        "roc_auc": (0.5, 0.5),
        "brier": (0.25, 0.25),
    }
    assert warned == ("slow progress", "6 rows")
    assert not hasattr(estimator, "classes_")
