"""From rows to a champion: ingest, snapshot, check, fit, evaluate, register, judge, promote."""

from __future__ import annotations

from prefect import flow

from config.settings import load_settings
from core.outcome import TrainOutcome
from flows.ingest import ingest
from tasks.outcomes import refused_by_leakage, refused_by_validation, tell, trained
from tasks.runs.lock import hold_model
from tasks.runs.retries import unless_definite
from tasks.runs.slots import skipped, superseded
from tasks.steps import (
    check_estimators,
    check_leakage,
    evaluate,
    find_version,
    fit,
    judge,
    prepare_run,
    promote,
    read_config,
    register,
)


@flow(name="train", flow_run_name="{model}-{trigger}", on_completion=[tell], on_failure=[tell])
@unless_definite
def train(
    model: str,
    data_version: str | None = None,
    overrides: dict[str, str] | None = None,
    trigger: str = "manual",
    wait_seconds: float = 0.0,
) -> TrainOutcome:
    """Train a model on its newest data, or on a given data version, and promote it if the gate decides so."""
    if reason := superseded():
        return skipped(reason, TrainOutcome)
    with hold_model(model, load_settings(), wait_seconds):
        config = read_config(model, overrides)
        check_estimators(config)
        if data_version is None:
            ingestion = ingest(model, overrides, trigger)
            if ingestion.data_version is None:
                return refused_by_validation(ingestion)
            data_version = ingestion.data_version
        run = prepare_run(config, data_version, trigger)
        version = find_version(run)
        if version is None:
            reasons = check_leakage(run)
            if reasons:
                return refused_by_leakage(run, reasons)
            fitted = fit(run)
            evaluated = evaluate(fitted)
            version = register(evaluated)
        if version.status == "unchanged":
            return version
        verdict = judge(run, version)
        while not promote(run, verdict):  # the champion moved while this version was judged
            verdict = judge(run, version)
        return trained(run, version, verdict)
