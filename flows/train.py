"""From rows to a registered version: ingest, snapshot, check, fit, evaluate, register."""

from __future__ import annotations

from prefect import flow

from config.settings import load_settings
from core.outcome import TrainOutcome
from flows.ingest import ingest
from tasks.lock import hold_model
from tasks.publish import refused_by_leakage, refused_by_validation, trained
from tasks.steps import check_leakage, evaluate, find_version, fit, prepare_run, read_config, register


@flow(name="train", flow_run_name="{model}-{trigger}")
def train(
    model: str,
    data_version: str | None = None,
    overrides: dict[str, str] | None = None,
    trigger: str = "manual",
    wait_seconds: float = 0.0,
) -> TrainOutcome:
    """Train a model on its newest data, or on a given data version, unless that very run is registered already."""
    with hold_model(model, load_settings(), wait_seconds):
        config = read_config(model, overrides)
        if data_version is None:
            ingestion = ingest(model, overrides, trigger)
            if ingestion.data_version is None:
                return refused_by_validation(ingestion)
            data_version = ingestion.data_version
        run = prepare_run(config, data_version, trigger)
        known = find_version(run)
        if known is not None:
            return known
        reasons = check_leakage(run)
        if reasons:
            return refused_by_leakage(run, reasons)
        fit(run)
        verdict = evaluate(run)
        return trained(run, verdict, register(run, verdict))
