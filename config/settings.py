"""The one reader of the environment. Secrets and addresses come from here, never from model files."""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import AliasChoices, Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from core.errors import ConfigError


class Settings(BaseSettings):
    """Where everything lies. Every field is an environment variable ``PERENNIAL_<FIELD>``."""

    model_config = SettingsConfigDict(env_prefix="PERENNIAL_", frozen=True, extra="ignore", populate_by_name=True)

    root: Path = Field(default=Path(), description="folder of the project; found from the working directory")
    var: Path = Field(default=Path(), description="folder of everything a run writes; <root>/var")
    database_url: str = Field(default="", description="operational database; SQLite under <var>")
    mlflow_uri: str = Field(
        default="",
        description="MLflow's tracking and registry address; SQLite under <var>",
        validation_alias=AliasChoices("PERENNIAL_MLFLOW_URI", "MLFLOW_TRACKING_URI"),
    )
    prefect_api_url: str | None = Field(
        default=None,
        description="a Prefect server or Prefect Cloud; a local server is started where none is named",
        validation_alias=AliasChoices("PREFECT_API_URL"),
    )
    data_remote: str | None = Field(default=None, description="DVC remote address in place of the configured one")
    max_rows: int = Field(default=200_000_000, ge=1, description="rows a source may announce")
    memory_limit_mb: int = Field(default=2048, ge=256, description="memory the ingestion engine may take, MiB")
    server_idle_minutes: float = Field(default=30, gt=0, description="idle time after which the local server ends")


def secret(variable: str) -> str | None:
    """Value of a variable that a model file names, because it must not stand there itself."""
    return os.environ.get(variable)


def load_settings() -> Settings:
    """Read the environment and fill in what follows from the project's folder.

    Raises
    ------
    ConfigError
        The working directory is in no project, or a variable is malformed.
    """
    try:
        given = Settings()
    except ValidationError as error:
        problems = "; ".join(f"PERENNIAL_{item['loc'][0]}: {item['msg']}".upper() for item in error.errors())
        raise ConfigError(f"the environment is not valid: {problems}") from error
    root = given.root.resolve() if "root" in given.model_fields_set else _project_above(Path.cwd())
    var = given.var.resolve() if "var" in given.model_fields_set else root / "var"
    return given.model_copy(
        update={
            "root": root,
            "var": var,
            "database_url": given.database_url or f"sqlite:///{var / 'perennial.db'}",
            "mlflow_uri": given.mlflow_uri or f"sqlite:///{var / 'mlflow.db'}",
        }
    )


def _project_above(start: Path) -> Path:
    for folder in (start, *start.parents):
        if (folder / "config" / "models").is_dir():
            return folder
    raise ConfigError(
        f"{start} is in no Perennial project (no config/models above it); "
        "change into the project's folder or set PERENNIAL_ROOT"
    )
