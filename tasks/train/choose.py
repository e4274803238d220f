"""Compare the candidates of a model file on folds of the training rows, and choose one."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass

from sklearn.base import BaseEstimator

from config.schema import AVERAGE, ModelConfig
from core.errors import TrainingError
from core.train.portfolio import Choice, Tried, average_outputs, candidate_estimators, chosen
from core.train.trials import FoldTrials, Scores, Trial

logger = logging.getLogger("perennial.choose")


@dataclass(frozen=True, eq=False)
class Chosen:
    """The choice and what it is made of.

    Parameters
    ----------
    choice
        The candidate with its reason, and the scores of all.
    members
        The candidate's trial by its name; of the average: those of all its members.
    scores
        By metric, one value per fold; empty without folds.
    """

    choice: Choice
    members: dict[str, Trial]
    scores: Scores

    @property
    def estimators(self) -> dict[str, BaseEstimator]:
        """Unfitted estimators of the members, by name."""
        return {name: trial.estimator for name, trial in self.members.items()}

    @property
    def params(self) -> dict[str, object]:
        """Parameters that were chosen in time order, by member and name."""
        return {
            f"{member}.{name}": value for member, trial in self.members.items() for name, value in trial.params.items()
        }


@dataclass(frozen=True, eq=False)
class _Compared:
    trials: dict[str, Trial]
    tried: dict[str, Tried]


def choose_candidate(config: ModelConfig, trials: FoldTrials) -> Chosen:
    """Try each candidate on the folds, then the mean of their predictions, and choose by the gate's metric.

    Without folds the first candidate is chosen. A budget in minutes ends by the clock, after at least one candidate;
    without one the same rows give the same choice.

    Raises
    ------
    ConfigError
        A candidate does not import, does not fit the task, or does not take its parameters.
    TrainingError
        No candidate could be fitted.
    """
    estimators, metric = candidate_estimators(config), config.gate.metric
    if not trials.n_folds:
        name = next(iter(estimators))
        reason = "the first candidate: there are no folds to compare them on (training.cv, or too few rows)"
        return Chosen(Choice(name, reason, metric, ()), {name: trials.trial(estimators[name])}, {})
    compared = _compared(config, trials, estimators)
    scores = {name: trial.scores for name, trial in compared.trials.items()}
    if config.training.search is not None and config.training.search.average and len(scores) > 1:
        scores[AVERAGE] = trials.scores(average_outputs([trial.outputs for trial in compared.trials.values()]))
        compared.tried[AVERAGE] = Tried(AVERAGE, scores[AVERAGE][metric])
    name, reason = chosen({name: values[metric] for name, values in scores.items()}, metric, config.time is not None)
    members = compared.trials if name == AVERAGE else {name: compared.trials[name]}
    own = ", ".join(tried for tried in compared.tried if tried != AVERAGE)
    of = f"the average of {own}" if name == AVERAGE else f"{name} of {', '.join(compared.tried)}"
    logger.info("chose %s: %s", of, reason)
    return Chosen(Choice(name, reason, metric, tuple(compared.tried.values())), members, scores[name])


def _compared(config: ModelConfig, trials: FoldTrials, estimators: Mapping[str, BaseEstimator]) -> _Compared:
    found, refusal, spent = _Compared({}, {}), "", 0.0
    for name, estimator in estimators.items():
        if found.trials and spent >= _budget(config):
            found.tried[name] = Tried(name, problem="not tried: training.search.minutes are spent")
            continue
        began = time.monotonic()
        try:
            trial = trials.trial(estimator)
        except TrainingError as error:
            refusal = str(error)
            found.tried[name] = Tried(name, problem=refusal)
            continue
        seconds = time.monotonic() - began
        spent += seconds
        found.trials[name] = trial
        found.tried[name] = Tried(name, trial.scores[config.gate.metric], seconds)
    _log(found)
    if not found.trials:
        raise TrainingError(f"none of the candidates of training.search could be fitted: {refusal}")
    return found


def _log(found: _Compared) -> None:
    for name, tried in found.tried.items():
        for message in found.trials[name].warned if name in found.trials else [tried.problem]:
            logger.warning("candidate %s: %s", name, message)


def _budget(config: ModelConfig) -> float:
    search = config.training.search
    return float("inf") if search is None or search.minutes is None else 60 * search.minutes
