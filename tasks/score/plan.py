"""Plan a scoring, or find the plan of one that was killed, or that the output holds its result already."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

from config.schema import ModelConfig
from config.settings import Settings
from core.errors import ConfigError
from core.score.outcome import ScoreOutcome
from core.score.output import output_columns
from core.score.parts import PART_ROWS, parts_of
from core.score.plan import ScoringPlan, ScoringRequest, given_time, run_identity, time_of_predictions
from core.storage_failure import storage_errors
from store.database import open_database
from store.registry.registrations import RegisteredVersion
from store.scored.batches import find_scored_batch, is_scored_output
from tasks.registry.versions import champion_record, version_record
from tasks.score.input import ScoringInput, input_source, own_files, scoring_input
from tasks.score.publish import recorded_outcome
from tasks.score.staging import (
    FAILED,
    PARTS,
    PLAN,
    RESULT,
    is_unchanged,
    read,
    refuse_own_output,
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
    if request.at is not None:
        given_time(request.at)  # before anything is read
    refuse_own_output(request, settings)
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
    recorded = find_scored_batch(open_database(settings.database_url), plan.id)
    if recorded is not None:
        # A file of the input may have been written again, or copied, with the same content: the predictions keep their
        # time, and with it their ids.
        plan = replace(plan, at=recorded.predicted_at)
        if target.holds(plan, recorded.output_sha256) or (request.kind == "sql" and not recorded.n_scored):
            if recorded.set_aside is None or target.has_set_aside(plan):
                remove(folder)
                return recorded_outcome(recorded)
            return written(plan, ScoringPlan, folder / PLAN)  # the rows that were set aside are gone
    if target.exists():
        raise occupied(target)
    return written(plan, ScoringPlan, folder / PLAN)


def _record(request: ScoringRequest, settings: Settings) -> RegisteredVersion:
    if request.version is None:
        return champion_record(request.model, settings)
    return version_record(request.model, request.version, settings)


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
    if own_files(request.input, settings) != plan.own:
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
        own=found.own,
        columns=found.columns,
        missing=missing,
        time=config.time,
        trusted=config.training.trusted_types,
        parts=tuple(parts_of(found.groups, PART_ROWS)),
    )
