"""The steps of the flows as Prefect tasks: each takes references, calls a plain function, returns a reference.

Steps that use a network or a disk are retried, and only for storage failures; a wrong result fails at once.
Prefect caches nothing: whether a step may be skipped depends on the content of the data, not on a hash of its inputs.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, TypeVar, cast

from prefect import task, unmapped
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.futures import wait
from prefect.runtime import deployment, flow_run
from prefect.tasks import Task

from config.load import load_model_config
from config.schema import ModelConfig
from config.settings import load_settings
from core.drift.monitored_window import MonitoredWindow
from core.errors import ModelNotFoundError, StorageError
from core.outcome import IngestOutcome, TrainOutcome
from core.references import Batch, DataVersion, StagedRows, ValidationResult
from core.storage_failure import storage_errors
from core.train.training_run import EvaluatedRun, FittedRun, TrainingRun
from tasks.runs.progress import step

if TYPE_CHECKING:
    from core.drift.verdict import DriftEvidence, DriftVerdict
    from core.gate.decision import GateVerdict
    from core.operate.retraining import Refusal, RetrainOutcome
    from core.release.outcome import ReleaseOutcome
    from core.retention.outcome import PruneOutcome
    from core.score.outcome import PartResult, ScoreOutcome
    from core.score.plan import ScoringPlan, ScoringRequest
    from tasks.operate.retraining import Claim
    from tasks.prune.prune import Pruning
    from tasks.served.training_rows import LabelledRows

_logger = logging.getLogger("perennial.steps")

P = ParamSpec("P")
R = TypeVar("R")


def _storage_failed(_task: Task[..., Any], _run: TaskRun, state: State[Any]) -> bool:
    """Retry storage failures only, and log each retry."""
    error = state.result(raise_on_failure=False)
    if isinstance(error, StorageError):
        _logger.warning("%s (retrying)", error)
        return True
    return False


def io_step(function: Callable[P, R]) -> Task[P, R]:
    """Make a task that is retried after a failure of storage, which is a :class:`StorageError` in any library."""
    retried = task(cache_policy=NO_CACHE, retries=2, retry_delay_seconds=[1.0, 4.0], retry_condition_fn=_storage_failed)
    return retried(storage_errors()(function))


def plain_step(function: Callable[P, R]) -> Task[P, R]:
    """Make a task that is not retried."""
    return task(cache_policy=NO_CACHE)(storage_errors()(function))


@plain_step
def read_config(model: str, overrides: dict[str, str] | None) -> ModelConfig:
    """Load the model file; a repeat reads it again."""
    return load_model_config(load_settings().root, model, overrides)


@plain_step
def check_estimators(config: ModelConfig) -> None:
    """Refuse estimators that cannot be built before any row is read."""
    from core.train.portfolio import check_estimators as check

    check(config)


@io_step
def stage(config: ModelConfig) -> StagedRows:
    """Read the source into a typed file; a repeat starts from an empty work folder."""
    from tasks.validation.staging import stage as stage_rows

    with step("Reading rows"):
        return stage_rows(config, load_settings())


@io_step
def stage_served(config: ModelConfig, since: str | None, until: str | None) -> LabelledRows:
    """Read the served rows whose labels are known into a typed file; a repeat starts from an empty work folder."""
    from tasks.monitor.contract import champion_contract
    from tasks.served.training_rows import labelled_rows

    settings = load_settings()
    with step("Reading served rows"):
        try:
            contract = champion_contract(config.model, settings)
        except ModelNotFoundError:
            contract = None
        return labelled_rows(config, contract, since, until, settings)


@plain_step
def remember_served(config: ModelConfig, rows: LabelledRows) -> None:
    """Remember that the rows of these labels are in batches, so that they are not read again."""
    from tasks.served.remembered import remember_labels

    remember_labels(config, load_settings(), rows.state)


@plain_step
def find_batch(config: ModelConfig, rows: StagedRows) -> Batch | None:
    """Find an existing batch that holds exactly these rows."""
    from tasks.versions.versions import known_batch

    return known_batch(rows, config, load_settings())


@plain_step
def validate(config: ModelConfig, rows: StagedRows) -> ValidationResult:
    """Validate the rows against the model's suite; a repeat rebuilds the same pages."""
    from tasks.validation.results import keep_result
    from tasks.validation.validate import validate_rows

    with step("Validating rows"):
        result = validate_rows(rows, config, load_settings(), rows.path.parent)
        keep_result(result)
        return result


@io_step
def write(config: ModelConfig, validation: ValidationResult) -> Batch:
    """Write the accepted rows as a batch; rows that are already stored make no second batch."""
    from tasks.versions.versions import write_batch

    with step("Writing the batch"):
        return write_batch(validation.rows, config, load_settings(), validation.n_quarantined)


