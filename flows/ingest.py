"""From a source to a data version: read, validate, write, version."""

from __future__ import annotations

from prefect import flow

from config.settings import load_settings
from core.outcome import IngestOutcome
from tasks.outcomes import accepted, refused, tell
from tasks.runs.lock import hold_model
from tasks.runs.retries import unless_definite
from tasks.runs.slots import skipped, superseded
from tasks.steps import find_batch, read_config, stage, validate, version, write


@flow(name="ingest", flow_run_name="{model}-{trigger}", on_completion=[tell], on_failure=[tell])
@unless_definite
def ingest(
    model: str,
    overrides: dict[str, str] | None = None,
    trigger: str = "manual",  # noqa: ARG001 - part of the run's name
    wait_seconds: float = 0.0,
) -> IngestOutcome:
    """Version the rows of a model's source, unless they are already versioned or the validation refuses them."""
    if reason := superseded():
        return skipped(reason, IngestOutcome)
    with hold_model(model, load_settings(), wait_seconds):
        config = read_config(model, overrides)
        rows = stage(config)
        batch = find_batch(config, rows)
        validation = None
        if batch is None:
            validation = validate(config, rows)
            if not validation.accepted:
                return refused(config, validation)
            batch = write(config, validation)
        return accepted(config, rows, batch, validation, version(config))
