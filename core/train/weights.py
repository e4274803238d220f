"""Weights of training rows by their age."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.base import BaseEstimator, clone
from sklearn.ensemble import VotingClassifier, VotingRegressor
from sklearn.frozen import FrozenEstimator
from sklearn.utils import Bunch
from sklearn.utils.validation import has_fit_parameter

from config.schema import ModelConfig
from core.errors import TrainingError

Weights = npt.NDArray[np.float64]


def age_weights(time: pd.Series[Any], half_life_days: float) -> Weights:
    """Return a weight per row that halves with every half-life of its age; the newest row has weight 1.

    Parameters
    ----------
    time
        Time of each row, shape (n_rows,); a row without one counts as the oldest.
    half_life_days
        Age at which a row counts half, in days.

    Examples
    --------
    >>> age_weights(pd.Series(pd.to_datetime(["2024-01-01", "2024-01-31", "2024-03-01"])), 30).tolist()
    [0.25, 0.5, 1.0]
    """
    days = (time.max() - time) / pd.Timedelta(days=1)
    weights: Weights = np.power(0.5, days.fillna(days.max()).to_numpy(dtype="float64") / half_life_days)
    return weights


def training_weights(config: ModelConfig, frame: pd.DataFrame) -> Weights | None:
    """Return the weights that a model file asks for; None for equal weights.

    Parameters
    ----------
    config
        Names the half-life and the time column.
    frame
        The rows to fit on; the newest of them has weight 1.
    """
    half_life, time_column = config.training.half_life_days, config.time
    return None if half_life is None or time_column is None else age_weights(frame[time_column], half_life)


def fit_weighted(
    estimator: BaseEstimator, X: npt.NDArray[Any], y: npt.NDArray[Any], weights: Weights, **given: Any
) -> None:
    """Fit an estimator in place with weights of mean 1, so that regularisation counts as without weights.

    The members of a voting estimator of pipelines are fitted one by one: without metadata routing it passes weights to
    estimators only, and routing leaves requests in the estimators that skops cannot store.

    Parameters
    ----------
    estimator
        The estimator to fit.
    X, y
        Encoded features, shape (n, c), and encoded target, shape (n,).
    weights
        Weight of each row, shape (n,), above 0 in any unit.
    given
        Further arguments of ``fit``.

    Raises
    ------
    TrainingError
        The estimator takes no weights.
    """
    scaled = weights / weights.mean()
    if isinstance(estimator, VotingClassifier | VotingRegressor):
        _fit_members(estimator, X, y, scaled)
        return
    if not has_fit_parameter(estimator, "sample_weight"):
        raise TrainingError(
            f"training.half_life_days needs an estimator whose fit takes sample_weight, found "
            f"{type(estimator).__name__}; remove half_life_days or choose another estimator"
        )
    estimator.fit(X, y, sample_weight=scaled, **given)


def _fit_members(vote: Any, X: npt.NDArray[Any], y: npt.NDArray[Any], weights: Weights) -> None:
    fitted = {name: clone(member) for name, member in vote.estimators}
    for member in fitted.values():
        last = member.steps[-1][0] if hasattr(member, "steps") else ""
        member.fit(X, y, **{f"{last}__sample_weight" if last else "sample_weight": weights})
    unfitted = vote.estimators
    vote.set_params(estimators=[(name, FrozenEstimator(member)) for name, member in fitted.items()])
    vote.fit(X, y)
    vote.set_params(estimators=unfitted)
    # The frozen members of the documented attributes are replaced by the members themselves, which convert to ONNX.
    vote.estimators_, vote.named_estimators_ = [*fitted.values()], Bunch(**fitted)
