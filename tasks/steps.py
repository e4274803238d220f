"""The steps of the flows as Prefect tasks: each takes references, calls a plain function, returns a reference.

Retries stand on steps that touch a network or a disk, and only for failures of storage; a wrong answer fails once.
Nothing is cached by Prefect: what a step may skip is decided by the content of the data, not by its inputs' hash.
"""

from __future__ import annotations

import logging
import shutil
from typing import TYPE_CHECKING, Any

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.tasks import Task

from config.load import config_hash, load_model_config
from config.schema import ModelConfig
from config.settings import load_settings
from core.errors import StorageError
from core.outcome import TrainOutcome
from core.references import Batch, DataVersion, Lineage, StagedRows, ValidationResult
from core.training_run import TrainingRun
from tasks.progress import step

if TYPE_CHECKING:
    from core.gate import GateVerdict

_logger = logging.getLogger("perennial.steps")


def _storage_failed(_task: Task[..., Any], _run: TaskRun, state: State[Any]) -> bool:
    """Retry failures of storage only, and say so."""
    error = state.result(raise_on_failure=False)
    if isinstance(error, StorageError):
        _logger.warning("%s (trying again)", error)
        return True
    return False


io_step = task(cache_policy=NO_CACHE, retries=2, retry_delay_seconds=[1.0, 4.0], retry_condition_fn=_storage_failed)
plain_step = task(cache_policy=NO_CACHE)


@plain_step
def read_config(model: str, overrides: dict[str, str] | None) -> ModelConfig:
    """Load the model file; a repeat reads it again."""
    return load_model_config(load_settings().root, model, overrides)


@io_step
def stage(config: ModelConfig) -> StagedRows:
    """Read the source into a typed file; a repeat starts from an empty work folder."""
    from tasks.source import stage_rows

    settings = load_settings()
    with step("Reading rows"):
        work = settings.var / "work" / config.model
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        return stage_rows(config, settings, work)


@plain_step
def find_batch(config: ModelConfig, rows: StagedRows) -> Batch | None:
    """Find the batch that holds exactly these rows already."""
    from tasks.data import known_batch

    return known_batch(rows, config, load_settings())


@plain_step
def validate(config: ModelConfig, rows: StagedRows) -> ValidationResult:
    """Judge the rows by the model's suite; a repeat rebuilds the same pages."""
    from tasks.validate import validate_rows
    from tasks.validation_results import keep_result

    with step("Validating rows"):
        result = validate_rows(rows, config, load_settings(), rows.path.parent)
        keep_result(result)
        return result


@io_step
def write(config: ModelConfig, validation: ValidationResult) -> Batch:
    """Land the accepted rows as a batch; rows that are there already make no second one."""
    from tasks.data import write_batch

    with step("Writing the batch"):
        return write_batch(validation.rows, config, load_settings(), validation.n_quarantined)


@io_step
def version(config: ModelConfig) -> DataVersion:
    """Add the model's data to DVC and push it; unchanged data is the same version."""
    from tasks.data import version_data

    settings = load_settings()
    with step("Versioning data"):
        data_version = version_data(config, settings)
        shutil.rmtree(settings.var / "work" / config.model, ignore_errors=True)
        return data_version


@io_step
def prepare_run(config: ModelConfig, data_version: str, trigger: str) -> TrainingRun:
    """Lay the snapshot out and name the run by everything that decides its result."""
    from core.run_key import run_key
    from tasks.code_version import code_version, lock_hash
    from tasks.data import git_state, lay_out_snapshot
    from tasks.working_copy import pointer

    settings = load_settings()
    with step("Laying out the snapshot"):
        snapshot = lay_out_snapshot(config.model, data_version, settings)
    code = code_version(settings.root, config)
    key = run_key(config.model, snapshot.version, config_hash(config), code)
    commit, dirty = git_state(settings.root)
    lineage = Lineage(
        run_key=key,
        data_version=snapshot.version,
        config_hash=config_hash(config),
        code_version=code,
        lock_hash=lock_hash(settings.root),
        git_commit=commit,
        git_dirty=dirty,
        data_pointer=pointer(settings),
        trigger=trigger,
    )
    return TrainingRun(config, snapshot, lineage, settings.var / "reports" / config.model / key[:12])


@io_step
def find_version(run: TrainingRun) -> TrainOutcome | None:
    """Find the version that the same run registered before."""
    from tasks.registry import find_registered

    found = find_registered(run.config.model, run.lineage.run_key, load_settings())
    if found is None:
        return None
    return TrainOutcome(
        model=run.config.model,
        status="unchanged",
        stage="registry",
        reasons=("data, configuration and code are those of this version",),
        data_version=run.snapshot.version,
        version=found.version,
        run_id=found.run_id,
        alias=found.alias,
    )


@plain_step
def check_leakage(run: TrainingRun) -> tuple[str, ...]:
    """Reasons not to train on these rows; empty when there are none."""
    from tasks.bench import open_bench

    with step("Checking for leakage"):
        report = open_bench(run).leakage
    return report.reasons if report.blocked else ()


@plain_step
def fit(run: TrainingRun) -> None:
    """Cross-validate, search and fit on the training rows; beside it, start the drift report."""
    from tasks.bench import open_bench
    from tasks.drift_report import DriftReport
    from tasks.fit import fit_model

    bench = open_bench(run)
    with step("Training"):
        page, seed = run.folder / "drift.html", run.config.training.seed
        bench.drift_report = DriftReport(bench.train_frame, bench.holdout_frame, bench.contract, page, seed)
        bench.fitted = fit_model(
            bench.rows, bench.split, run.config, bench.contract, load_settings(), run.lineage.run_key
        )


@plain_step
def evaluate(run: TrainingRun) -> GateVerdict:
    """Measure the pipeline on the holdout and ask the gate."""
    from tasks.judge import judge

    with step("Evaluating"):
        return judge(run)


@io_step
def register(run: TrainingRun, verdict: GateVerdict) -> TrainOutcome:
    """Build the bundle and register it; the same run key gives the same version."""
    from tasks.registration import register_run

    with step("Registering"):
        return register_run(run, verdict, load_settings())
