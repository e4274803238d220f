"""Log a drift verdict to MLflow: one run per decision, in the experiment of its model."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from config.home import user_name
from config.settings import Settings
from tasks.registry.client import mlflow_client, mlflow_failures
from tasks.registry.register import MAX_PER_BATCH, REPORTS, experiment_of, named_for_mlflow

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from core.drift.verdict import DriftVerdict

DECISION = "perennial.drift"
KIND = "perennial.kind"


def log_verdict(verdict: DriftVerdict, files: Mapping[str, Path], settings: Settings) -> str:
    """Log a verdict's numbers and reports to a new run and return the run's id; a repeat finds that run.

    Parameters
    ----------
    files
        Files by name, logged under ``reports/``.

    Raises
    ------
    StorageError
        MLflow's database, server or artifact store failed.
    """
    client = mlflow_client(settings)
    with mlflow_failures(settings):
        experiment = experiment_of(client, verdict.model, settings)
        same = f"tags.`{DECISION}` = '{verdict.id}'"
        runs = client.search_runs([experiment], same)
        for run in runs:
            if run.info.status == "FINISHED":
                return str(run.info.run_id)
            client.set_terminated(run.info.run_id, "KILLED")
            client.delete_run(run.info.run_id)
        run_id = _start(client, experiment, verdict)
        _log_numbers(client, run_id, verdict)
        for path in files.values():
            client.log_artifact(run_id, str(path), REPORTS)
        client.set_terminated(run_id, "FINISHED")
        return run_id


def log_pages(run_id: str, files: Mapping[str, Path], settings: Settings) -> None:
    """Log a verdict's reports to its run again; a repeat replaces them."""
    client = mlflow_client(settings)
    with mlflow_failures(settings):
        for path in files.values():
            client.log_artifact(run_id, str(path), REPORTS)


def _start(client: MlflowClient, experiment: str, verdict: DriftVerdict) -> str:
    tags = {
        DECISION: verdict.id,
        KIND: "monitor",
        "perennial.status": verdict.status,
        "perennial.champion": str(verdict.champion),
        "perennial.against": verdict.against,
        "mlflow.user": user_name(),
        "mlflow.source.name": "perennial monitor",
        "mlflow.source.type": "LOCAL",
        "mlflow.note.content": "\n".join(f"- {reason}" for reason in verdict.reasons),
    }
    name = f"{verdict.model}-monitor-{verdict.id[:8]}"
    return str(client.create_run(experiment, tags=tags, run_name=name).info.run_id)


def _log_numbers(client: MlflowClient, run_id: str, verdict: DriftVerdict) -> None:
    from mlflow.entities import Metric

    values: dict[str, float] = {"n_rows": verdict.window.n_rows, "drifted_importance": verdict.importance_share}
    values |= {f"psi/{column.name}": column.psi for column in verdict.columns}
    values |= {f"{found.kind}/{found.metric}": found.value for found in verdict.performance}
    now = int(time.time() * 1000)
    measured = [
        Metric(name, value, now, step=0)
        for name, value in named_for_mlflow(values).items()
        if value is not None and abs(value) < float("inf")
    ]
    for start in range(0, len(measured), MAX_PER_BATCH):
        client.log_batch(run_id, metrics=measured[start : start + MAX_PER_BATCH])