@io_step
def version(config: ModelConfig) -> DataVersion:
    """Add the model's data to DVC and push it; unchanged data is the same version."""
    from tasks.versions.versions import version_data

    settings = load_settings()
    with step("Versioning data"):
        data_version = version_data(config, settings)
        shutil.rmtree(settings.var / "work" / config.model, ignore_errors=True)
        return data_version


@io_step
def prepare_run(config: ModelConfig, data_version: str, trigger: str) -> TrainingRun:
    """Check the snapshot out and compute the run key from everything that determines the result."""
    from tasks.train.training_run import training_run

    with step("Laying out the snapshot"):
        return training_run(config, data_version, trigger, load_settings())


@io_step
def find_version(run: TrainingRun) -> TrainOutcome | None:
    """Find the version that the same run registered before, and whether it is settled."""
    from tasks.gate.unchanged import known_version
    from tasks.registry.fetch import check_files

    settings = load_settings()
    found = known_version(run.config, run.lineage.run_key, run.snapshot.version, settings)
    if found is not None and found.status == "unchanged" and found.version == found.champion:
        check_files(found.model, int(found.version or 0), settings)
    return found


@plain_step
def check_leakage(run: TrainingRun) -> tuple[str, ...]:
    """Return reasons not to train on these rows; empty if there are none."""
    from tasks.train.bench import open_bench

    with step("Checking for leakage"):
        report = open_bench(run).leakage
    for remark in report.remarks:
        _logger.warning("look: %s", remark)
    return report.reasons if report.blocked else ()


@plain_step
def fit(run: TrainingRun) -> FittedRun:
    """Cross-validate, search and fit on the training rows."""
    from tasks.train.fit_run import fit_run

    with step("Training"):
        return fit_run(run, load_settings())


@plain_step
def evaluate(fitted: FittedRun) -> EvaluatedRun:
    """Measure the pipeline on its own holdout."""
    from tasks.train.evaluate import evaluate_run

    with step("Evaluating"):
        return evaluate_run(fitted)


@io_step
def register(evaluated: EvaluatedRun) -> TrainOutcome:
    """Build the bundle and register it; the same run key gives the same version."""
    from tasks.train.registration import register_run

    with step("Registering"):
        return register_run(evaluated, load_settings())


@io_step
def judge(run: TrainingRun, version: TrainOutcome) -> GateVerdict:
    """Compare a registered version with the champion; a repeat gives the recorded verdict."""
    from tasks.gate.judge import judge as judge_version

    with step("Judging"):
        return judge_version(run, cast("int", version.version), load_settings())


@io_step
def promote(run: TrainingRun, verdict: GateVerdict) -> bool:
    """Promote a version by the gate's verdict; return False if the champion changed in the meantime."""
    from tasks.gate.judge import promote as promote_version

    with step("Promoting"):
        return promote_version(run, verdict, load_settings())


@io_step
def look_at_release(model: str) -> ReleaseOutcome:
    """Look once at a model's release and take the step that follows; a repeat looks again."""
    from tasks.release.look import look

    with step("Looking at the release"):
        return look(model, load_settings())


@io_step
def project_aliases(model: str) -> None:
    """Set MLflow's aliases to the present champion; a repeat writes nothing that is right."""
    from tasks.champions.aliases import project

    project(model, load_settings())


@io_step
def start_waiting(outcome: ReleaseOutcome) -> ReleaseOutcome:
    """Start the release of a version that waited for the end of another one, if there is one."""
    from tasks.release.waiting import start_waiting as start

    return start(outcome, load_settings())


@io_step
def choose_window(
    config: ModelConfig,
    batches: list[str] | None,
    since: str | None,
    until: str | None,
    against: str,
    exact: bool,
    wait_seconds: float,
    source: Literal["auto", "batches", "predictions"] | None = None,
) -> MonitoredWindow:
    """Choose the rows to measure and compute the key of their decision; no rows are read yet."""
    from tasks.monitor.windows import Asked, monitored_window

    asked = Asked(tuple(batches or ()), since, until, against, exact, source)
    return monitored_window(config, asked, load_settings(), wait_seconds)


@io_step
def find_drift(window: MonitoredWindow) -> DriftVerdict | None:
    """Find a recorded decision about the same rows by the same rules; what was to follow it goes on."""
    from tasks.monitor.follow_up import go_on
    from tasks.monitor.recorded import recorded_verdict

    settings = load_settings()
    found = recorded_verdict(window, settings)
    if found is not None:
        go_on(window.folder, settings)
    return found


@io_step
def measure_drift(window: MonitoredWindow) -> DriftEvidence:
    """Count the window against the reference, and predict a sample of it with the champion."""
    from tasks.monitor.measure import measure

    with step("Measuring the window"):
        return measure(window, load_settings())


