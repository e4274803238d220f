"""Search hyper-parameters by Optuna; a killed search is resumed with the same result."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from config.schema import Search
from core.errors import TrainingError
from core.train.search_space import Dimension

if TYPE_CHECKING:
    from optuna import Study
    from optuna.distributions import BaseDistribution
    from optuna.samplers import BaseSampler
    from optuna.trial import FrozenTrial

logger = logging.getLogger("perennial.search")

Params = dict[str, Any]
Scores = dict[str, tuple[float, ...]]


@dataclass(frozen=True)
class SearchSummary:
    """Result of a search.

    Parameters
    ----------
    metric
        The gate's metric, which was optimised.
    n_trials
        Candidates tried, including those that could not be fitted.
    n_failed
        Candidates that could not be fitted.
    params
        The best candidate's values.
    scores
        The best candidate's scores, by metric, one per fold.
    seconds
        Time spent on candidates, summed over all interrupted runs.
    """

    metric: str
    n_trials: int
    n_failed: int
    params: Params
    scores: Scores
    seconds: float


def search_params(
    search: Search,
    dimensions: Sequence[Dimension],
    score: Callable[[Params], Scores],
    *,
    metric: str,
    greater_is_better: bool,
    start: Params,
    seed: int,
    journal: Path,
) -> SearchSummary:
    """Try candidates until the budget is spent.

    Candidate k depends on the seed, on k and on the candidates before it, not on the process: a search that was
    killed and restarted with the same journal tries the same candidates as an uninterrupted one. This holds for a
    budget in trials. A budget in minutes ends by the clock, after at least one candidate.

    Parameters
    ----------
    score
        Scores of a candidate by metric, one per fold; raises TrainingError if it cannot be fitted.
    start
        The configured values; if they lie in the space, they are the first candidate, so that the search never returns
        a worse one.
    journal
        File of the candidates tried; created if it is missing.

    Raises
    ------
    TrainingError
        No candidate could be fitted.
    """
    import optuna

    # Optuna would report each candidate on standard error; the summary is logged instead.
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = _open_study(journal, greater_is_better)
    refusal = ""
    while not _spent(study.trials, search):
        number = len(study.trials)
        params = _start(dimensions, start) if number == 0 else None
        params = params or _suggestion(study, dimensions, search, seed, number)
        began = time.monotonic()
        scores, refused = _scored(score, _values(dimensions, params))
        refusal = refused or refusal
        # One line of the journal per candidate, written when it is done: a kill leaves no partial candidate.
        study.add_trial(_finished_trial(dimensions, params, scores, metric, time.monotonic() - began))
    return _summary(study, dimensions, metric, refusal)


def _open_study(journal: Path, greater_is_better: bool) -> Study:
    import optuna
    from filelock import FileLock
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    journal.parent.mkdir(parents=True, exist_ok=True)
    _cut_torn_line(journal)
    # Optuna's own locks stay for 30 s after a process is killed; the operating system releases this one at once.
    lock: Any = FileLock(f"{journal}.lock")
    return optuna.create_study(
        storage=JournalStorage(JournalFileBackend(str(journal), lock)),
        study_name="search",
        direction="maximize" if greater_is_better else "minimize",
        load_if_exists=True,
    )


def _cut_torn_line(journal: Path) -> None:
    """Remove an incomplete last line of a killed process; Optuna would append to it and then fail to read the file."""
    if journal.exists():
        content = journal.read_bytes()
        if not content.endswith(b"\n"):
            with journal.open("r+b") as file:
                file.truncate(content.rfind(b"\n") + 1)


def _spent(trials: Sequence[FrozenTrial], search: Search) -> bool:
    if search.trials is not None and len(trials) >= search.trials:
        return True
    return search.minutes is not None and bool(trials) and _seconds(trials) >= 60 * search.minutes


def _seconds(trials: Sequence[FrozenTrial]) -> float:
    return math.fsum(trial.user_attrs["seconds"] for trial in trials)


def _start(dimensions: Sequence[Dimension], start: Params) -> Params | None:
    """Return the configured values in the study's form, or None if one is outside the space."""
    if not all(dimension.name in start and dimension.holds(start[dimension.name]) for dimension in dimensions):
        return None
    return {
        dimension.name: dimension.choices.index(start[dimension.name])
        if dimension.kind == "choice"
        else start[dimension.name]
        for dimension in dimensions
    }


def _suggestion(study: Study, dimensions: Sequence[Dimension], search: Search, seed: int, number: int) -> Params:
    """Suggest a candidate from a study of its own, so that the generator's state does not depend on earlier calls."""
    import optuna

    own_seed = int(np.random.SeedSequence([seed, number]).generate_state(1)[0])
    sampler: BaseSampler = (
        optuna.samplers.RandomSampler(own_seed)
        if search.sampler == "random"
        else optuna.samplers.TPESampler(seed=own_seed, constant_liar=False)
    )
    asked = optuna.create_study(direction=study.direction, sampler=sampler)
    asked.add_trials(study.trials)
    return asked.ask(_distributions(dimensions)).params


def _distributions(dimensions: Sequence[Dimension]) -> dict[str, BaseDistribution]:
    return {dimension.name: _distribution(dimension) for dimension in dimensions}


def _distribution(dimension: Dimension) -> BaseDistribution:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if dimension.kind == "choice":
        # Indices instead of values: Optuna stores only scalars, and a choice may be a list.
        return CategoricalDistribution(range(len(dimension.choices)))
    if dimension.kind == "int":
        return IntDistribution(
            int(dimension.low), int(dimension.high), log=dimension.log, step=int(dimension.step or 1)
        )
    return FloatDistribution(dimension.low, dimension.high, log=dimension.log, step=dimension.step)


def _values(dimensions: Sequence[Dimension], params: Mapping[str, Any]) -> Params:
    return {
        dimension.name: dimension.choices[params[dimension.name]]
        if dimension.kind == "choice"
        else params[dimension.name]
        for dimension in dimensions
    }


def _scored(score: Callable[[Params], Scores], params: Params) -> tuple[Scores, str]:
    try:
        return score(params), ""
    except TrainingError as error:
        logger.warning("skipped candidate %s: %s", params, error)
        return {}, str(error)


def _finished_trial(
    dimensions: Sequence[Dimension], params: Params, scores: Scores, metric: str, seconds: float
) -> FrozenTrial:
    from optuna.trial import TrialState, create_trial

    value = float(np.mean(scores[metric])) if scores else math.nan
    failed = math.isnan(value)
    return create_trial(
        state=TrialState.PRUNED if failed else TrialState.COMPLETE,
        value=None if failed else value,
        params=params,
        distributions=_distributions(dimensions),
        user_attrs={"seconds": seconds, "scores": {name: list(values) for name, values in scores.items()}},
    )


def _summary(study: Study, dimensions: Sequence[Dimension], metric: str, refusal: str) -> SearchSummary:
    from optuna.trial import TrialState

    trials = study.trials
    n_failed = sum(trial.state is not TrialState.COMPLETE for trial in trials)
    if n_failed == len(trials):
        raise TrainingError(
            f"none of {len(trials)} candidates of training.search could be fitted or scored: "
            f"{refusal or 'the metric is undefined on every fold'}. Change training.search.space"
        )
    best = study.best_trial
    logger.info("tried %d candidates: best %s %.4f", len(trials), metric, best.value)
    return SearchSummary(
        metric=metric,
        n_trials=len(trials),
        n_failed=n_failed,
        params=_values(dimensions, best.params),
        scores={name: tuple(values) for name, values in best.user_attrs["scores"].items()},
        seconds=_seconds(trials),
    )
