"""Cross-validate, search hyper-parameters if configured, and fit on all training rows."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.base import BaseEstimator, clone
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import Pipeline

from config.schema import ModelConfig
from config.settings import Settings
from core.data.rows import Rows
from core.data.split import Split, folds, newest_fold
from core.errors import TrainingError
from core.feature_contract import FeatureContract
from core.metrics.metrics import METRICS, Floats
from core.model_inputs import encode_target, prepare
from core.train.calibration import recalibrated, seems_miscalibrated
from core.train.estimators import with_params
from core.train.fitting import EncodedFolds, check_trainable, fit_estimator
from core.train.pipeline import build_average, build_pipeline
from core.train.portfolio import Choice, average_outputs, configured_estimator
from core.train.search_space import Dimension, search_space
from core.train.trials import FoldTrials, Trial
from core.train.weights import Weights, training_weights
from tasks.train.choose import choose_candidate
from tasks.train.search import Params, Scores, SearchSummary, search_params

logger = logging.getLogger("perennial.fit")

SEARCH_FOLDS = 3
"""Folds that score what a search tries if the model file configures no cross-validation."""


@dataclass(frozen=True, eq=False)
class FittedModel:
    """A pipeline fitted on all training rows, with its parameters, scores and search.

    Parameters
    ----------
    pipeline
        Steps ``prepare``, ``encode``, ``model``; takes raw columns.
    contract
        The raw columns and their kinds.
    params
        Parameters of the estimator as configured, with the values that the search found and the number of iterations
        that was chosen in time order.
    cv_scores
        The gate's metric and a few more, one value per fold; empty without cross-validation.
    search
        None if no search is configured.
    fit_seconds
        Duration of the last fit, on all training rows.
    choice
        Which candidate was chosen, and why; None if one estimator is configured.
    """

    pipeline: Pipeline
    contract: FeatureContract
    params: Params
    cv_scores: Scores
    search: SearchSummary | None
    fit_seconds: float
    choice: Choice | None = None


def fit_model(
    rows: Rows,
    split: Split,
    config: ModelConfig,
    contract: FeatureContract,
    settings: Settings,
    run_key: str,
) -> FittedModel:
    """Train on the split's training rows; the holdout is not used.

    A repeat gives the same model, bit for bit; an interrupted search is resumed (see
    :func:`tasks.train.search.search_params`).

    Raises
    ------
    ConfigError
        The estimator or the search space is invalid.
    TrainingError
        The estimator cannot be fitted on these rows.
    """
    frame = rows.frame.take(split.train)
    with np.errstate(over="ignore"):  # values beyond float32 become infinite; they are refused below by column name
        prepared, y = prepare(frame, contract), encode_target(frame[config.target], contract)
    check_trainable(prepared, y, contract)
    pairs = _pairs(config, frame, y, rows.row_ids[split.train])
    newest, weights = newest_fold(config, frame, y), training_weights(config, frame)
    keep = config.training.search is not None
    trials = FoldTrials(config, contract, prepared, y, pairs, newest, keep, weights)
    if config.training.candidates:
        decided = _chosen(config, contract, prepared, trials)
    else:
        decided = _configured(config, contract, prepared, trials, settings.var / "search" / f"{run_key}.log")
    seconds = _fit(decided.pipeline, prepared, y, weights)
    _log_fit(decided, len(y), seconds, config)
    encoded = EncodedFolds(prepared, y, pairs, decided.encoder, weights=weights)
    params = decided.params | _recalibrate(decided, encoded, config, contract)
    return FittedModel(decided.pipeline, contract, params, decided.scores, decided.search, seconds, decided.choice)


@dataclass(frozen=True, eq=False)
class _Decided:
    """What is fitted on all training rows, its predictions for the folds' test rows, and how it was decided."""

    pipeline: Pipeline
    params: Params
    scores: Scores
    outputs: Sequence[Floats] = ()
    search: SearchSummary | None = None
    choice: Choice | None = None

    def encoder(self, _: pd.DataFrame) -> ColumnTransformer:
        """Return an unfitted encoder; its levels are those of all training rows."""
        return clone(self.pipeline["encode"])


def _chosen(config: ModelConfig, contract: FeatureContract, prepared: pd.DataFrame, trials: FoldTrials) -> _Decided:
    found = choose_candidate(config, trials)
    configured = {
        f"{name}.{param}": value
        for name in found.members
        for param, value in config.training.candidates[name].params.items()
    }
    if len(found.members) > 1:
        pipeline = build_average(contract, prepared, found.estimators)
    else:
        pipeline = build_pipeline(config, contract, prepared, *found.estimators.values())
    params = {"candidate": found.choice.name} | configured | found.params
    outputs = average_outputs([trial.outputs for trial in found.members.values()])
    return _Decided(pipeline, params, found.scores, outputs, choice=found.choice)


