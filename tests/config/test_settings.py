from pathlib import Path

import pytest

from config.settings import load_settings
from core.errors import ConfigError


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PERENNIAL_ROOT", "PERENNIAL_VAR", "PERENNIAL_MLFLOW_URI", "MLFLOW_TRACKING_URI", "PREFECT_API_URL"):
        monkeypatch.delenv(name, raising=False)


def test_the_project_is_found_from_a_folder_inside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The nearest folder above with config/models is the project, and addresses follow from it."""
    (tmp_path / "config" / "models").mkdir(parents=True)
    inside = tmp_path / "notebooks" / "deep"
    inside.mkdir(parents=True)
    monkeypatch.chdir(inside)
    settings = load_settings()
    assert settings.root == tmp_path
    assert settings.mlflow_uri == f"sqlite:///{tmp_path}/var/mlflow.db"


def test_outside_a_project_the_error_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No project above the working directory is the user's to fix."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="PERENNIAL_ROOT"):
        load_settings()


def test_the_environment_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every address can be set, MLflow's under its own name too."""
    monkeypatch.setenv("PERENNIAL_ROOT", str(tmp_path))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow.internal:5000")
    monkeypatch.setenv("PERENNIAL_DATABASE_URL", "postgresql+psycopg://db/perennial")
    settings = load_settings()
    assert settings.root == tmp_path
    assert settings.mlflow_uri == "http://mlflow.internal:5000"
    assert settings.database_url == "postgresql+psycopg://db/perennial"


def test_a_malformed_variable_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A number out of bounds names its variable."""
    monkeypatch.setenv("PERENNIAL_ROOT", str(tmp_path))
    monkeypatch.setenv("PERENNIAL_MAX_ROWS", "0")
    with pytest.raises(ConfigError, match="PERENNIAL_MAX_ROWS"):
        load_settings()