@plain_step
def decide_drift(window: MonitoredWindow, evidence: DriftEvidence) -> DriftVerdict:
    """Decide from the evidence and the earlier windows."""
    from tasks.monitor.measure import decided

    return decided(window, evidence, load_settings())


@io_step
def keep_drift(window: MonitoredWindow, verdict: DriftVerdict) -> DriftVerdict:
    """Write the page and record the decision; of two concurrent runs the first decision is kept."""
    from tasks.monitor.measure import keep

    with step("Recording the decision"):
        return keep(window, verdict, load_settings())


@io_step
def claim_trigger(model: str, kind: str, trigger_id: str | None, reason: str, force: bool) -> Claim:
    """Claim the trigger for this run; a repeat by the same run changes nothing."""
    from tasks.operate.retraining import FlowRun
    from tasks.operate.retraining import claim_trigger as claim

    run = FlowRun(str(flow_run.get_id()), deployment.id is not None, flow_run.scheduled_start_time)
    return claim(model, kind, trigger_id, reason, force=force, run=run, settings=load_settings())


@io_step
def check_pace(claim: Claim, config: ModelConfig) -> Refusal | None:
    """Return a refusal if cool-down or weekly budget forbids a retraining; nothing is written."""
    from tasks.operate.retraining import pace

    return pace(claim, config, load_settings())


@io_step
def check_rows(claim: Claim, config: ModelConfig, ingestion: IngestOutcome) -> Refusal | None:
    """Return a refusal if the rows do not justify a retraining; nothing is written."""
    from tasks.operate.retraining import rows

    with step("Looking for new rows"):
        return rows(claim, config, ingestion, load_settings())


@io_step
def refuse(claim: Claim, refusal: Refusal, data_version: str | None = None) -> RetrainOutcome:
    """Record a refusal as the trigger's outcome; the first recorded outcome is kept."""
    from tasks.operate.retraining import refuse as record

    return record(claim, refusal, data_version, load_settings())


@io_step
def conclude(claim: Claim, outcome: TrainOutcome) -> RetrainOutcome:
    """Record the training's outcome as the trigger's outcome; the first recorded outcome is kept."""
    from tasks.operate.retraining import conclude as record

    return record(claim, outcome, load_settings())


@io_step
def plan_scores(config: ModelConfig, request: ScoringRequest) -> ScoringPlan | ScoreOutcome:
    """Plan a scoring, or return what the output holds already; a repeat goes on from the plan of a killed run."""
    from tasks.score.plan import plan_scoring

    with step("Looking at the input"):
        return plan_scoring(config, request, load_settings())


@io_step
def score_part(folder: Path, number: int) -> PartResult | None:
    """Score one part; a repeat writes the same bytes."""
    from tasks.score.part import score_part as score

    return score(folder, number, load_settings())


def score_parts(plan: ScoringPlan) -> list[PartResult]:
    """Score all parts of a plan in parallel, by the flow's task runner; the first error ends them all."""
    from tasks.score.staging import staging_folder

    folder = staging_folder(plan.request, load_settings())
    with step(f"Scoring {plan.n_rows:,} rows"):
        futures = score_part.map(unmapped(folder), range(len(plan.parts)))
        wait(list(futures))
        return [result for future in futures if (result := future.result()) is not None]


@io_step
def publish_scores(plan: ScoringPlan, results: list[PartResult]) -> ScoreOutcome:
    """Give the output its name and record it; a repeat ends with the same output."""
    from tasks.score.publish import publish

    with step("Publishing the output"):
        return publish(plan, results, load_settings())


@plain_step
def read_retention(dry_run: bool, wait_seconds: float) -> Pruning:
    """Read what retention keeps from the environment."""
    from config.settings import AlertSettings, RetentionSettings, load_section
    from tasks.prune.prune import Pruning

    quiet_hours = load_section(AlertSettings).quiet_hours
    return Pruning(load_settings(), load_section(RetentionSettings), quiet_hours, dry_run, wait_seconds)


@io_step
def find_models() -> list[str]:
    """Find all models that have anything to prune."""
    from tasks.prune.prune import known_models

    return known_models(load_settings())


@io_step
def prune_model(model: str, pruning: Pruning) -> PruneOutcome:
    """Remove what retention lets go of a model; a repeat removes what is left."""
    from tasks.prune.prune import prune_model as prune

    with step(f"Pruning {model}"):
        return prune(model, pruning)


@io_step
def prune_project(models: list[str], pruning: Pruning) -> PruneOutcome:
    """Remove what retention lets go and belongs to no model; a repeat removes what is left."""
    from tasks.prune.prune import prune_project as prune

    with step("Pruning the project"):
        return prune(models, pruning)
