"""Fit the pipeline of a training run."""

from __future__ import annotations

from config.settings import Settings
from core.train.training_run import FittedRun, TrainingRun
from tasks.train.bench import open_bench
from tasks.train.fit import fit_model
from tasks.train.step_files import keep_fitted


def fit_run(run: TrainingRun, settings: Settings) -> FittedRun:
    """Fit on the run's training rows.

    Raises
    ------
    ConfigError, TrainingError
        See :func:`tasks.train.fit.fit_model` and :func:`tasks.train.step_files.keep_fitted`.
    """
    bench = open_bench(run)
    bench.fitted = fit_model(bench.rows, bench.split, run.config, bench.contract, settings, run.lineage.run_key)
    return keep_fitted(bench.fitted, run)
