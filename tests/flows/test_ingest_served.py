"""Served rows with labels as training data: the flow ``ingest`` on a log, and what follows from it."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from config.load import load_model_config
from config.settings import Settings
from core.outcome import IngestOutcome, TrainOutcome
from store.database import open_database
from store.log.labels import Label, record_labels
from tasks.gate.unchanged import unchanged_training
from tasks.monitor.windows import Asked, monitored_window
from tasks.versions.working_copy import batch_facts
from tests.factories import add_credit_model, credit_rows
from tests.tasks.served.traffic import log_rows

pytestmark = [
    pytest.mark.e2e,
    # As in test_train: what the libraries use of each other is deprecated, not what we use.
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::pandas.errors.Pandas4Warning"),
]

NOW = datetime.now(UTC)
ASKED = NOW - timedelta(days=40)
"""When the rows were served; labels take three weeks."""
KNOWN = NOW - timedelta(days=19)

Ingest = Callable[..., IngestOutcome]


@pytest.fixture
def ingest(prefect_api: str) -> Ingest:
    """Return the flow, imported once its server is known."""
    assert prefect_api
    from flows.ingest import ingest

    return ingest


def serve(settings: Settings, rows: pd.DataFrame, key: str | None = "id") -> list[str]:
    """Log rows of the champion, with probabilities that rise as the income falls; return the predictions' ids."""
    scores = 1 / (1 + np.exp((rows["income"] - 45) / 8))
    sent = rows.drop(columns=["default", *(["id"] if key is None else [])]).assign(owner=rows["owner"] == "true")
    outputs = [[1 - score, score] for score in scores.tolist()]
    return log_rows(open_database(settings.database_url), sent, outputs, ASKED, key=key, per_request=50)


def tell(settings: Settings, labels: dict[str, Any], kind: Any = "key", at: datetime = KNOWN) -> None:
    """Record labels by key or id."""
    found = [Label(kind, reference, str(label)) for reference, label in labels.items()]
    record_labels(open_database(settings.database_url), "credit", found, "ci", at)


def outcomes(rows: pd.DataFrame) -> dict[str, Any]:
    """Return the labels of rows by their key."""
    return dict(zip(rows["id"], rows["default"], strict=True))


def stored(settings: Settings) -> list[pd.DataFrame]:
    """Return the rows of the batches, in order."""
    return [pd.read_parquet(path) for path in sorted((settings.root / "data" / "credit").glob("*.parquet"))]


def test_served_rows_with_labels_become_a_batch_once(trained: TrainOutcome, ingest: Ingest, project: Settings) -> None:
    """Features as they were sent; a repeat adds nothing, more labels their rows, a corrected label replaces a row."""
    assert trained.status == "promoted"
    rows = credit_rows(300, seed=2)
    serve(project, rows)
    tell(project, outcomes(rows[:200]))
    first = ingest("credit", source="predictions")
    assert (first.is_new, first.n_new, first.n_quarantined) == (True, 200, 0)
    assert "200 of 300 served rows" in first.reasons[0]
    batch = stored(project)[1]
    assert batch["income"].tolist() == rows["income"][:200].tolist()
    assert batch["default"].tolist() == rows["default"][:200].astype(str).tolist()
    assert batch["id"].tolist() == rows["id"][:200].tolist()
    path = sorted((project.root / "data" / "credit").glob("*.parquet"))[1]
    assert batch_facts(path).source == "the prediction log"
    again = ingest("credit", source="predictions")
    assert (again.is_new, again.data_version) == (False, first.data_version)
    tell(project, outcomes(rows[200:]))
    tell(project, {rows["id"][0]: 1 - int(rows["default"][0])}, at=KNOWN + timedelta(days=1))
    later = ingest("credit", source="predictions")
    assert (later.n_new, later.n_replaced, later.n_known) == (100, 1, 199)
    assert len(stored(project)[2]) == 101


def test_a_row_without_a_key_has_the_id_of_its_prediction(
    trained: TrainOutcome, ingest: Ingest, project: Settings
) -> None:
    """So that its label can be corrected, although the client sent no key."""
    assert trained.status == "promoted"
    rows = credit_rows(60, seed=2)
    ids = serve(project, rows, key=None)
    tell(project, dict(zip(ids, rows["default"], strict=True)), kind="id")
    assert ingest("credit", source="predictions").n_new == 60
    assert stored(project)[1]["id"].tolist() == ids
    tell(project, {ids[0]: 1 - int(rows["default"][0])}, kind="id", at=KNOWN + timedelta(days=1))
    assert ingest("credit", source="predictions").n_replaced == 1


def test_rows_that_another_source_delivered_are_not_taken_from_the_log(
    trained: TrainOutcome, ingest: Ingest, project: Settings
) -> None:
    """Otherwise each would replace the other for ever."""
    assert trained.status == "promoted"
    rows = pd.concat([credit_rows(40), credit_rows(60, seed=2)], ignore_index=True)
    serve(project, rows)
    tell(project, outcomes(rows))
    outcome = ingest("credit", source="predictions")
    assert outcome.n_new == 60
    assert "40 rows of entities that another source delivered are left out" in outcome.reasons
    versions = {ingest("credit").data_version, ingest("credit", source="predictions").data_version}
    assert versions == {outcome.data_version}


