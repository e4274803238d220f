"""A verdict on drift in MLflow."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
from mlflow import MlflowClient

from config.schema import Drift
from config.settings import Settings
from core.drift.decision import decide
from tasks.monitor.mlflow_run import DECISION, log_verdict
from tests.core.drift_samples import DRIFTED, NOW, UNHARMED, evidence

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")  # MLflow's own

UNDEFINED = replace(UNHARMED, kind="realised", value=math.nan, loss=math.nan)
ODD = replace(DRIFTED, name="income (€) | $")
VERDICT = decide(evidence(DRIFTED, ODD, performance=(UNHARMED, UNDEFINED)), (), Drift(persistence=(1, 1)), NOW)


@pytest.fixture
def report(tmp_path: Path) -> dict[str, Path]:
    """Return a report to log."""
    path = tmp_path / "drift.html"
    path.write_text("<p>drift</p>")
    return {"drift": path}


def test_a_decision_has_one_run(registry: Settings, client: MlflowClient, report: dict[str, Path]) -> None:
    """With what can be told in numbers; a repeat finds it."""
    run_id = log_verdict(VERDICT, report, registry)
    assert log_verdict(VERDICT, report, registry) == run_id
    run = client.get_run(run_id)
    assert run.info.status == "FINISHED"
    metrics = run.data.metrics
    assert (metrics["n_rows"], metrics["psi/income"], metrics["estimated/roc_auc"]) == (2000, 0.31, 0.809)
    assert "realised/roc_auc" not in metrics, "MLflow would keep NaN as a number"
    assert len([name for name in metrics if name.startswith("psi/")]) == 2
    assert run.data.tags["perennial.status"] == VERDICT.status
    assert [file.path for file in client.list_artifacts(run_id, "reports")] == ["reports/drift.html"]
    assert run_id != log_verdict(replace(VERDICT, id="b" * 64), report, registry)


def test_a_run_that_was_killed_is_made_again(registry: Settings, client: MlflowClient, report: dict[str, Path]) -> None:
    """What it left is taken away."""
    first = log_verdict(VERDICT, report, registry)
    client.update_run(first, status="RUNNING")
    second = log_verdict(VERDICT, report, registry)
    assert second != first
    assert client.get_run(first).info.lifecycle_stage == "deleted"
    experiment = client.get_run(second).info.experiment_id
    assert len(client.search_runs([experiment], f"tags.`{DECISION}` = '{VERDICT.id}'")) == 1
