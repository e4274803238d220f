"""A training that has nothing to do is told from one that has, without a flow run; nothing is taken on trust."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from mlflow import MlflowClient

from config.load import load_model_config, rules_hash
from config.settings import Settings
from core.errors import ConfigError, SourceError
from core.gate.decision import GateVerdict
from core.outcome import TrainOutcome
from core.train.trust import trusted_types
from store.champions import RecordedVerdict, record_verdict, start_tenure
from store.database import open_database
from tasks.champions.aliases import project as project_aliases
from tasks.gate import unchanged
from tasks.gate.unchanged import unchanged_training
from tasks.registry.bundle import build_bundle
from tasks.registry.register import Registered, register_bundle
from tasks.source.stage import stage_rows
from tasks.train.training_run import training_run
from tasks.versions.versions import read_before, version_data, write_batch
from tests.factories import add_credit_model, credit_rows
from tests.tasks.registration import FRAME, logistic_pipeline, verdict

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")


def ingest(settings: Settings) -> str:
    """Do what the flow does with rows that pass."""
    config = load_model_config(settings.root, "credit")
    work = settings.var / "work" / "credit"
    write_batch(stage_rows(config, settings, work, read_before(config, settings)), config, settings)
    return version_data(config, settings).version


def register(settings: Settings) -> Registered:
    """Register a small model under the key that a training of the project has now."""
    config = load_model_config(settings.root, "credit")
    run = training_run(config, ingest(settings), "manual", settings)
    pipeline, contract = logistic_pipeline()
    folder = settings.var / "work" / "bundle"
    built = build_bundle(folder, pipeline, contract, FRAME, {}, trusted_types(), model="credit", lineage=run.lineage)
    return register_bundle(built, config, run.lineage, {"roc_auc": 0.8}, {}, settings, {})


def train(settings: Settings) -> None:
    """Register, judge by the present rules, and promote."""
    judge(settings, register(settings), verdict(1))
    now = datetime.now(UTC)
    engine = open_database(settings.database_url)
    start_tenure(engine, "credit", 1, expected_sequence=0, kind="gate", reason="better", actor="test", at=now)
    project_aliases("credit", settings)


def judge(settings: Settings, registered: Registered, said: GateVerdict) -> None:
    """Record a verdict by the present rules."""
    rules = rules_hash(load_model_config(settings.root, "credit"))
    recorded = RecordedVerdict(
        model="credit",
        version=registered.version,
        champion_sequence=0,
        champion=None,
        decision=said.decision,
        mode=said.mode,
        n_rows=0,
        holdout="",
        sketch="",
        manifest=registered.manifest,
        document=json.dumps(said.to_dict()),
        judged_at=datetime.now(UTC),
        rules=rules,
    )
    record_verdict(open_database(settings.database_url), recorded)


@pytest.fixture
def settled(registry: Settings) -> Settings:
    """Return a project with one model that is trained, judged and champion."""
    add_credit_model(registry)
    train(registry)
    return registry


def found(settings: Settings, data_version: str | None = None, **overrides: str) -> TrainOutcome | None:
    """Ask for the model ``credit``."""
    return unchanged_training("credit", data_version, overrides, settings)


def test_the_same_again_has_nothing_to_do(settled: Settings) -> None:
    """The outcome is the one that a flow run gives; a change of what decides a model needs a run."""
    outcome = found(settled)
    assert outcome is not None
    assert (outcome.status, outcome.stage, outcome.version, outcome.alias) == ("unchanged", "registry", 1, "champion")
    assert outcome.reasons == ("data, configuration and code are those of this version",)
    assert outcome.run_id
    version = str(outcome.data_version)
    assert found(settled, version) == found(settled, version[:8]) == outcome
    assert found(settled, "0" * 32) is None
    assert found(settled, **{"drift.psi": "0.3"}) == outcome
    assert found(settled, **{"training.seed": "5"}) is None


def test_no_server_and_no_large_library_is_needed(settled: Settings) -> None:
    """The command answers from files, our database and MLflow's tables, and leaves the model free."""
    assert found(settled) is not None  # the footers of batches with known bytes are read once
    settings = {name: str(value) for name, value in settled.model_dump().items() if value is not None}
    code = (
        "import sys; from config.settings import Settings\n"
        "from tasks.gate.unchanged import unchanged_training\n"
        f"settings = Settings(**{settings!r})\n"
        "assert unchanged_training('credit', None, None, settings).status == 'unchanged'\n"
        "heavy = 'prefect mlflow pandas pyarrow sklearn scipy duckdb dvc great_expectations evidently alembic'\n"
        "assert not set(heavy.split()) & set(sys.modules), set(heavy.split()) & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert not (settled.var / "prefect").exists()


def test_a_parquet_file_is_known_by_its_bytes(registry: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its footer is not read again; a limit of rows that it exceeds now is a run's to refuse."""
    add_credit_model(registry, source={"kind": "parquet", "uri": "rows.parquet"})
    credit_rows().astype({"default": str, "age": float}).to_parquet(registry.root / "rows.parquet")
    train(registry)
    monkeypatch.setattr("tasks.source.files.read_footer", None)
    assert found(registry) is not None
    assert found(registry.model_copy(update={"max_rows": 799})) is None


def test_other_rows_need_a_run(settled: Settings) -> None:
    """A row more, a row less, or the same rows in another file's bytes: only a run can say what is new."""
    source = settled.root / "rows.csv"
    before = source.read_text()
    for text in (before + before.splitlines()[-1].replace("c1-", "d1-") + "\n", before.rsplit("\n", 2)[0] + "\n"):
        source.write_text(text)
        assert found(settled) is None
    source.write_text(before)
    assert found(settled) is not None


def test_what_a_run_refuses_is_refused(settled: Settings) -> None:
    """A missing source, a suite that does not fit and a broken model file end in the error that a run has."""
    suite = settled.root / "config" / "expectations" / "credit.json"
    text = suite.read_text()
    suite.write_text(text.replace('"age"', '"wage"'))
    with pytest.raises(ConfigError, match="wage"):
        found(settled)
    suite.write_text(text)
    (settled.root / "rows.csv").rename(settled.root / "moved.csv")
    with pytest.raises(SourceError, match=r"no file .*rows\.csv"):
        found(settled)
    (settled.root / "config" / "models" / "credit.yaml").write_text("model: [")
    with pytest.raises(ConfigError, match="not valid YAML"):
        found(settled)


def test_changed_code_or_rules_need_a_run(settled: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other code is another key; by other rules of the gate, the version of this key is judged again."""
    champion = found(settled, **{"gate.floor": "0.9"})
    assert champion is not None, "a version that was champion needs no other verdict"
    with monkeypatch.context() as patch:
        patch.setattr(unchanged, "code_version", lambda *_: "other")
        assert found(settled) is None


def test_data_that_is_not_where_it_was_needs_a_run(settled: Settings) -> None:
    """A changed batch, a lost object of the remote and a pointer to other data are a run's to repair or refuse."""
    pointer = settled.root / "data.dvc"
    text = pointer.read_text()
    pointer.unlink()
    assert found(settled) is None
    pointer.write_text(text)
    (batch,) = (settled.root / "data" / "credit").glob("*.parquet")
    content = batch.read_bytes()
    batch.chmod(0o644)
    batch.write_bytes(content + b"x")
    assert found(settled) is None
    batch.write_bytes(content)
    assert found(settled) is not None
    shutil.rmtree(settled.var / "dvc-remote")
    assert found(settled) is None


def test_a_version_that_mlflow_lost_is_trained_again(settled: Settings, client: MlflowClient) -> None:
    """Its deletion is not hidden by what our database records; nor that retention removed its files."""
    client.set_model_version_tag("credit", "1", "perennial.pruned", "2026-01-01")
    assert found(settled) is None
    client.delete_model_version_tag("credit", "1", "perennial.pruned")
    assert found(settled) is not None
    client.delete_model_version("credit", "1")
    assert found(settled) is None


@pytest.mark.parametrize("replaced", ["gone", "empty", "damaged", "another"])
def test_a_registry_that_is_not_the_one_that_was_used_needs_a_run(
    settled: Settings, empty_database: Path, replaced: str, client: MlflowClient
) -> None:
    """The run ends in the error of a replaced registry, or trains where there is none."""
    database = settled.var / "mlflow.db"
    if replaced == "another":
        client.set_model_version_tag("credit", "1", "perennial.manifest", "0" * 64)
    elif replaced == "damaged":
        database.write_text("no database" * 100)
    else:
        database.unlink()
        if replaced == "empty":
            shutil.copy(empty_database, database)
    assert found(settled) is None


def test_what_a_killed_run_left_is_made_up_for(settled: Settings, client: MlflowClient) -> None:
    """A run without an end gets one, and aliases that someone moved are put back."""
    run = str(client.get_model_version("credit", "1").run_id)
    client.update_run(run, status="RUNNING")
    client.set_registered_model_alias("credit", "challenger", "1")
    client.delete_registered_model_alias("credit", "champion")
    assert found(settled) is not None
    assert client.get_run(run).info.status == "FINISHED"
    assert client.get_registered_model("credit").aliases == {"champion": 1}


def test_a_verdict_that_was_no_is_told_again(registry: Settings) -> None:
    """The outcome of a repeat is the refusal on record, with its reasons; an unjudged version needs a run."""
    add_credit_model(registry)
    registered = register(registry)
    assert found(registry) is None
    judge(registry, registered, replace(verdict(1, passed=False), reasons=("too weak",)))
    project_aliases("credit", registry)
    outcome = found(registry)
    assert outcome is not None
    assert (outcome.refused, outcome.decision, outcome.stage) == (True, "keep", "gate")
    assert outcome.reasons[-1] == "too weak"
    assert found(registry, **{"gate.floor": "0.9"}) is None


@pytest.mark.parametrize("keyed", [True, False])
def test_a_file_that_grew_is_known_once_it_was_ingested(registry: Settings, *, keyed: bool) -> None:
    """Its batch holds the new rows only; the same file has nothing more to offer, and an older one needs a run."""
    changes = {"key_is_unique": True} if keyed else {"key": None}
    add_credit_model(registry, **changes)
    older = (registry.root / "rows.csv").read_text()
    ingest(registry)
    credit_rows(900).to_csv(registry.root / "rows.csv", index=False)
    ingest(registry)
    train(registry)
    assert found(registry) is not None
    (registry.root / "rows.csv").write_text(older)
    assert (found(registry) is None) == keyed


@pytest.mark.parametrize("name", ["manifest.json", "model.skops", "MLmodel"])
def test_a_champion_with_changed_files_needs_a_run(settled: Settings, client: MlflowClient, name: str) -> None:
    """Nothing to do would be said of a champion that cannot answer; the run says what is wrong."""
    path = Path(str(client.get_model_version("credit", "1").source).removeprefix("file://")) / name
    content = path.read_bytes()
    path.write_bytes(content[:-1] + b"!")
    assert found(settled) is None
    path.unlink()
    assert found(settled) is None
    path.write_bytes(content)
    (path.parent / "code.py").touch()
    assert found(settled) is None
    (path.parent / "code.py").unlink()
    assert found(settled) is not None
