"""From what has grown to what is kept: remove what retention lets go, of each model and of the project."""

from __future__ import annotations

from prefect import flow

from core.retention.outcome import PruneOutcome, merged
from tasks.outcomes import tell
from tasks.runs.slots import skipped, superseded
from tasks.steps import find_models, prune_model, prune_project, read_retention


@flow(name="prune", flow_run_name="prune-{trigger}", on_completion=[tell], on_failure=[tell])
def prune(
    dry_run: bool = False,
    trigger: str = "manual",  # noqa: ARG001 - part of the run's name
    wait_seconds: float = 0.0,
) -> PruneOutcome:
    """Remove what is older or more than retention keeps and nothing needs; a dry run only says what that is."""
    if reason := superseded():
        return skipped(reason, PruneOutcome)
    pruning = read_retention(dry_run, wait_seconds)
    models = find_models()
    of_models = [prune_model(model, pruning) for model in models]
    return merged([*of_models, prune_project(models, pruning)])
