"""Who can write MLflow's database and its artifacts, but not the operational database, decides nothing."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
import skops.io
from mlflow import MlflowClient

from config.settings import Settings
from core.train.trust import trusted_types
from store.champions import current_champion
from store.database import open_database
from tests.serving.bundles import reseal
from tests.tasks.judging import add_data, config_of, register_version, settle, train
from tests.tasks.registry.test_fetch import stored

pytestmark = [
    # skl2onnx 1.20 and MLflow 3.17 use names that NumPy 2 and pandas 3 deprecate: their warnings, not ours.
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::pandas.errors.Pandas4Warning"),
]


def degrade(folder: Path) -> str:
    """Turn a linear model's ranking around, and write a manifest that fits; return its hash."""
    pipeline = skops.io.load(folder / "model.skops", trusted=list(trusted_types()))
    pipeline.steps[-1][1].coef_ *= -1
    skops.io.dump(pipeline, folder / "model.skops")
    return reseal(folder)


def write_tag(settings: Settings, version: int, name: str, value: str) -> None:
    """Write a version's tag into MLflow's database, past MLflow."""
    with closing(sqlite3.connect(settings.var / "mlflow.db")) as connection, connection:
        connection.execute(
            "INSERT OR REPLACE INTO model_version_tags (name, version, key, value) VALUES ('credit', ?, ?, ?)",
            (version, name, value),
        )


def test_a_degraded_champion_makes_no_challenger_win(registry: Settings, client: MlflowClient) -> None:
    """The champion's files and its hash in MLflow are replaced: the gate stays undecided and the champion stays."""
    data = add_data(registry, config_of())
    train(registry, config_of(), data)
    write_tag(registry, 1, "perennial.manifest", degrade(stored(client)))
    worse = config_of("age", gate={"floor": 0.4})
    verdict = settle(registry, register_version(registry, worse, data))
    assert verdict is not None
    assert verdict.decision == "undecided", verdict.reasons
    assert "not the one that was registered" in " ".join(verdict.reasons)
    champion = current_champion(open_database(registry.database_url), "credit")
    assert champion is not None
    assert champion.version == 1
