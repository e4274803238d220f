"""The choice among candidates: estimators and their average, compared on folds of the training rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.base import BaseEstimator

from config.schema import AVERAGE, ModelConfig
from core.metrics.metrics import METRICS, Floats
from core.train.estimators import load_estimator, with_params
from core.train.search_space import search_space


@dataclass(frozen=True)
class Tried:
    """One candidate and its scores.

    Parameters
    ----------
    name
        Name in the model file, or ``average``.
    scores
        The gate's metric, one value per fold; empty if it was not scored.
    seconds
        Duration of its fits on the folds.
    problem
        Why it was not scored; empty if it was.
    """

    name: str
    scores: tuple[float, ...] = ()
    seconds: float = 0.0
    problem: str = ""


@dataclass(frozen=True)
class Choice:
    """The candidate that is trained on all training rows.

    Parameters
    ----------
    name
        Its name, or ``average``.
    reason
        One sentence.
    metric
        The gate's metric.
    tried
        All candidates, in the model file's order, the average last.
    """

    name: str
    reason: str
    metric: str
    tried: tuple[Tried, ...]


def choice_records(choice: Choice | None) -> dict[str, str]:
    """Return the choice as texts by name, for the records of a training run.

    Examples
    --------
    >>> choice = Choice("linear", "the best mean", "roc_auc", (Tried("linear", (0.7, 0.8), 1.3),))
    >>> choice_records(choice)
    {'choice.reason': 'the best mean', 'choice.linear': 'roc_auc 0.7500, by fold 0.7000 0.8000; 1.3 s'}
    """
    if choice is None:
        return {}
    tried = {f"choice.{one.name}": one.problem or _sentence(one, choice.metric) for one in choice.tried}
    return {"choice.reason": choice.reason} | tried


def _sentence(one: Tried, metric: str) -> str:
    folds = " ".join(f"{score:.4f}" for score in one.scores)
    took = f"; {one.seconds:.1f} s" if one.seconds else ""
    return f"{metric} {np.mean(one.scores):.4f}, by fold {folds}{took}"


def candidate_estimators(config: ModelConfig) -> dict[str, BaseEstimator]:
    """Build the candidates of a model file, by name.

    Raises
    ------
    ConfigError
        One does not import, does not fit the task, or does not take its parameters.
    """
    training = config.training
    return {
        name: load_estimator(
            one.estimator, one.params, training.seed, config.task, where=f"training.search.candidates.{name}"
        )
        for name, one in training.candidates.items()
    }


def configured_estimator(config: ModelConfig) -> BaseEstimator:
    """Build the one estimator of a model file; it takes its parameters and those that are searched.

    Raises
    ------
    ConfigError
        It does not import, does not fit the task, or does not take a parameter; or the search space is malformed.
    """
    training = config.training
    estimator = load_estimator(training.estimator, training.params, training.seed, config.task)
    known = estimator.get_params(deep=True)
    dimensions = search_space(training.search.space) if training.search else ()
    searched = {dimension.name: known.get(dimension.name) for dimension in dimensions}
    return with_params(estimator, searched, "training.search.space")


def check_estimators(config: ModelConfig) -> None:
    """Build every estimator of a model file once, so that a wrong one is refused before any row is read.

    Raises
    ------
    ConfigError
        One does not import, does not fit the task, or does not take a parameter.
    """
    if config.training.candidates:
        candidate_estimators(config)
    else:
        configured_estimator(config)


def average_outputs(members: Sequence[Sequence[Floats]]) -> list[Floats]:
    """Return the mean of several estimators' predictions, by fold."""
    return [np.mean(of_fold, axis=0) for of_fold in zip(*members, strict=True)]


def chosen(scores: Mapping[str, Sequence[float]], metric: str, in_time_order: bool) -> tuple[str, str]:
    """Choose the candidate with the best mean score; in time order, prefer the average where the difference is small.

    Folds in time order are few and differ in their world, so that the best on them may be the best by chance. There the
    average is kept unless a candidate is better by more than one standard error of the difference over the folds.

    Parameters
    ----------
    scores
        The metric by candidate, one value per fold; at least one candidate. NaN counts as the worst.
    metric
        Name of the metric.
    in_time_order
        Whether each fold was predicted from the rows before it.

    Returns
    -------
    name, reason
        The candidate, and one sentence.

    References
    ----------
    The rule of one standard error: Breiman, Friedman, Olshen, Stone: Classification and Regression Trees (1984), 3.4.3.
    """
    sign = 1.0 if METRICS[metric].greater_is_better else -1.0
    gains = {name: np.nan_to_num(sign * np.array(values), nan=-np.inf) for name, values in scores.items()}
    best = max(gains, key=lambda name: float(gains[name].mean()))
    n_folds = len(gains[best])
    if not in_time_order or AVERAGE not in gains or best == AVERAGE or n_folds < 2:
        return best, f"the best mean {metric} over {n_folds} folds"
    lead = gains[best] - gains[AVERAGE]
    error = float(lead.std(ddof=1) / np.sqrt(n_folds))
    shown = f"{abs(lead.mean()):.4g} ± {error:.2g} {metric} over {n_folds} folds in time order"
    if lead.mean() > error:
        return best, f"better than the average by {shown}"
    return AVERAGE, f"{best} is better by {shown}, which is within one standard error"
