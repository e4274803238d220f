"""Fixtures of the tests that register with MLflow."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from config.settings import Settings
from tests.factories import make_project

if TYPE_CHECKING:
    from mlflow import MlflowClient


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a migrated MLflow database, once."""
    from tasks.registry.client import mlflow_client

    var = tmp_path_factory.mktemp("mlflow")
    mlflow_client(Settings(root=var, var=var, mlflow_uri=f"sqlite:///{var / 'mlflow.db'}"))
    return var / "mlflow.db"


@pytest.fixture
def registry(tmp_path: Path, empty_database: Path) -> Settings:
    """Return settings of a fresh project with an empty registry."""
    from tests.tasks.registration import use_database

    return use_database(make_project(tmp_path), empty_database)


@pytest.fixture
def client(registry: Settings) -> MlflowClient:
    """Return a client of the project's MLflow."""
    from tasks.registry.client import mlflow_client

    return mlflow_client(registry)
