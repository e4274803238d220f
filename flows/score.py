"""From rows to predictions: plan, score the parts in parallel, publish the output once it is whole."""

from __future__ import annotations

import os
from typing import Any

from prefect import flow
from prefect.task_runners import ThreadPoolTaskRunner

from config.settings import load_settings
from core.score.outcome import ScoreOutcome
from core.score.plan import ScoringRequest
from tasks.runs.retries import unless_definite
from tasks.score.staging import held_output, located
from tasks.steps import plan_scores, publish_scores, read_config, score_parts


@flow(
    name="score",
    flow_run_name="{model}-{trigger}",
    # Prefect's type of a runner is invariant in its futures.
    task_runner=ThreadPoolTaskRunner[Any](max_workers=os.cpu_count() or 2),  # type: ignore[arg-type]
)
@unless_definite
def score(
    model: str,
    rows: str,
    output: str,
    version: int | None = None,
    at: str | None = None,
    features: bool = False,
    overrides: dict[str, str] | None = None,
    trigger: str = "manual",  # noqa: ARG001 - part of the run's name
) -> ScoreOutcome:
    """Score the rows of an input with a version, by default the champion, unless the output holds that already."""
    settings = load_settings()
    request = located(ScoringRequest(model, rows, output, version, at, features), settings)
    with held_output(request, settings):
        config = read_config(model, overrides)
        plan = plan_scores(config, request)
        if isinstance(plan, ScoreOutcome):
            return plan
        return publish_scores(plan, score_parts(plan))
