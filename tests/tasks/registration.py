"""Builders for the tests of bundle, registration and registry; importable by the processes those tests kill."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import signal
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline

from config.load import rules_hash
from config.schema import GateMode, ModelConfig
from config.settings import Settings
from core.contract import PrepareColumns
from core.feature_contract import FeatureContract
from core.gate.decision import Check, GateVerdict
from core.model_inputs import prepare
from core.references import Lineage
from core.train.pipeline import build_encoder, estimator_need
from core.train.trust import trusted_types
from store.champions import RecordedVerdict, current_champion, record_verdict, start_tenure
from store.database import open_database
from tasks.champions.aliases import project
from tasks.gate.publish import publish_verdict
from tasks.registry.bundle import Bundle, Document, build_bundle
from tasks.registry.client import import_mlflow, mlflow_client
from tasks.registry.register import Registered, register_bundle
from tests.core.samples import credit_frame
from tests.factories import credit_config

import_mlflow()
# What a registration imports on its way is imported here, so that processes forked from this one start with it.
for _name in (
    "skops.io",
    "mlflow.sklearn",
    "mlflow.store.tracking.sqlalchemy_store",
    "mlflow.store.artifact.models_artifact_repo",
):
    importlib.import_module(_name)

CONFIG = credit_config(training={"estimator": "sklearn.linear_model.LogisticRegression"})
FRAME = credit_frame(300, seed=1)


def fit_pipeline(
    estimator: Any, config: ModelConfig = CONFIG, frame: pd.DataFrame = FRAME
) -> tuple[Pipeline, FeatureContract]:
    """Fit a pipeline on the credit rows; the target follows income and age."""
    contract = FeatureContract.of(config, ("0", "1"))
    target = (frame["income"].fillna(0) + 100 * frame["age"] > 7000).to_numpy()
    y = target.astype("int64") if contract.classes else frame["income"].fillna(0).to_numpy() / 1000
    encode = build_encoder(contract, prepare(frame, contract), estimator_need(estimator))
    steps = [("prepare", PrepareColumns(contract.to_dict())), ("encode", encode), ("model", estimator)]
    return Pipeline(steps).fit(frame, y), contract


@cache
def logistic_pipeline() -> tuple[Pipeline, FeatureContract]:
    """Fit a small pipeline, once."""
    return fit_pipeline(LogisticRegression())


def lineage(key: str = "a") -> Lineage:
    """Lineage of a run whose key is one character repeated."""
    return Lineage(
        run_key=key * 64,
        data_version="d" * 32 + ".dir",
        config_hash="c" * 64,
        code_version="e" * 64,
        lock_hash="f" * 64,
        git_commit="1" * 40,
        git_dirty=True,
        data_pointer="outs:\n- path: data\n",
        trigger="manual",
    )


def verdict(version: int = 1, *, passed: bool = True, mode: GateMode = "enabled", sequence: int = 0) -> GateVerdict:
    """Gate verdict with or without the floor reached."""
    return GateVerdict(
        decision="promote" if passed else "keep",
        mode=mode,
        model="credit",
        version=version,
        champion=None,
        champion_sequence=sequence,
        metric="roc_auc",
        value=0.8 if passed else 0.5,
        low=0.7,
        high=0.9,
        floor=0.6,
        checks=(Check("floor", passed, "first reason"),),
        comparison=None,
        holdout=None,
        self_test=None,
        serving=None,
        reasons=("first reason", "second reason"),
    )


def bundle(folder: Path, key: str = "a", documents: Mapping[str, Document] | None = None) -> Bundle:
    """Bundle of the small pipeline."""
    pipeline, contract = logistic_pipeline()
    content: dict[str, Document] = {
        "card.md": "# credit",
        "card.html": "<h1>credit</h1>",
        **(documents or {}),
    }
    return build_bundle(
        folder, pipeline, contract, FRAME, content, trusted_types(), model="credit", lineage=lineage(key)
    )


def register(settings: Settings, key: str = "a", **given: Any) -> Registered:
    """Register the small pipeline under a run key; nobody judges it."""
    built = bundle(settings.var / "work" / f"bundle-{key}", key)
    report = settings.var / "work" / "drift.html"
    report.write_text("<p>no drift</p>")
    facts: dict[str, Any] = {
        "metrics": {"roc_auc": 0.8, "roc_auc/region=<b>": 0.7, "log_loss": float("nan")},
        "params": {"C": 1.0, "long": "x" * 10_000},
        "artifacts": {"drift": report, "plots": _plots(settings)},
    }
    return register_bundle(built, CONFIG, lineage(key), settings=settings, **(facts | given))


def judged(settings: Settings, key: str = "a", *, passed: bool = True) -> Registered:
    """Register the small pipeline with a verdict; the first that passes is champion, later ones wait for approval."""
    registered = register(settings, key)
    engine = open_database(settings.database_url)
    champion = current_champion(engine, "credit")
    mode: GateMode = "manual" if champion else "enabled"
    sequence = champion.sequence if champion else 0
    said = verdict(registered.version, passed=passed, mode=mode, sequence=sequence)
    recorded = RecordedVerdict(
        model="credit",
        version=said.version,
        champion_sequence=sequence,
        champion=champion.version if champion else None,
        decision=said.decision,
        mode=mode,
        n_rows=0,
        holdout="",
        sketch="",
        manifest=registered.manifest,
        document=json.dumps(said.to_dict()),
        judged_at=datetime.now(UTC),
        rules=rules_hash(CONFIG),
    )
    record_verdict(engine, recorded)
    publish_verdict(said, rules_hash(CONFIG), CONFIG.gate, settings.var / "work" / f"reports-{key}", settings)
    if passed and champion is None:
        start_tenure(
            engine,
            "credit",
            said.version,
            expected_sequence=0,
            kind="gate",
            reason="first reason",
            actor="test",
            at=datetime.now(UTC),
        )
    project("credit", settings)
    return registered


def _plots(settings: Settings) -> Path:
    folder = settings.var / "work" / "plots"
    folder.mkdir(exist_ok=True)
    (folder / "roc.svg").write_text("<svg/>")
    return folder


def use_database(settings: Settings, template: Path) -> Settings:
    """Put a fresh MLflow database in place without its second and a half of migrations."""
    settings.var.mkdir(parents=True, exist_ok=True)
    shutil.copy(template, settings.var / "mlflow.db")
    return settings


def register_and_die(settings: Settings, method: str, when: str) -> None:
    """Register, and die by SIGKILL just before or just after a call of MLflow's client."""
    from mlflow import MlflowClient

    call = getattr(MlflowClient, method)

    def fatal(*args: Any, **kwargs: Any) -> Any:
        if when == "after":
            call(*args, **kwargs)
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(MlflowClient, method, fatal)
    register(settings)


def make_database_and_die(settings: Settings) -> None:
    """Die by SIGKILL when the first tables are made and no migration has run."""
    from mlflow.store.db import utils

    from tasks.registry import mlflow_database

    # Its migrations run, as for a release without a script.
    setattr(mlflow_database, "is_of", lambda *_: False)  # noqa: B010 - the module exports no such name

    def fatal(_engine: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    utils._upgrade_db = fatal
    mlflow_client(settings)


def predictions(pipeline: Any, contract: FeatureContract) -> np.ndarray[Any, Any]:
    """Return what a pipeline says of the credit rows."""
    return np.asarray(pipeline.predict_proba(FRAME) if contract.classes else pipeline.predict(FRAME))
