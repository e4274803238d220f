"""Builders shared by the tests."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from config.schema import ModelConfig
from config.settings import Settings

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


def shared_data(name: str) -> Path:
    """Folder of a real data set that is not part of the project; skips the test where it is absent."""
    folder = SHARED / name
    if not folder.is_dir():
        pytest.skip(f"the data set {name} is not on this machine (expected in {folder})")
    return folder


def make_project(tmp_path: Path) -> Settings:
    """Make an empty project: git, DVC's configuration, folders for models and suites."""
    root = tmp_path / "project"
    (root / "config" / "models").mkdir(parents=True)
    (root / "config" / "expectations").mkdir()
    (root / ".dvc").mkdir()
    (root / ".dvc" / "config").write_text(
        "[core]\n    analytics = false\n    remote = local\n['remote \"local\"']\n    url = ../var/dvc-remote\n"
    )
    (root / ".dvc" / ".gitignore").write_text("/config.local\n/tmp\n/cache\n")
    (root / ".gitignore").write_text("/data\n/var/\n")
    git(root, "init", "--quiet", "--initial-branch=main")
    git(root, "add", ".")
    git(root, "-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "--quiet", "--message=start")
    var = root / "var"
    return Settings(
        root=root,
        var=var,
        database_url=f"sqlite:///{var / 'perennial.db'}",
        mlflow_uri=f"sqlite:///{var / 'mlflow.db'}",
        prefect_api_url=None,  # whatever other tests of the process have put into the environment
    )


def git(root: Path, *arguments: str) -> str:
    """Run git in a folder and return what it printed."""
    return subprocess.run(["git", *arguments], cwd=root, check=True, capture_output=True, text=True).stdout


def credit_config(**changes: Any) -> ModelConfig:
    """Build a small valid model file; ``training={"cv": 0}`` and the like replace whole sections' fields."""
    content: dict[str, Any] = {
        "model": "credit",
        "task": "binary",
        "source": {"kind": "csv", "uri": "rows.csv"},
        "target": "default",
        "positive": "1",
        "key": "id",
        "features": {"numeric": ["income", "age"], "categorical": ["region"], "boolean": ["owner"]},
        "validation": {"suite": "config/expectations/credit.json"},
        "training": {"estimator": "sklearn.ensemble.HistGradientBoostingClassifier", "cv": 3},
        # How long a row takes to score is about the machine, and no test is about the machine.
        "gate": {"metric": "roc_auc", "floor": 0.6, "max_latency_ms": 60_000},
    }
    for section, value in changes.items():
        old = content.get(section)
        content[section] = {**old, **value} if isinstance(old, dict) and isinstance(value, dict) else value
    return ModelConfig.model_validate(content)


CREDIT_SUITE: list[dict[str, Any]] = [
    {"type": "expect_table_row_count_to_be_between", "kwargs": {"min_value": 1}, "meta": {"level": "schema"}},
    {
        "type": "expect_column_values_to_be_in_set",
        "kwargs": {"column": "default", "value_set": ["0", "1"]},
        "meta": {"level": "schema"},
    },
    {
        "type": "expect_column_values_to_be_between",
        "kwargs": {"column": "age", "min_value": 18, "max_value": 120},
        "meta": {"level": "row"},
    },
]


def credit_rows(n: int = 800, seed: int = 1) -> pd.DataFrame:
    """Simulate rows for :func:`credit_config`; the income tells the default apart with an AUC of about 0.8."""
    rng = np.random.default_rng(seed)
    income = rng.normal(50, 15, n)
    return pd.DataFrame(
        {
            "id": [f"c{seed}-{number}" for number in range(n)],
            "income": np.round(income, 2),
            "age": rng.integers(18, 80, n),
            "region": rng.choice(["north", "south", "west"], n),
            "owner": rng.choice(["true", "false"], n),
            "default": (rng.random(n) < 1 / (1 + np.exp((income - 45) / 8))).astype(int),
        }
    )


def add_credit_model(settings: Settings, rows: pd.DataFrame | None = None, **changes: Any) -> None:
    """Put rows, a model file and a suite of a small credit model into a project."""
    (credit_rows() if rows is None else rows).to_csv(settings.root / "rows.csv", index=False)
    content = credit_config(**changes).model_dump(mode="json", exclude_none=True)
    # JSON is YAML.
    (settings.root / "config" / "models" / "credit.yaml").write_text(json.dumps(content))
    suite = {"name": "credit", "expectations": CREDIT_SUITE}
    (settings.root / "config" / "expectations" / "credit.json").write_text(json.dumps(suite))
