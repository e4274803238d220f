"""Measure a fitted pipeline on its own holdout."""

from __future__ import annotations

import logging
from functools import partial

from core.metrics.evaluation import evaluate, predict_output
from core.train.training_run import EvaluatedRun, FittedRun
from tasks.train.bench import open_bench
from tasks.train.step_files import Evaluated, keep_evaluation

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
    predict = partial(predict_output, bench.fitted.pipeline, contract=bench.contract)
    output = predict(bench.holdout_frame)
    y = bench.y[bench.split.holdout]
    evaluation = evaluate(y, output, bench.holdout_frame, bench.contract, run.config, predict)
    _logger.info("evaluated on %s holdout rows", f"{len(y):,}")
    bench.evaluated = Evaluated(evaluation, output)
    return keep_evaluation(bench.evaluated, run)
