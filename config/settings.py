"""The one reader of the environment. Secrets and addresses come from here, never from model files."""

from __future__ import annotations

import os
import re
from ipaddress import IPv6Address, ip_address
from pathlib import Path
from typing import Any, Literal

from pydantic import AliasChoices, Field, SecretStr, ValidationError
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


class ServingSettings(BaseSettings):
    """How the prediction service runs. Every field is an environment variable ``PERENNIAL_SERVE_<FIELD>``."""

    model_config = SettingsConfigDict(env_prefix="PERENNIAL_SERVE_", frozen=True, extra="ignore")

    host: str = Field(default="127.0.0.1", min_length=1, description="address to listen at")
    port: int = Field(default=8470, ge=0, le=65535, description="port to listen at; 0 takes a free one")
    workers: int = Field(default=1, ge=1, le=64, description="processes that answer")
    models: tuple[str, ...] = Field(default=(), description="models to serve; all that have a champion when empty")

    log: Literal["commit", "async"] = Field(
        default="commit", description="commit: an answer waits until it is in the log; async: it does not"
    )
    log_queue_mb: int = Field(default=64, ge=1, le=65_536, description="what may wait for the log, MiB, a worker")
    log_flush_ms: float = Field(
        default=50, ge=1, le=10_000, description="async: longest wait for the log, milliseconds"
    )
    retention_days: float = Field(default=90, gt=0, le=36_500, description="age from which logged predictions go")

    max_rows: int = Field(default=1000, ge=1, le=65_536, description="rows in one request")
    max_body_kb: int = Field(default=4096, ge=1, le=1_048_576, description="size of a request's body, KiB")
    max_concurrent: int = Field(default=64, ge=1, le=10_000, description="requests in work at once, a worker")
    timeout_seconds: float = Field(default=10, gt=0, le=600, description="longest time a request may take")
    drain_seconds: float = Field(
        default=1, ge=0, le=600, description="time between 'not ready' and the closing of the port on shutdown"
    )
    grace_seconds: float = Field(default=30, gt=0, le=3600, description="time that running requests get on shutdown")
    follow_seconds: float = Field(default=1, gt=0, le=3600, description="time between two looks for a new champion")

    access: Literal["open", "required"] | None = Field(
        default=None, description="who may ask; open is for loopback addresses alone, and the default there"
    )
    jwks_url: str | None = Field(default=None, description="keys that access tokens (JWT) are signed with")
    jwt_issuer: str | None = Field(default=None, description="issuer that access tokens must name")
    jwt_audience: str | None = Field(default=None, description="audience that access tokens must name")
    jwt_roles_claim: str = Field(default="roles", min_length=1, description="claim of an access token with its roles")
    bad_credentials_per_minute: int = Field(
        default=20, ge=1, le=10_000, description="an address's, before it is made to wait"
    )

    log_format: Literal["json", "text"] | None = Field(
        default=None, description="json: Elastic Common Schema; text: for people; json where no terminal reads"
    )

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine reaches the address."""
        return is_loopback_host(self.host)

    @property
    def is_open(self) -> bool:
        """Whether anybody who reaches the address may ask."""
        return (self.access or ("open" if self.is_loopback else "required")) == "open"


class AlertSettings(BaseSettings):
    """Whom to tell what happened. Every field is an environment variable ``PERENNIAL_ALERTS_<FIELD>``."""

    model_config = SettingsConfigDict(env_prefix="PERENNIAL_ALERTS_", frozen=True, extra="ignore")

    urls: SecretStr = Field(
        default=SecretStr(""), description="destinations as Apprise's URLs, by spaces or commas; nobody when empty"
    )
    allow: str = Field(
        default="", description="hosts and networks that may be reached though they are not public, by spaces or commas"
    )
    quiet_hours: float = Field(
        default=24, ge=0, le=8760, description="time after an alert in which the same is counted and not sent"
    )
    timeout_seconds: float = Field(default=20, gt=0, le=300, description="longest time a destination may take")

    @property
    def destinations(self) -> tuple[str, ...]:
        """The URLs; a comma inside one (two recipients of an e-mail) does not end it."""
        parts = re.split(r"\s+|,(?=\s*[A-Za-z0-9]+://)", self.urls.get_secret_value())
        return tuple(part.strip(",") for part in parts if part.strip(","))

    @property
    def allowed(self) -> tuple[str, ...]:
        """The hosts and networks."""
        return tuple(part for part in re.split(r"[\s,]+", self.allow) if part)


def is_loopback_host(host: str) -> bool:
    """Whether only this machine reaches a host: ``localhost`` or an address of 127.0.0.0/8 or ::1."""
    try:
        address = ip_address(host)
    except ValueError:
        return host.lower() == "localhost"
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return (mapped or address).is_loopback


def load_serving_settings(**given: Any) -> ServingSettings:
    """Read the environment; options that are given, and not None, come first.

    Raises
    ------
    ConfigError
        A value is malformed.
    """
    try:
        return ServingSettings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())
        raise ConfigError(f"the serving settings (PERENNIAL_SERVE_…) are not valid: {problems}") from error


def load_alert_settings() -> AlertSettings:
    """Read the environment.

    Raises
    ------
    ConfigError
        A value is malformed.
    """
    try:
        return AlertSettings()
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())
        raise ConfigError(f"the alert settings (PERENNIAL_ALERTS_…) are not valid: {problems}") from error


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