def _configured(
    config: ModelConfig, contract: FeatureContract, prepared: pd.DataFrame, trials: FoldTrials, journal: Path
) -> _Decided:
    dimensions = search_space(config.training.search.space) if config.training.search else ()
    trial, search = _tried(trials, configured_estimator(config), config, dimensions, journal)
    params = config.training.params | (search.params if search else {}) | trial.params
    pipeline = build_pipeline(config, contract, prepared, trial.estimator)
    return _Decided(pipeline, params, trial.scores, trial.outputs, search)


def _pairs(
    config: ModelConfig, frame: pd.DataFrame, y: npt.NDArray[Any], row_ids: npt.NDArray[np.uint64]
) -> list[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
    wanted = config.training.cv
    if config.training.search is not None:
        wanted = wanted if wanted >= 2 else SEARCH_FOLDS
    pairs = folds(config, frame, y, row_ids, wanted)
    if config.training.search is not None and not config.training.candidates and not pairs:
        raise TrainingError(
            f"a search needs cross-validation, but {len(y):,} training rows give no fold with every class on both "
            "sides; remove training.search or add rows"
        )
    if wanted >= 2 and len(pairs) < wanted:
        logger.warning(
            "cross-validation uses %d folds instead of %d: there are too few rows for more", len(pairs), wanted
        )
    return pairs


def _tried(
    trials: FoldTrials,
    estimator: BaseEstimator,
    config: ModelConfig,
    dimensions: Sequence[Dimension],
    journal: Path,
) -> tuple[Trial, SearchSummary | None]:
    def trial(params: Params) -> Trial:
        found = trials.trial(with_params(clone(estimator), params))
        _log_warnings(found.warned)
        return found

    if config.training.search is None:
        return trial({}), None
    search = search_params(
        config.training.search,
        dimensions,
        lambda params: trial(params).scores,
        metric=config.gate.metric,
        greater_is_better=METRICS[config.gate.metric].greater_is_better,
        start=estimator.get_params(deep=True),
        seed=config.training.seed,
        journal=journal,
    )
    # The journal holds scores, not estimators: a number of iterations that was chosen in time order is chosen again.
    return trial(search.params), search


def _fit(pipeline: Pipeline, prepared: pd.DataFrame, y: npt.NDArray[Any], weights: Weights | None) -> float:
    """Fit the steps after ``prepare`` one by one, because the rows are already prepared."""
    began = time.monotonic()
    encoded = pipeline["encode"].fit_transform(prepared, y)
    _log_warnings(fit_estimator(pipeline["model"], encoded, y, weights=weights))
    return time.monotonic() - began


def _recalibrate(decided: _Decided, folds: EncodedFolds, config: ModelConfig, contract: FeatureContract) -> Params:
    """Recalibrate the fitted pipeline in place; return what was done, to be recorded with the parameters."""
    calibrate = config.training.calibrate
    if not contract.classes or (calibrate == "auto" and not (len(folds) and _seem_miscalibrated(decided, folds))):
        return {}
    model, in_time_order = decided.pipeline["model"], config.time is not None
    found = recalibrated(model, folds, contract, calibrate, in_time_order, folds.weights)
    decided.pipeline.set_params(model=found.model)
    if calibrate != "none":
        logger.info("%s", found.reason)
    return {} if found.method == "none" else {"calibrate": found.method}


def _seem_miscalibrated(decided: _Decided, folds: EncodedFolds) -> bool:
    reason = seems_miscalibrated(np.concatenate(folds.targets), np.concatenate(decided.outputs))
    if reason:
        logger.info("%s", reason)
    return bool(reason)


def _log_warnings(warned: Sequence[str]) -> None:
    for message in warned:
        logger.warning("%s", message)


def _log_fit(decided: _Decided, n_rows: int, seconds: float, config: ModelConfig) -> None:
    metric, cv_scores = config.gate.metric, decided.scores
    name = type(decided.pipeline["model"]).__name__
    text = f"trained {name} on {n_rows:,} rows in {seconds:.1f} s"
    if metric in cv_scores:
        scores = np.array(cv_scores[metric])
        # The standard deviation of a sample, as in the model card.
        deviation = scores.std(ddof=1) if len(scores) > 1 else 0.0
        text += f": {metric} {scores.mean():.4f} ± {deviation:.4f} over {len(scores)} folds"
    logger.info("%s", text)