def test_a_selected_sample_is_refused_until_it_is_meant(
    trained: TrainOutcome, ingest: Ingest, project: Settings
) -> None:
    """Where high scores are never labelled, as refused loans never default, nothing is written."""
    assert trained.status == "promoted"
    rows = credit_rows(600, seed=2)
    serve(project, rows)
    tell(project, outcomes(rows[rows["income"] > 45]))
    refused = ingest("credit", source="predictions")
    assert not refused.accepted
    assert "a selected sample of those served" in refused.reasons[0]
    assert refused.selection is not None
    assert [band.share for band in refused.selection.bands][-3:] == [0, 0, 0]
    assert len(stored(project)) == 1
    meant = ingest("credit", overrides={"labels.min_band_ratio": "0"}, source="predictions")
    assert (meant.accepted, meant.n_new) == (True, int((rows["income"] > 45).sum()))


def test_a_training_takes_served_rows_and_repeats_itself_only_for_new_labels(
    trained: TrainOutcome, project: Settings
) -> None:
    """With labels.train, and with nothing new a command ends before any flow run; the next label ends that."""
    from flows.train import train

    assert trained.status == "promoted"
    rows = credit_rows(300, seed=2)
    serve(project, rows)
    tell(project, outcomes(rows[:250]))
    _train_on_labels(project)
    second = train("credit")
    assert second.version == 2
    unchanged = unchanged_training("credit", None, None, project)
    assert unchanged is not None
    assert (unchanged.status, unchanged.version) == ("unchanged", 2)
    tell(project, outcomes(rows[250:]))
    assert unchanged_training("credit", None, None, project) is None
    assert train("credit").version == 3


def test_new_labels_justify_a_retraining(trained: TrainOutcome, project: Settings) -> None:
    """They are labelled rows that the champion was not trained on, whatever the trigger."""
    from flows.retrain import retrain

    assert trained.status == "promoted"
    _train_on_labels(project, min_new_labels=100)
    rows = credit_rows(150, seed=2)
    serve(project, rows)
    tell(project, outcomes(rows[:50]))
    refused = retrain("credit", "drift", "drift:1")
    assert (refused.status, refused.code) == ("refused", "unlabelled")
    tell(project, outcomes(rows[50:]))
    answered = retrain("credit", "drift", "drift:2")
    assert answered.version == 2


def test_a_batch_of_served_rows_is_no_window(trained: TrainOutcome, ingest: Ingest, project: Settings) -> None:
    """Its rows are judged when they are answered; a batch of labelled rows would be judged a second time."""
    assert trained.status == "promoted"
    rows = credit_rows(300, seed=2)
    serve(project, rows)
    tell(project, outcomes(rows))
    assert ingest("credit", source="predictions").is_new
    config = load_model_config(project.root, "credit")
    window = monitored_window(config, Asked(source="batches"), project)
    assert window.paths == ()
    named = monitored_window(config, Asked(batches=("2",)), project)
    assert [path.name[:4] for path in named.paths] == ["0002"]


def test_a_log_without_labels_adds_nothing(trained: TrainOutcome, ingest: Ingest, project: Settings) -> None:
    """It is no error, and a range that holds none is neither."""
    assert trained.status == "promoted"
    empty = ingest("credit", source="predictions")
    assert (empty.accepted, empty.batch) == (True, None)
    assert empty.reasons == ("no served rows: the prediction log has no answers",)
    rows = credit_rows(60, seed=2)
    serve(project, rows)
    assert ingest("credit", source="predictions").batch is None
    tell(project, outcomes(rows))
    assert ingest("credit", source="predictions", until=ASKED.isoformat()).batch is None
    assert ingest("credit", source="predictions", since=ASKED.isoformat()).n_new == 60


def test_features_that_were_never_sent_are_told(trained: TrainOutcome, ingest: Ingest, project: Settings) -> None:
    """A feature that the model file gained cannot be read from the log of a champion that did not have it."""
    assert trained.status == "promoted"
    serve(project, credit_rows(60, seed=2))
    tell(project, outcomes(credit_rows(60, seed=2)))
    add_credit_model(project, credit_rows().assign(tenure=1.0), features={"numeric": ["income", "age", "tenure"]})
    outcome = ingest("credit", source="predictions")
    assert outcome.batch is None
    assert outcome.reasons == ("no served rows: no champion was sent tenure yet",)


def _train_on_labels(settings: Settings, **retrain: int) -> None:
    path: Path = settings.root / "config" / "models" / "credit.yaml"
    content = json.loads(path.read_text())
    content["labels"]["train"] = True
    content["retrain"] |= {"cooldown_hours": 0, **retrain}
    path.write_text(json.dumps(content))
