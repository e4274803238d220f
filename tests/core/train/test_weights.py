"""Rows that count less the older they are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn.ensemble import HistGradientBoostingClassifier, VotingClassifier, VotingRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from core.errors import TrainingError
from core.train.fitting import fit_estimator
from core.train.trust import trusted_types
from core.train.weights import age_weights, fit_weighted

RNG = np.random.default_rng(0)
X = RNG.normal(size=(400, 2)).astype("float32")
AGE = np.arange(400)[::-1]
Y = (np.where(AGE < 100, X[:, 0], -X[:, 0]) > 0).astype(int)
"""The newest 100 rows follow another rule than the 300 before."""

WEIGHTS = 0.5 ** (AGE / 30)


def test_a_row_without_a_time_counts_as_the_oldest() -> None:
    """Its age is unknown; the newest row counts 1."""
    times = pd.Series(pd.to_datetime(["2024-01-01", "", "2024-01-11"]))
    assert age_weights(times, 10).tolist() == [0.5, 0.5, 1.0]


@pytest.mark.parametrize("estimator", [LogisticRegression(), HistGradientBoostingClassifier(max_iter=20)])
def test_a_weighted_fit_follows_the_newest_rows(estimator: Any) -> None:
    """Without weights most rows decide, with them the newest."""
    newest = AGE < 100
    fit_estimator(estimator, X, Y)
    before = np.corrcoef(estimator.predict_proba(X[newest])[:, 1], X[newest, 0])[0, 1]
    fit_estimator(estimator, X, Y, weights=WEIGHTS)
    after = np.corrcoef(estimator.predict_proba(X[newest])[:, 1], X[newest, 0])[0, 1]
    assert before < after
    assert after > 0.7


def test_the_unit_of_weights_makes_no_difference() -> None:
    """Equal weights of any size give the model without weights, regularisation included."""
    plain = LogisticRegression().fit(X, Y)
    weighted = LogisticRegression()
    fit_weighted(weighted, X, Y, np.full(400, 1e-6))
    np.testing.assert_allclose(weighted.coef_, plain.coef_, rtol=1e-6)


@pytest.mark.parametrize("kind", [VotingClassifier, VotingRegressor])
def test_members_of_an_average_are_weighted_and_stored(kind: Any) -> None:
    """Each as if it were fitted alone; the average is stored by skops and stays a copy of its settings."""
    member = LogisticRegression() if kind is VotingClassifier else Ridge()
    settings = {"voting": "soft", "flatten_transform": False} if kind is VotingClassifier else {}
    vote = kind([("one", make_pipeline(StandardScaler(), member)), ("two", member)], **settings)
    fit_estimator(vote, X, Y, weights=WEIGHTS)
    alone = type(member)()
    fit_weighted(alone, X, Y, WEIGHTS)
    np.testing.assert_allclose(vote.estimators_[1].coef_, alone.coef_)
    stored = skops.io.loads(skops.io.dumps(vote), trusted=list(trusted_types()))
    np.testing.assert_array_equal(stored.predict(X), vote.predict(X))
    assert [name for name, _ in vote.estimators] == ["one", "two"]


def test_an_estimator_without_weights_is_refused() -> None:
    """The message names the setting."""
    with pytest.raises(TrainingError, match=r"training\.half_life_days needs .* found KNeighborsClassifier"):
        fit_estimator(KNeighborsClassifier(), X, Y, weights=WEIGHTS)
