"""Measure a fitted pipeline on its own holdout."""

from __future__ import annotations

import logging
from functools import partial

from core.train.training_run import TrainingRun
from tasks.train.bench import open_bench

_logger = logging.getLogger("perennial.evaluate")


def evaluate_run(run: TrainingRun) -> None:
    """Evaluate the pipeline on the rows set aside for it; output and evaluation stay on the run's bench."""
    from core.metrics.evaluation import evaluate, predict_output

    bench = open_bench(run)
    predict = partial(predict_output, bench.fitted.pipeline, contract=bench.contract)
    bench.output = predict(bench.holdout_frame)
    y = bench.y[bench.split.holdout]
    bench.evaluation = evaluate(y, bench.output, bench.holdout_frame, bench.contract, run.config, predict)
    _logger.info("evaluated on %s holdout rows", f"{len(y):,}")
