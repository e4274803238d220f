"""From a trigger to its outcome: claim, check pace and rows, ingest, train, record."""

from __future__ import annotations

from prefect import flow

from config.settings import load_settings
from core.operate.retraining import RetrainOutcome
from flows.ingest import ingest
from flows.train import train
from tasks.operate.retraining import already, answered
from tasks.outcomes import retrained, tell
from tasks.runs.lock import hold_model
from tasks.runs.slots import skipped, superseded
from tasks.steps import check_pace, check_rows, claim_trigger, conclude, read_config, refuse

WAIT_SECONDS = 3600.0
"""Seconds to wait for another run of the model to end."""


@flow(name="retrain", flow_run_name="{model}-{trigger}", on_completion=[tell], on_failure=[tell])
def retrain(
    model: str,
    trigger: str = "manual",
    trigger_id: str | None = None,
    reason: str = "",
    force: bool = False,
    overrides: dict[str, str] | None = None,
    wait_seconds: float = WAIT_SECONDS,
) -> RetrainOutcome:
    """Retrain a model if there are enough new labelled rows and the pace allows it, once per trigger; else refuse."""
    if later := superseded():
        return skipped(later, RetrainOutcome)
    config = read_config(model, overrides)
    claim = claim_trigger(model, trigger, trigger_id, reason, force)
    if not claim.is_mine:
        return retrained(already(claim))
    with answered(claim, load_settings()), hold_model(model, load_settings(), wait_seconds):
        refusal = check_pace(claim, config)
        if refusal is not None:
            return retrained(refuse(claim, refusal))
        ingestion = ingest(model, overrides, claim.trigger.id)
        refusal = check_rows(claim, config, ingestion)
        if refusal is not None:
            return retrained(refuse(claim, refusal, ingestion.data_version))
        # A staged release of the version replaces train's own promotion here.
        outcome = train(model, ingestion.data_version, overrides, claim.trigger.id)
        return retrained(conclude(claim, outcome))
