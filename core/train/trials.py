"""Trials of estimators on folds of the training rows: what each would predict for rows it was not fitted on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt
import pandas as pd
from sklearn.base import BaseEstimator, clone

from config.schema import ModelConfig
from core.data.rolling_origin import Fold
from core.feature_contract import FeatureContract
from core.metrics.metrics import Floats
from core.train.fitting import EncodedFolds, fold_outputs, output_scores
from core.train.iterations import Stopped, stopped_in_time_order, stops_on_random_rows
from core.train.pipeline import Need, build_encoder, estimator_need
from core.train.weights import Weights

Scores = dict[str, tuple[float, ...]]


@dataclass(frozen=True, eq=False)
class Trial:
    """An estimator and what it predicted for the folds' test rows.

    Parameters
    ----------
    estimator
        Not fitted; a number of iterations that was chosen in time order is set.
    params
        Parameters that were chosen in time order, by name.
    outputs
        By fold: probabilities, shape (n_test, k), or values, shape (n_test,); empty without folds.
    scores
        By metric, one value per fold; empty without folds.
    warned
        Distinct warnings of the fits.
    """

    estimator: BaseEstimator
    params: dict[str, Any]
    outputs: list[Floats]
    scores: Scores
    warned: tuple[str, ...] = ()


class FoldTrials:
    """Try estimators on the same folds.

    Parameters
    ----------
    config, contract
        The model file and its columns.
    prepared, y
        Prepared training rows, n of them, and their encoded target, shape (n,).
    pairs
        Positions of the training and test rows of each fold; none without cross-validation.
    newest
        The newest training rows as the test rows of one fold, for early stopping without cross-validation.
    keep
        Whether many estimators will be tried, so that encoded folds are kept.
    weights
        Weight of each row, shape (n,); None for equal weights.
    """

    def __init__(
        self,
        config: ModelConfig,
        contract: FeatureContract,
        prepared: pd.DataFrame,
        y: npt.NDArray[Any],
        pairs: Sequence[Fold],
        newest: Sequence[Fold] = (),
        keep: bool = False,
        weights: Weights | None = None,
    ) -> None:
        self._weights = weights
        self._config, self._contract, self._prepared, self._y = config, contract, prepared, y
        self._pairs, self._newest, self._keep = pairs, newest, keep
        self._encoded: dict[Need, EncodedFolds] = {}

    @property
    def n_folds(self) -> int:
        """Number of folds; 0 without cross-validation."""
        return len(self._pairs)

    def trial(self, estimator: BaseEstimator) -> Trial:
        """Fit clones of an estimator on the folds and score them.

        Raises
        ------
        TrainingError
            As :func:`~core.train.fitting.fit_estimator`.
        """
        stopped = self._stopped(estimator)
        outputs, warned = stopped.outputs, stopped.warned
        if not self._pairs:
            outputs = []
        elif outputs is None:
            outputs, said = fold_outputs(stopped.estimator, self._folds(estimator, self._pairs), self._contract)
            warned += said
        return Trial(stopped.estimator, stopped.params, outputs, self.scores(outputs), warned)

    def scores(self, outputs: Sequence[Floats]) -> Scores:
        """Score predictions for the folds' test rows, by metric; empty without folds."""
        targets = [self._y[test] for _, test in self._pairs]
        return output_scores(outputs, targets, trial_metrics(self._config)) if self._pairs else {}

    def _stopped(self, estimator: BaseEstimator) -> Stopped:
        """Choose numbers of iterations in time order, where a part of the estimator would stop early."""
        pairs, n_rows = self._pairs or self._newest, len(self._y)
        if self._config.time is None or not pairs or not stops_on_random_rows(estimator, n_rows):
            return Stopped(clone(estimator), {}, None, ())
        folds = self._folds(estimator, pairs)
        return stopped_in_time_order(estimator, folds, self._contract, self._config.gate.metric, n_rows)

    def _folds(self, estimator: BaseEstimator, pairs: Sequence[Fold]) -> EncodedFolds:
        need = estimator_need(estimator)
        if need not in self._encoded or not self._keep:
            self._encoded[need] = EncodedFolds(
                self._prepared,
                self._y,
                pairs,
                lambda part: build_encoder(self._contract, part, need),
                keep=self._keep,
                weights=self._weights,
            )
        return self._encoded[need]


def trial_metrics(config: ModelConfig) -> tuple[str, ...]:
    """Return the metrics of a trial: the gate's first."""
    usual = ("rmse", "mae") if config.task == "regression" else ("roc_auc", "log_loss")
    return tuple(dict.fromkeys([config.gate.metric, *usual]))
