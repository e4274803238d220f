"""From a window of rows to a decision: choose, measure against the champion's training rows, decide, store, notify."""

from __future__ import annotations

from typing import Literal

from prefect import flow

from core.drift.verdict import DriftVerdict
from tasks.outcomes import tell, watched
from tasks.runs.retries import unless_definite
from tasks.runs.slots import skipped, superseded
from tasks.steps import choose_window, decide_drift, find_drift, keep_drift, measure_drift, read_config


@flow(name="monitor", flow_run_name="{model}-{trigger}", on_completion=[tell], on_failure=[tell])
@unless_definite
def monitor(
    model: str,
    batches: list[str] | None = None,
    since: str | None = None,
    until: str | None = None,
    against: str = "champion",
    exact: bool = False,
    overrides: dict[str, str] | None = None,
    trigger: str = "manual",  # noqa: ARG001 - part of the run's name
    wait_seconds: float = 0.0,
    source: Literal["auto", "batches", "predictions"] | None = None,
) -> DriftVerdict:
    """Judge whether a window of batches or of served rows has drifted from the champion's training rows."""
    if reason := superseded():
        return skipped(reason, DriftVerdict)
    config = read_config(model, overrides)
    window = choose_window(config, batches, since, until, against, exact, wait_seconds, source)
    verdict = find_drift(window)
    if verdict is None:
        evidence = measure_drift(window)
        verdict = keep_drift(window, decide_drift(window, evidence))
    return watched(window, verdict)
