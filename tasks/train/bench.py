"""The rows, the split and the fitted pipeline of a run, loaded once per process.

Steps pass references to each other. The objects behind a reference are cached here, so that fitting, evaluating and
reporting do not read and prepare the same rows three times. Another process reads all of it again: the rows from the
snapshot, the results of earlier steps from their files.
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
    from core.train.leakage.checks import LeakageReport
    from tasks.serving.rehearse import Rehearsal
    from tasks.train.fit import FittedModel
    from tasks.train.step_files import Evaluated


class Bench:
    """Rows, split, contract and pipeline of one training run; each is loaded or computed at its first use."""

    def __init__(self, run: TrainingRun) -> None:
        self.run = run
        self._rehearsal: Rehearsal | None = None

    def prepare_rehearsal(self) -> None:
        """Start the process that will rehearse serving; its imports take seconds and run in parallel to this one."""
        from tasks.serving.rehearse import Rehearsal

        self._rehearsal = Rehearsal()

    def take_rehearsal(self) -> Rehearsal:
        """Return the prepared process, or a new one; the caller closes it."""
        from tasks.serving.rehearse import Rehearsal

        taken, self._rehearsal = self._rehearsal or Rehearsal(), None
        return taken

    def close(self) -> None:
        """End a prepared process that was not taken."""
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
    def rows(self) -> Rows:
        """Labelled rows of the snapshot."""
        from tasks.versions.rows import load_rows

        return load_rows(self.run.snapshot, self.run.config)

    @cached_property
    def contract(self) -> FeatureContract:
        """Feature contract with the classes of these rows.

        Raises
        ------
        TrainingError
            The target cannot be learnt: there is no label, only one class, or a class with a single row.
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
        from core.model_inputs import encode_target

        return encode_target(self.rows.frame[self.run.config.target], self.contract)

    @cached_property
    def split(self) -> Split:
        """Training and holdout rows."""
        from core.data.split import holdout_split

        return holdout_split(self.rows, self.run.config)

    @cached_property
    def leakage(self) -> LeakageReport:
        """Findings of the leakage checks."""
        from core.train.leakage.checks import leakage_report

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
    """Return the number of rows per label; for regression, two distinct values are enough."""
    if config.task == "regression":
        return dict.fromkeys(map(str, target.unique()[:2]), 1)
    return {str(label): n for label, n in target.value_counts().items()}


_open: dict[str, Bench] = {}


def open_bench(run: TrainingRun) -> Bench:
    """Return the bench of a run; the bench of an earlier run is released, so that memory holds only one."""
    bench = _open.get(run.lineage.run_key)
    if bench is None:
        close_bench()
        bench = _open[run.lineage.run_key] = Bench(run)
    return bench


def close_bench() -> None:
    """Release the rows and the pipeline of the last run."""
    for bench in _open.values():
        bench.close()
    _open.clear()
