"""The flow ``train`` end to end: real Prefect, DVC, Great Expectations, scikit-learn, MLflow and Evidently."""

import html
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from config.settings import Settings
from core.errors import BundleError, ConfigError
from core.outcome import TrainOutcome
from tests.factories import add_credit_model, credit_rows, git

pytestmark = [
    pytest.mark.e2e,
    # Evidently 0.7.23, Great Expectations 1.24 and MLflow 3.17 use names that pandas 3, NumPy 2 and their own web
    # frameworks deprecate: their warnings, not ours.
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::pandas.errors.Pandas4Warning"),
]

Train = Callable[..., TrainOutcome]


@pytest.fixture
def train(prefect_api: str) -> Train:
    """Return the flow, imported once its server is known."""
    assert prefect_api
    from flows.train import train

    return train


def _predictions(settings: Settings, outcome: TrainOutcome, rows: pd.DataFrame) -> Any:
    import mlflow

    # By its place: "models:/" would need the address of the process, which other tests share.
    client = mlflow.MlflowClient(settings.mlflow_uri, settings.mlflow_uri)
    source = client.get_model_version("credit", str(outcome.version)).source
    return np.asarray(mlflow.pyfunc.load_model(source).predict(rows))


def _raw_rows() -> pd.DataFrame:
    rows = credit_rows(50, seed=9).drop(columns=["id", "default"])
    return rows.astype({"income": "float64", "age": "float64"}).assign(owner=rows["owner"] == "true")


def test_a_file_of_rows_becomes_a_champion_that_can_prove_its_origin(trained: TrainOutcome, project: Settings) -> None:
    """Version 1 is champion, predicts raw rows, and its run names data version, commit, configuration and code."""
    outcome = trained
    assert (outcome.status, outcome.version, outcome.alias) == ("promoted", 1, "champion")
    assert outcome.metrics["roc_auc"]["value"] == pytest.approx(0.8, abs=0.12)
    for title in ("model card", "drift report", "validation report"):
        assert Path(outcome.links[title]).stat().st_size > 1_000

    predictions = _predictions(project, outcome, _raw_rows())
    assert predictions.shape == (50, 2)
    assert predictions.std() > 0.05

    from mlflow import MlflowClient

    client = MlflowClient(project.mlflow_uri, project.mlflow_uri)
    tags = client.get_model_version("credit", "1").tags
    assert tags["perennial.gate"] == "passed"
    assert client.get_registered_model("credit").aliases == {"champion": 1}
    assert tags["perennial.data_version"] == outcome.data_version
    assert tags["git.commit"] == git(project.root, "rev-parse", "HEAD").strip()
    reports = Path(client.download_artifacts(str(outcome.run_id), "reports"))
    assert (reports / "drift.html").is_file()
    assert json.loads((reports / "gate.json").read_text())["decision"] == "promote"
    assert outcome.reasons[0] in html.unescape((reports / "card.html").read_text())


@pytest.mark.usefixtures("trained")
def test_the_bundle_holds_everything_a_version_needs(project: Settings) -> None:
    """Pipeline without pickle, ONNX graph, contract, profile, evaluation, training rows, card and lineage."""
    manifest = next((project.var / "mlruns").rglob("manifest.json"))
    files = {path.name for path in manifest.parent.rglob("*") if path.is_file()}
    assert {"model.skops", "model.onnx", "contract.json", "profile.json", "evaluation.json"} <= files
    assert {"training_rows.parquet", "rehearsal.parquet"} <= files
    assert {"card.md", "card.html", "validation.json", "lineage.json", "leakage.json", "input_example.json"} <= files
    assert not [name for name in files if name.endswith((".pkl", ".pickle", ".joblib"))]
    [validation] = json.loads((manifest.parent / "validation.json").read_text())
    assert validation["accepted"]
    assert json.loads((manifest.parent / "lineage.json").read_text())["data_pointer"].startswith("outs:")


def test_the_same_key_gives_the_same_version(trained: TrainOutcome, train: Train, project: Settings) -> None:
    """A repeat registers nothing; a changed parameter registers a version that must beat the champion."""
    first, again = trained, train("credit")
    other = train("credit", overrides={"training.params.max_iter": "2"})
    assert (again.status, again.version, again.alias) == ("unchanged", first.version, "champion")
    assert (other.status, other.version, other.alias) == ("refused", 2, None)
    from mlflow import MlflowClient

    client = MlflowClient(project.mlflow_uri, project.mlflow_uri)
    place = str(client.get_model_version("credit", "1").source).removeprefix("file://")
    (Path(place) / "model.skops").write_bytes(b"another model")
    with pytest.raises(BundleError, match=r"version 1 of 'credit' .* this champion cannot be used"):
        train("credit")
    assert (other.decision, other.champion) == ("keep", 1)
    repeated = train("credit", overrides={"training.params.max_iter": "2"})
    assert (repeated.status, repeated.version) == ("unchanged", 2)
    assert (repeated.refused, repeated.decision, repeated.reasons[1:]) == (True, "keep", other.reasons)
    assert not again.refused


