"""Trainings without a flow, for the tests of the gate: data version, registry, database and bundles are real."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from config.schema import ModelConfig
from config.settings import Settings
from core.gate.decision import GateVerdict
from core.train.training_run import TrainingRun
from store.champions import current_champion, start_tenure
from store.database import open_database
from tasks.gate.judge import judge, promote
from tasks.gate.settled import is_settled
from tasks.registry.bundle import Bundle
from tasks.registry.register import Registered
from tasks.registry.versions import find_registered
from tasks.train.bench import close_bench, open_bench
from tasks.train.evaluate import evaluate_run
from tasks.train.fit import fit_model
from tasks.train.registration import register_run
from tasks.train.step_files import keep_fitted
from tasks.train.training_run import training_run
from tasks.versions.record_batches import contract_schema
from tasks.versions.versions import version_data, write_batch
from tests.factories import credit_config, credit_rows
from tests.tasks.versions.staging import stage

LINEAR = {"estimator": "sklearn.linear_model.LogisticRegression", "cv": 0}


def config_of(*numeric: str, **changes: Any) -> ModelConfig:
    """Model file of a linear model; which numbers it learns from decides how good it is."""
    features = {"numeric": list(numeric or ("income", "age"))}
    training = LINEAR | changes.pop("training", {})
    return credit_config(features=features, training=training, **changes)


def add_data(settings: Settings, config: ModelConfig, rows: pd.DataFrame | None = None) -> str:
    """Put rows into a data version and return it."""
    frame = credit_rows(3_000) if rows is None else rows
    labels = frame["default"].map(str, na_action="ignore").astype(object)
    typed = frame.assign(
        default=labels.where(labels.notna(), None), owner=frame["owner"] == "true", age=frame["age"].astype("float64")
    )
    settings.var.mkdir(parents=True, exist_ok=True)
    records = [{str(name): value for name, value in row.items()} for row in typed.to_dict("records")]
    schema = contract_schema(config, config.columns)
    write_batch(stage(records, settings.var, schema=schema), config, settings)
    return version_data(config, settings).version


def register_version(settings: Settings, config: ModelConfig, data_version: str) -> TrainingRun:
    """Fit and register a version without judging it; the same again registers nothing."""
    run = training_run(config, data_version, "test", settings)
    if find_registered(config.model, run.lineage.run_key, settings) is None:
        bench = open_bench(run)
        bench.fitted = fit_model(bench.rows, bench.split, config, bench.contract, settings, run.lineage.run_key)
        evaluated = evaluate_run(keep_fitted(bench.fitted, run))
        register_run(evaluated, settings)
        close_bench()
    return run


def bundled(settings: Settings, run: TrainingRun, kept: Path) -> None:
    """Fit a model and keep its bundle aside, unregistered."""

    def keep(bundle: Bundle, *_: Any) -> Registered:
        shutil.copytree(bundle.folder, kept / "files")
        facts = {"manifest_sha256": bundle.manifest_sha256, "files": bundle.files}
        (kept / "facts.json").write_text(json.dumps(facts))
        return Registered("credit", 0, "", None, created=False)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tasks.train.registration.register_bundle", keep)
        register_version(settings, run.config, run.snapshot.version)


def train(settings: Settings, config: ModelConfig, data_version: str) -> GateVerdict | None:
    """Register, judge and promote, in the flow's order; None where nothing is left to do."""
    return settle(settings, register_version(settings, config, data_version))


def settle(settings: Settings, run: TrainingRun) -> GateVerdict | None:
    """Judge and promote what was registered, in the flow's order; None where nothing is left to do."""
    found = find_registered(run.config.model, run.lineage.run_key, settings)
    assert found is not None
    if is_settled(run.config, found.version, found.manifest, settings):
        return None
    verdict = judge(run, found.version, settings)
    while not promote(run, verdict, settings):
        verdict = judge(run, found.version, settings)
    return verdict


def enthrone(settings: Settings, version: int) -> None:
    """Make a version champion without asking the gate."""
    engine = open_database(settings.database_url)
    champion = current_champion(engine, "credit")
    start_tenure(
        engine,
        "credit",
        version,
        expected_sequence=champion.sequence if champion else 0,
        kind="approval",
        reason="for the test",
        actor="test",
        at=datetime.now(UTC),
    )
