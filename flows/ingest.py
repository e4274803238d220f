"""From a source to a data version: read, validate, write, version; served rows with labels are a source too."""

from __future__ import annotations

from typing import Literal

from prefect import flow

from config.schema import ModelConfig
from config.settings import load_settings
from core.outcome import IngestOutcome
from core.references import StagedRows
from tasks.outcomes import accepted, no_served_rows, refused, refused_selection, served_outcome, tell, with_served
from tasks.runs.lock import hold_model
from tasks.runs.retries import unless_definite
from tasks.runs.slots import skipped, superseded
from tasks.steps import find_batch, read_config, remember_served, stage, stage_served, validate, version, write


@flow(name="ingest", flow_run_name="{model}-{trigger}", on_completion=[tell], on_failure=[tell])
@unless_definite
def ingest(
    model: str,
    overrides: dict[str, str] | None = None,
    trigger: str = "manual",  # noqa: ARG001 - part of the run's name
    wait_seconds: float = 0.0,
    source: Literal["configured", "predictions"] = "configured",
    since: str | None = None,
    until: str | None = None,
) -> IngestOutcome:
    """Version the rows of a source, and served rows, unless they are versioned already or validation refuses them."""
    if reason := superseded():
        return skipped(reason, IngestOutcome)
    with hold_model(model, load_settings(), wait_seconds):
        config = read_config(model, overrides)
        if source == "predictions":
            return _served(config, since, until)
        outcome = _versioned(config, stage(config))
        return with_served(outcome, _served(config)) if outcome.accepted and config.labels.train else outcome


def _served(config: ModelConfig, since: str | None = None, until: str | None = None) -> IngestOutcome:
    """Version the served rows whose labels are known."""
    found = stage_served(config, since, until)
    if found.rows is None:
        return no_served_rows(config, found)
    if found.selection is not None and found.selection.is_selected:
        return refused_selection(config, found)
    outcome = served_outcome(_versioned(config, found.rows), found)
    if outcome.accepted and since is None and until is None:
        remember_served(config, found)
    return outcome


def _versioned(config: ModelConfig, rows: StagedRows) -> IngestOutcome:
    """Version staged rows, unless they are versioned or the validation refuses them."""
    batch = find_batch(config, rows)
    validation = None
    if batch is None:
        validation = validate(config, rows)
        if not validation.accepted:
            return refused(config, validation)
        batch = write(config, validation)
    return accepted(config, rows, batch, validation, version(config))