def test_an_older_data_version_can_be_trained_on_while_the_data_moves_on(
    trained: TrainOutcome, train: Train, project: Settings
) -> None:
    """The run works on a snapshot of the named version, and gives bit for bit what that version gave before."""
    first = trained
    add_credit_model(project, pd.concat([credit_rows(), credit_rows(200, seed=2)]))
    second = train("credit")
    assert second.data_version != first.data_version
    assert str(first.data_version) not in (project.root / "data.dvc").read_text()
    for path in (project.root / "data" / "credit").iterdir():
        path.unlink()
    third = train("credit", data_version=str(first.data_version)[:8], overrides={"evaluation.resamples": "300"})
    assert third.data_version == first.data_version
    rows = _raw_rows()
    assert np.array_equal(_predictions(project, third, rows), _predictions(project, first, rows))
    assert not np.array_equal(_predictions(project, second, rows), _predictions(project, first, rows))


def test_a_gate_that_says_no_keeps_the_version_without_an_alias(train: Train, project: Settings) -> None:
    """The model can be looked at, with reasons; nothing is promoted."""
    add_credit_model(project, gate={"metric": "roc_auc", "floor": 0.999})
    outcome = train("credit")
    assert (outcome.refused, outcome.stage, outcome.version, outcome.alias) == (True, "gate", 1, None)
    assert "0.999" in " ".join(outcome.reasons)


def test_a_better_challenger_takes_the_place_of_a_worse_champion(train: Train, project: Settings) -> None:
    """Modes decide what follows from a yes: dry_run nothing, manual an approval, enabled the promotion at once.

    A mode decides no model: a version that another mode judged is judged again, and nothing is trained.
    """
    from tasks.champions.approvals import approve, rollback
    from tasks.champions.history import history

    add_credit_model(project, credit_rows(4_000), features={"numeric": ["age"]}, gate={"floor": 0.4})
    assert train("credit").status == "promoted"
    add_credit_model(project, credit_rows(4_000), gate={"floor": 0.4, "mode": "dry_run"})
    dry = train("credit")
    assert (dry.status, dry.version, dry.alias, dry.champion) == ("recorded", 2, None, 1)
    add_credit_model(project, credit_rows(4_000), gate={"floor": 0.4, "mode": "manual"})
    waiting = train("credit")
    assert (waiting.status, waiting.version, waiting.alias) == ("waiting", 2, "challenger")
    assert approve("credit", "2", "looked at the card", project).replaced == 1
    assert rollback("credit", "a first try", project).entry.version == 1
    add_credit_model(project, credit_rows(4_000), gate={"floor": 0.4})
    assert train("credit").status == "unchanged", "a person rolled it back"
    dry = train("credit", overrides={"training.params.max_iter": "90", "gate.mode": "dry_run"})
    assert (dry.status, dry.version) == ("recorded", 3)
    enabled = train("credit", overrides={"training.params.max_iter": "90"})
    assert (enabled.status, enabled.version, enabled.champion) == ("promoted", 3, 3)
    kinds = [tenure.entry.kind for tenure in history("credit", project).tenures]
    assert kinds == ["gate", "approval", "rollback", "gate"]


def test_a_leaking_feature_blocks_the_training(train: Train, project: Settings) -> None:
    """A copy of the target among the features is found before anything is fitted or registered."""
    rows = credit_rows()
    add_credit_model(project, rows.assign(income=rows["default"] * 1000 + rows["income"]))
    outcome = train("credit")
    assert (outcome.refused, outcome.stage, outcome.version) == (True, "leakage", None)
    assert "income" in " ".join(outcome.reasons)
    exempt = train("credit", overrides={"training.leakage.allow": "[income]"})
    assert exempt.status == "promoted"


def test_an_estimator_that_cannot_be_built_is_refused_before_rows_are_read(train: Train, project: Settings) -> None:
    """Reading and validating rows may take minutes, and the fault is in the model file."""
    add_credit_model(project)
    with pytest.raises(ConfigError, match=r"training\.estimator: the task binary needs a classifier"):
        train("credit", overrides={"training.estimator": "sklearn.linear_model.Ridge", "training.params": "{}"})
    assert not (project.var / "work").exists()
    assert not (project.var / "reports").exists()


def test_the_run_page_names_the_model_and_shows_metrics_and_links(train: Train, project: Settings) -> None:
    """A person at the Prefect server finds validation, metrics, verdict and links as artifacts."""
    add_credit_model(project)
    train("credit", trigger="schedule", overrides={"training.seed": "5"})
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey, FlowRunFilter, FlowRunFilterName

    with get_client(sync_client=True) as client:
        name = FlowRunFilterName(any_=["credit-schedule"])
        assert len(client.read_flow_runs(flow_run_filter=FlowRunFilter(name=name))) >= 2
        keys = ["credit-validation", "credit-metrics", "credit-links", "credit-gate"]
        artifacts = client.read_artifacts(artifact_filter=ArtifactFilter(key=ArtifactFilterKey(any_=keys)))
    assert {artifact.key for artifact in artifacts} == set(keys)
    metrics = next(artifact for artifact in artifacts if artifact.key == "credit-metrics")
    assert "roc_auc" in str(metrics.data)
