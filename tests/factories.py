"""Builders shared by the tests."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

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
        "gate": {"metric": "roc_auc", "floor": 0.6},
    }
    for section, value in changes.items():
        old = content.get(section)
        content[section] = {**old, **value} if isinstance(old, dict) and isinstance(value, dict) else value
    return ModelConfig.model_validate(content)
