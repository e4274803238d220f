"""Measure a fitted pipeline on its own holdout, and its estimator in earlier periods."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import timedelta
from functools import partial

import numpy as np
from sklearn.base import clone

from core.data.rolling_origin import Fold, rolling_origin
from core.metrics.evaluation import evaluate, predict_output
from core.model_inputs import prepare
from core.performance.history import PerformanceHistory, Tested, performance_history
from core.train.calibration import refitted
from core.train.fitting import fit_estimator
from core.train.shuffling import PipelinePredict
from core.train.training_run import EvaluatedRun, FittedRun
from core.train.weights import training_weights
from tasks.train.bench import Bench, open_bench
from tasks.train.step_files import Evaluated, keep_evaluation

PARTS = 4
"""Parts of the training rows, by time: the third and the fourth are tested by models fitted on the rows before them.

The first half is not tested: a model of so few rows is worse than the champion for that reason alone.
"""

REFITS = 1.25
"""Cost of the refits on a half and on three quarters of the rows, in fits on all rows."""

BUDGET = timedelta(minutes=10)
"""Maximum duration of the refits; where they would take longer, the holdout is the only history."""

_logger = logging.getLogger("perennial.evaluate")


def evaluate_run(fitted: FittedRun) -> EvaluatedRun:
    """Evaluate a fitted pipeline on its holdout.

    Raises
    ------
    TrainingError
        The estimator gives no probabilities, or its output is not finite.
    """
    run = fitted.run
    bench = open_bench(run)
    predict = PipelinePredict(bench.fitted.pipeline, bench.contract)
    output = predict(bench.holdout_frame)
    y = bench.y[bench.split.holdout]
    evaluation = evaluate(y, output, bench.holdout_frame, bench.contract, run.config, predict)
    _logger.info("evaluated on %s holdout rows", f"{len(y):,}")
    bench.evaluated = Evaluated(evaluation, output)
    return keep_evaluation(bench.evaluated, run)


def fold_history(bench: Bench) -> PerformanceHistory | None:
    """Measure the gate's metric by period; None without a time column.

    A clone of the fitted pipeline's steps is fitted as the champion was (with weights by age, if configured; mapped to
    probabilities by the champion's own map) on the older half of the training rows and on three quarters of them, each
    tested on the quarter that follows; the holdout is tested by the champion itself.
    """
    config, split = bench.run.config, bench.split
    if config.time is None:
        return None
    times = bench.rows.frame[config.time].to_numpy("datetime64[us]")[split.holdout]
    holdout: Tested = (bench.y[split.holdout], bench.evaluated.output, times)
    history = performance_history(config.gate.metric, [*_tested_folds(bench, config.time), holdout])
    _logger.info("measured %s in %d periods", config.gate.metric, len(history.periods))
    return history


def _tested_folds(bench: Bench, time: str) -> Iterator[Tested]:
    seconds = REFITS * bench.fitted.fit_seconds
    if seconds > BUDGET.total_seconds():
        _logger.warning("two refits for the history would take %.0f s: only the holdout is known", seconds)
        return
    for fold in rolling_origin(bench.train_frame[time], PARTS - 1)[-2:]:
        found = _tested(bench, time, fold)
        if found is not None:
            yield found


def _tested(bench: Bench, time: str, fold: Fold) -> Tested | None:
    (train, test), frame = fold, bench.train_frame
    y, contract, pipeline = bench.y[bench.split.train], bench.contract, bench.fitted.pipeline
    # A class that the older rows lack would have no probability; a target of one value cannot be fitted.
    if len(np.unique(y[train])) < max(2, len(contract.classes)) or not len(test):
        return None
    with np.errstate(over="ignore"):
        older, newer = (prepare(frame.take(rows), contract) for rows in (train, test))
    encoder, weights = clone(pipeline["encode"]), training_weights(bench.run.config, frame.take(train))
    X = encoder.fit_transform(older, y[train])
    model = refitted(pipeline["model"], partial(fit_estimator, X=X, y=y[train], weights=weights))
    output = predict_output(model, encoder.transform(newer), contract)
    return y[test], output, frame[time].to_numpy("datetime64[us]")[test]
