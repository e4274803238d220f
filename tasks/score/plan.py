"""Plan a scoring, or find the plan of one that was killed, or that the output holds its result already."""

from __future__ import annotations

import logging
from datetime import datetime
from pathlib import Path

from config.schema import ModelConfig
from config.settings import Settings
from core.errors import ConfigError
from core.score.outcome import ScoreOutcome
from core.score.output import output_columns
from core.score.parts import PART_ROWS, parts_of
from core.score.plan import ScoringPlan, ScoringRequest, run_identity, time_of_predictions
from core.storage_failure import storage_errors
from store.database import open_database
from store.registry.registrations import RegisteredVersion
from store.scored.batches import is_scored_output
from tasks.registry.versions import champion_record, version_record
from tasks.score.input import ScoringInput, input_source, scoring_input
from tasks.score.publish import recorded_outcome
from tasks.score.staging import (
    FAILED,
    PARTS,
    PLAN,
    RESULT,
    is_unchanged,
    read,
    remove,
    staging_folder,
    written,
)
from tasks.score.targets import Target, target_of
from tasks.score.version import loaded_model

_log = logging.getLogger("perennial.score")


def plan_scoring(config: ModelConfig, request: ScoringRequest, settings: Settings) -> ScoringPlan | ScoreOutcome:
    """Write the plan of a scoring, or return the outcome that its output holds already.

    A repeat after a kill goes on from the plan that it finds, with its version, unless the input has changed.

    Parameters
    ----------
    config
        The model file.
    request
        What was asked for.
    settings
        Settings of the project.

    Raises
    ------
    ConfigError
        The request is invalid, or the output holds something else.
    SourceError, SchemaError, SourceTooLargeError
        See :func:`tasks.score.input.scoring_input`.
    ModelNotFoundError, BundleError
        There is no such version, or its bundle cannot be used.
    StorageError
        A disk, a database or the registry failed.
    """
    check_time(request)
    folder = staging_folder(request, settings)
    if (begun := _begun(request, folder, settings)) is not None:
        return begun
    target = target_of(request, settings)
    if target.exists() and not is_scored_output(open_database(settings.database_url), target.shown):
        raise occupied(target)
    record = _record(request, settings)
    model = loaded_model(request.model, record.version, record.manifest, config.training.trusted_types, settings)
    with storage_errors(folder):
        remove(folder)
        (folder / PARTS).mkdir(parents=True)
    source = input_source(request, config, model.contract)
    found = scoring_input(source, config, model.contract, settings, folder)
    plan = _plan(config, request, record, source.missing, found)
    target.check(output_columns(model.contract, plan.wanted(model.contract), features=request.features).names)
    if (outcome := recorded_outcome(plan, target, settings)) is not None:
        remove(folder)
        return outcome
    if target.exists():
        raise occupied(target)
    return written(plan, ScoringPlan, folder / PLAN)


def _record(request: ScoringRequest, settings: Settings) -> RegisteredVersion:
    if request.version is None:
        return champion_record(request.model, settings)
    return version_record(request.model, request.version, settings)


def check_time(request: ScoringRequest) -> None:
    """Refuse a time that is none.

    Raises
    ------
    ConfigError
        It is not ISO 8601.
    """
    try:
        datetime.fromisoformat(request.at or "2026-01-01")
    except ValueError as error:
        raise ConfigError(
            f"--at expects a time such as 2026-03-01 or 2026-03-01T12:30+02:00, found {request.at!r}"
        ) from error


def occupied(target: Target) -> ConfigError:
    """Build the error for an output that holds something else."""
    return ConfigError(
        f"{target.shown}, or the file with its rows set aside, exists and is not the result of the same version, input "
        "and options; nothing is overwritten: remove both, or choose another --output"
    )


def _begun(request: ScoringRequest, folder: Path, settings: Settings) -> ScoringPlan | None:
    """Return the plan of a run that was killed; None if there is none, or if its input has changed."""
    plan = read(ScoringPlan, folder / PLAN)
    if plan is None or plan.request != request or not all(map(is_unchanged, plan.files)):
        return None
    if read(ScoreOutcome, folder / RESULT) is None and target_of(request, settings).exists():
        return None
    with storage_errors(folder):
        (folder / FAILED).unlink(missing_ok=True)
    n_done = len(list((folder / PARTS).glob("*.json")))
    _log.info(
        "going on with a run of version %d that was stopped: %d of %d parts are done",
        plan.version,
        n_done,
        len(plan.parts),
    )
    return plan


def _plan(
    config: ModelConfig,
    request: ScoringRequest,
    record: RegisteredVersion,
    missing: tuple[str, ...],
    found: ScoringInput,
) -> ScoringPlan:
    return ScoringPlan(
        request=request,
        version=record.version,
        manifest=record.manifest,
        run=run_identity(request, record.version, record.manifest, found.sha256, [found.columns, sorted(missing)]),
        input_sha256=found.sha256,
        at=time_of_predictions(request, record.recorded_at, found.changed_ns),
        files=found.files,
        columns=found.columns,
        missing=missing,
        time=config.time,
        trusted=config.training.trusted_types,
        parts=tuple(parts_of(found.groups, PART_ROWS)),
    )
