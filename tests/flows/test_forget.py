"""An erasure in the middle of a model's life: what comes before and after it works as without it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from config.load import load_model_config
from config.settings import Settings
from store.database import open_database
from store.log.labels import Label, record_labels
from tasks.erasure.forget import ForgetRequest, forget
from tasks.served.coverage import label_coverage
from tasks.versions.versions import data_history, restore_data
from tests.factories import add_credit_model, credit_rows
from tests.tasks.erasure.projects import numbers
from tests.tasks.served.traffic import log_rows

pytestmark = [
    pytest.mark.e2e,
    # Evidently 0.7.23, Great Expectations 1.24 and MLflow 3.17 use names that pandas 3, NumPy 2 and their own web
    # frameworks deprecate: their warnings, not ours.
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::pandas.errors.Pandas4Warning"),
]

GONE = "c2-7"
SMALL = {"training.cv": "0", "drift.min_rows": "150", "drift.window_rows": "150", "gate.min_rows": "100"}


@pytest.mark.timeout(900)
def test_a_model_lives_on_after_an_entity_was_forgotten(prefect_api: str, project: Settings, tmp_path: Path) -> None:
    """Ingestion, monitoring of batches and of the log, labels, training, scoring, retention, old and new versions."""
    assert prefect_api
    from flows.ingest import ingest
    from flows.monitor import monitor
    from flows.prune import prune
    from flows.score import score
    from flows.train import train

    old, new = credit_rows(600, seed=1), credit_rows(200, seed=2)
    add_credit_model(project, old)
    assert train("credit", overrides=SMALL).status == "promoted"
    trained = data_history("credit", project).versions[-1].version
    pd.concat([old, new]).to_csv(project.root / "rows.csv", index=False)
    assert ingest("credit", overrides=SMALL).n_rows == 800
    serve(project, new)
    before = monitor("credit", overrides=SMALL, source="batches")
    new.drop(columns="default").to_csv(tmp_path / "new.csv", index=False)
    asked = ("credit", str(tmp_path / "new.csv"), str(project.root / "scores.parquet"))
    first = score(*asked, overrides=SMALL)

    outcome = forget(ForgetRequest("credit", GONE), project)
    assert numbers(outcome).keys() >= {"logged predictions", "labels", "rows of batches", "scored rows"}

    assert ingest("credit", overrides=SMALL).n_rows == 799
    again = monitor("credit", overrides=SMALL, source="batches")
    assert (again.id, again.window.n_rows) == (before.id, 200), "the decision of then stays"
    since, until = (f"2026-03-0{day}" for day in (1, 2))
    logged = monitor("credit", overrides=SMALL, source="predictions", since=since, until=until)
    assert (logged.window.n_rows, logged.window.n_labelled) == (199, 199)
    config = load_model_config(project.root, "credit", SMALL)
    week = label_coverage(config, 2, datetime(2026, 3, 5, tzinfo=UTC), project).weeks[-1]
    assert (week.n_rows, week.n_labelled) == (199, 199)
    repeated = score(*asked, overrides=SMALL)
    assert (repeated.status, repeated.id, repeated.n_scored) == ("unchanged", first.id, 199)
    assert GONE not in pq.read_table(project.root / "scores.parquet")["id"].to_pylist()
    second = train("credit", overrides=SMALL)
    assert (second.version, second.model) == (2, "credit")
    assert prune(dry_run=True).skipped == ()
    assert len(restore_data("credit", trained, project)) == 1
    restore_data("credit", "latest", project)
    assert [batch.n_rows for batch in data_history("credit", project).batches] == [600, 199]
    named = {one.what for one in forget(ForgetRequest("credit", "c2-8"), project, dry_run=True).remaining}
    assert {"trained version", "batch"} <= named


def serve(settings: Settings, rows: pd.DataFrame) -> None:
    """Log rows as if they had been served on a day, three of a request, and record their labels a day later."""
    engine = open_database(settings.database_url)
    at = datetime(2026, 3, 1, 8, tzinfo=UTC)
    sent = rows.drop(columns="default").assign(owner=rows["owner"] == "true")
    log_rows(engine, sent, [[0.5, 0.5]] * len(rows), at, key="id", per_request=3)
    labels = [Label("key", key, str(label)) for key, label in zip(rows["id"], rows["default"], strict=True)]
    record_labels(engine, "credit", labels, "branch", at + timedelta(days=1))
