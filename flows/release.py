"""From what a challenger did on live traffic to its next share: look once, and end."""

from __future__ import annotations

from prefect import flow

from core.release.outcome import ReleaseOutcome
from tasks.outcomes import released, tell
from tasks.runs.slots import skipped, superseded
from tasks.steps import look_at_release, project_aliases, start_waiting


@flow(name="release", flow_run_name="{model}-{trigger}", on_completion=[tell], on_failure=[tell])
def release(
    model: str,
    trigger: str = "manual",  # noqa: ARG001 - part of the run's name
) -> ReleaseOutcome:
    """Look once at a model's release: advance, hold, roll back or complete it; then let the next challenger start."""
    if reason := superseded():
        return skipped(reason, ReleaseOutcome)
    outcome = look_at_release(model)
    if outcome.moved_champion:
        project_aliases(model)
    if outcome.is_over:
        outcome = start_waiting(outcome)
    return released(outcome)
