"""Measure a fitted pipeline on its holdout."""

from __future__ import annotations

import logging
from functools import partial

from core.gate import GateVerdict
from core.training_run import TrainingRun
from tasks.bench import open_bench

_logger = logging.getLogger("perennial.judge")


def judge(run: TrainingRun) -> GateVerdict:
    """Evaluate on the holdout and ask the gate; the evaluation stays on the run's bench."""
    from core.evaluation import evaluate, predict_output
    from core.gate import floor_verdict

    bench = open_bench(run)
    predict = partial(predict_output, bench.fitted.pipeline, contract=bench.contract)
    bench.output = predict(bench.holdout_frame)
    y = bench.y[bench.split.holdout]
    bench.evaluation = evaluate(y, bench.output, bench.holdout_frame, bench.contract, run.config, predict)
    verdict = floor_verdict(bench.evaluation, run.config)
    _logger.info("evaluated on %s holdout rows: %s", f"{len(y):,}", " ".join(verdict.reasons))
    return verdict
