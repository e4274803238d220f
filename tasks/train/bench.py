"""The rows, the split and the fitted pipeline of a run, loaded once per process.

Steps hand each other references. What a reference names is cached here, so that fitting, evaluating and reporting do
not read and prepare the same rows three times. In another process, all of it is read again: the rows from the
snapshot, the results of the steps before from their files.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from core.errors import TrainingError
from core.train.training_run import TrainingRun

if TYPE_CHECKING:
    import numpy.typing as npt
    import pandas as pd

    from config.schema import ModelConfig
    from core.data.rows import Rows
    from core.data.split import Split
    from core.feature_contract import FeatureContract
    from core.train.leakage import LeakageReport
    from tasks.reports.drift import DriftReport
    from tasks.serving.rehearse import Rehearsal
    from tasks.train.fit import FittedModel
    from tasks.train.step_files import Evaluated


class Bench:
    """What one training run works on; everything is derived from the run's reference when first asked for."""

    def __init__(self, run: TrainingRun) -> None:
        self.run = run
        self._rehearsal: Rehearsal | None = None

    def prepare_rehearsal(self) -> None:
        """Start the process that will rehearse serving: its imports take seconds, beside whatever is done here."""
        from tasks.serving.rehearse import Rehearsal

        self._rehearsal = Rehearsal()

    def take_rehearsal(self) -> Rehearsal:
        """Hand out the process that was prepared, or a new one."""
        from tasks.serving.rehearse import Rehearsal

        taken, self._rehearsal = self._rehearsal or Rehearsal(), None
        return taken

    def close(self) -> None:
        """End a process that was prepared and not handed out."""
        if self._rehearsal is not None:
            with self._rehearsal:
                self._rehearsal = None

    @cached_property
    def fitted(self) -> FittedModel:
        """Fitted pipeline, as the fitting step stored it."""
        from tasks.train.step_files import read_fitted

        return read_fitted(self.run, self.contract)

    @cached_property
    def evaluated(self) -> Evaluated:
        """Output on the holdout and its evaluation, as the evaluating step stored them."""
        from tasks.train.step_files import read_evaluation

        return read_evaluation(self.run)

    @cached_property
    def drift_report(self) -> DriftReport:
        """Drift report of the holdout against the training rows; its process starts at the first use."""
        from tasks.train.drift_report import training_report

        return training_report(self, self.run.folder)

    @cached_property
    def rows(self) -> Rows:
        """Labelled rows of the snapshot."""
        from tasks.versions.rows import load_rows

        return load_rows(self.run.snapshot, self.run.config)

    @cached_property
    def contract(self) -> FeatureContract:
        """Feature contract with the classes these rows hold.

        Raises
        ------
        TrainingError
            The target cannot be learnt: no label, one class, a class with a single row.
        """
        from core.data.columns import target_problem
        from core.feature_contract import FeatureContract

        config = self.run.config
        counts = _label_counts(self.rows.frame[config.target], config)
        problem = target_problem(counts, config)
        if problem:
            raise TrainingError(problem)
        return FeatureContract.of(config, list(counts))

    @cached_property
    def y(self) -> npt.NDArray[Any]:
        """Encoded target, shape (n_rows,)."""
        from core.contract import encode_target

        return encode_target(self.rows.frame[self.run.config.target], self.contract)

    @cached_property
    def split(self) -> Split:
        """Training and holdout rows."""
        from core.data.split import holdout_split

        return holdout_split(self.rows, self.run.config)

    @cached_property
    def leakage(self) -> LeakageReport:
        """What the leakage checks found."""
        from core.train.leakage import leakage_report

        return leakage_report(self.rows, self.split, self.y, self.contract, self.run.config)

    @cached_property
    def train_frame(self) -> pd.DataFrame:
        """Rows to train on."""
        return self.rows.frame.take(self.split.train)

    @cached_property
    def holdout_frame(self) -> pd.DataFrame:
        """Rows to judge by."""
        return self.rows.frame.take(self.split.holdout)


def _label_counts(target: pd.Series[Any], config: ModelConfig) -> dict[str, int]:
    """Rows per label; of numbers, two different ones are enough to know."""
    if config.task == "regression":
        return dict.fromkeys(map(str, target.unique()[:2]), 1)
    return {str(label): n for label, n in target.value_counts().items()}


_open: dict[str, Bench] = {}


def open_bench(run: TrainingRun) -> Bench:
    """Bench of a run; that of an earlier run is let go, so that memory holds one."""
    bench = _open.get(run.lineage.run_key)
    if bench is None:
        close_bench()
        bench = _open[run.lineage.run_key] = Bench(run)
    return bench


def close_bench() -> None:
    """Let the rows and the pipeline of the last run go."""
    for bench in _open.values():
        bench.close()
    _open.clear()
