"""The one reader of the environment. Secrets and addresses come from here, never from model files."""

from __future__ import annotations

import binascii
import os
import re
from base64 import b64decode
from collections.abc import Iterator
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import AliasChoices, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from config.home import project_above
from config.names import MODEL_NAME
from config.platform import read_platform
from core.errors import ConfigError

PACKAGES = Path(__file__).resolve().parents[1]
"""Folder of Perennial's own packages; it need not be the user's project."""


_SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where Kubernetes puts a pod's credentials."""


class Settings(BaseSettings):
    """Paths, addresses and limits. Every field is an environment variable ``PERENNIAL_<FIELD>``."""

    model_config = SettingsConfigDict(env_prefix="PERENNIAL_", frozen=True, extra="ignore", populate_by_name=True)

    root: Path = Field(default=Path(), description="folder of the project; found upwards from the working directory")
    var: Path = Field(default=Path(), description="folder for files that runs write; default <root>/var")
    group: str | None = Field(
        default=None,
        min_length=1,
        max_length=255,
        description="group of this machine that shares the project's <var>; default: only this user reads it",
    )
    database_url: str = Field(default="", description="operational database; default SQLite under <var>")
    mlflow_uri: str = Field(
        default="",
        description="MLflow's tracking and registry address; default SQLite under <var>",
        validation_alias=AliasChoices("PERENNIAL_MLFLOW_URI", "MLFLOW_TRACKING_URI"),
    )
    prefect_api_url: str | None = Field(
        default=None,
        description="a Prefect server or Prefect Cloud; without one, a local server is started",
        validation_alias=AliasChoices("PREFECT_API_URL"),
    )
    work_pool: str = Field(
        default="perennial", min_length=1, description="Prefect work pool whose workers execute the runs"
    )
    repository: str | None = Field(
        default=None, description="git address that every run clones; without it, runs use this machine's folder"
    )
    branch: str | None = Field(default=None, description="branch of that repository; default: its default branch")
    data_remote: str | None = Field(default=None, description="DVC remote address instead of the configured one")
    max_rows: int = Field(default=200_000_000, ge=1, description="most rows of a source")
    memory_limit_mb: int = Field(default=2048, ge=256, description="memory limit of the ingestion engine, MiB")
    warm: bool = Field(
        default=True,
        description=(
            "whether commands, and runs of `perennial up`, are forks of a background process that has imported the "
            "libraries; a command starts one if it runs in a terminal, or if the variable is set; Linux only"
        ),
    )
    follow_up: Literal["beside", "wait", "later"] = Field(
        default="beside",
        description=(
            "what follows a decision on drift, its MLflow run and plots: beside, in a process that outlives the run; "
            "wait: the run ends after it (containers that end with their run); later: with the next decision"
        ),
    )
    server_idle_minutes: float = Field(default=30, gt=0, description="idle time after which the local server stops")


class PlatformSettings(BaseSettings):
    """How ``perennial up`` runs. Every field is an environment variable ``PERENNIAL_<FIELD>``."""

    model_config = SettingsConfigDict(env_prefix="PERENNIAL_", frozen=True, extra="ignore")

    prefect_port: int = Field(default=4200, ge=0, le=65535, description="port of the Prefect server; 0 for a free one")
    mlflow_port: int = Field(default=5000, ge=0, le=65535, description="port of the MLflow server; 0 for a free one")
    runs_at_once: int = Field(
        default_factory=lambda: max(2, (os.cpu_count() or 2) // 2),
        ge=1,
        le=256,
        description="most flow runs of the worker at a time; default: half the processors, at least 2",
    )
    log_mb: float = Field(default=10, gt=0, le=10_000, description="size at which a log is rotated, MiB")
    log_backups: int = Field(default=3, ge=0, le=100, description="rotated logs kept for each process")
    hang_seconds: float = Field(
        default=60,
        ge=5,
        le=3600,
        description="time without a sign of life after which a process is restarted; doubled after each restart",
    )
    clock_url: str | None = Field(
        default=None, description="an HTTP address whose Date header the doctor compares this machine's clock with"
    )


class ServingSettings(BaseSettings):
    """How the prediction service runs. Every field is an environment variable ``PERENNIAL_SERVE_<FIELD>``."""

    model_config = SettingsConfigDict(env_prefix="PERENNIAL_SERVE_", frozen=True, extra="ignore")

    host: str = Field(default="127.0.0.1", min_length=1, description="address to listen on")
    port: int = Field(default=8470, ge=0, le=65535, description="port to listen on; 0 for a free one")
    workers: int = Field(default=1, ge=1, le=64, description="worker processes")
    models: tuple[str, ...] = Field(default=(), description="models to serve; all that have a champion when empty")

    models_memory_mb: int = Field(
        default=2048,
        ge=16,
        le=1_048_576,
        description="memory of all loaded models per worker, estimated, MiB; beyond it, the least recently used model "
        "leaves, and its next request loads it again",
    )

    log: Literal["commit", "async"] = Field(
        default="commit", description="commit: a response waits until it is in the prediction log; async: it does not"
    )
    log_queue_mb: int = Field(default=64, ge=1, le=65_536, description="size of the buffer for the log per worker, MiB")
    log_flush_ms: float = Field(
        default=50, ge=1, le=10_000, description="async: longest time before a write to the log, milliseconds"
    )
    retention_days: float = Field(
        default=90, gt=0, le=36_500, description="age in days after which logged predictions are deleted"
    )

    max_rows: int = Field(default=1000, ge=1, le=65_536, description="most rows in one request")
    max_body_kb: int = Field(default=4096, ge=1, le=1_048_576, description="largest size of a request body, KiB")
    max_header_kb: int = Field(
        default=64, ge=8, le=1024, description="largest size of a request line and its headers, KiB"
    )
    header_seconds: float = Field(
        default=10, gt=0, le=600, description="time for a request line and its headers to arrive"
    )
    max_connections: int = Field(
        default=800,
        ge=16,
        le=100_000,
        description="most connections per worker; beyond it, the connection that has been idle for longest is closed",
    )
    max_concurrent: int = Field(default=64, ge=1, le=10_000, description="most concurrent predictions per worker")
    max_concurrent_other: int = Field(
        default=16,
        ge=1,
        le=10_000,
        description="most concurrent requests per worker of each other kind: labels, webhooks, pages; "
        "they take no prediction's place",
    )
    timeout_seconds: float = Field(default=10, gt=0, le=600, description="time limit of a request")
    drain_seconds: float = Field(
        default=1, ge=0, le=600, description="time between 'not ready' and the closing of the port on shutdown"
    )
    grace_seconds: float = Field(
        default=30, gt=0, le=3600, description="time for running requests to finish on shutdown"
    )
    follow_seconds: float = Field(default=1, gt=0, le=3600, description="time between two checks for a new champion")

    access: Literal["open", "required"] | None = Field(
        default=None,
        description="how callers authenticate; open is allowed on loopback addresses only, and the default there",
    )
    jwks_url: str | None = Field(default=None, description="keys that access tokens (JWT) are signed with")
    jwt_issuer: str | None = Field(default=None, description="issuer that access tokens must name")
    jwt_audience: str | None = Field(default=None, description="audience that access tokens must name")
    jwt_roles_claim: str = Field(default="roles", min_length=1, description="claim of an access token with its roles")
    bad_credentials_per_minute: int = Field(
        default=20,
        ge=1,
        le=10_000,
        description="bad credentials per minute that an address may send before further bad ones are answered 429",
    )

    trusted_proxies: str = Field(
        default="",
        description="addresses and networks of reverse proxies whose header names the client, separated by spaces or "
        "commas; empty: the client is the one that connects",
    )
    proxy_header: Literal["x-forwarded-for", "forwarded"] = Field(
        default="x-forwarded-for", description="the header that the trusted proxies append the client's address to"
    )

    log_format: Literal["json", "text"] | None = Field(
        default=None,
        description="json: Elastic Common Schema; text: for people; default: json unless the output is a terminal",
    )

    @field_validator("trusted_proxies")
    @classmethod
    def _are_networks(cls, value: str) -> str:
        for text in _parts(value):
            if ip_network(text).prefixlen == 0:
                raise ValueError(f"{text} would trust every client to name its address; list the proxies alone")
        return value

    @property
    def proxy_networks(self) -> tuple[IPv4Network | IPv6Network, ...]:
        """The networks of the trusted proxies."""
        return tuple(ip_network(text) for text in _parts(self.trusted_proxies))

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach the address."""
        return is_loopback_host(self.host)

    @property
    def is_open(self) -> bool:
        """Whether requests need no authentication."""
        return (self.access or ("open" if self.is_loopback else "required")) == "open"


@dataclass(frozen=True)
class HookKey:
    """A secret with which a sender signs webhooks.

    Parameters
    ----------
    convention
        ``standard``, ``github`` or ``mlflow``.
    sender
        Name of the sender.
    model
        The one model whose retraining it may request; empty for all.
    secret
        Key of the signatures.
    """

    convention: str
    sender: str
    model: str
    secret: bytes = field(repr=False)

    def allows(self, model: str) -> bool:
        """Return whether the sender may request a model's retraining."""
        return self.model in ("", model)


class HookSettings(BaseSettings):
    """Who may request retrainings by webhook. Every field is an environment variable ``PERENNIAL_HOOKS_<FIELD>``.

    Secrets are listed as ``sender/model=secret`` or ``sender=secret``, separated by spaces or commas. A secret for all
    models is accepted only where the signed content names the model. For a sender that is listed twice, both secrets
    are accepted; use this to replace a secret.
    """

    model_config = SettingsConfigDict(
        env_prefix="PERENNIAL_HOOKS_", frozen=True, extra="ignore", hide_input_in_errors=True
    )

    standard: SecretStr = Field(
        default=SecretStr(""), description="secrets of senders that follow Standard Webhooks: whsec_ and base64"
    )
    github: SecretStr = Field(default=SecretStr(""), description="secrets of GitHub's webhooks, each for one model")
    mlflow: SecretStr = Field(default=SecretStr(""), description="secrets of the webhooks of MLflow's registry")
    per_minute: int = Field(
        default=60, ge=1, le=100_000, description="most triggers of a sender per minute, also as a burst"
    )
    max_body_kb: int = Field(default=4096, ge=1, le=25_600, description="largest size of a delivery's body, KiB")
    max_push_days: float = Field(
        default=7,
        gt=0,
        le=29,
        # Retention keeps triggers for 30 days at least: a replay finds its trigger, or is too old.
        description="age in days after which a push of GitHub is refused",
    )

    @model_validator(mode="after")
    def _are_keys(self) -> HookSettings:
        for convention in HOOK_CONVENTIONS:
            list(self._listed(convention))
        return self

    @property
    def keys(self) -> tuple[HookKey, ...]:
        """All keys, in the order in which they are listed."""
        return tuple(key for convention in HOOK_CONVENTIONS for key in self._listed(convention))

    def to_dict(self) -> dict[str, Any]:
        """Content that JSON can hold, with the secrets: only for a worker's standard input."""
        open_text = {name: getattr(self, name).get_secret_value() for name in HOOK_CONVENTIONS}
        return {**self.model_dump(), **open_text}

    def _listed(self, convention: str) -> Iterator[HookKey]:
        text: str = getattr(self, convention).get_secret_value()
        for number, entry in enumerate(re.split(r"[\s,]+", text.strip(" \t\r\n,")), 1):
            if entry:
                yield _hook_key(convention, number, entry)


HOOK_CONVENTIONS = ("standard", "github", "mlflow")
_HOOK_SENDER = re.compile(rf"([A-Za-z0-9][A-Za-z0-9_.-]{{0,31}})(?:/({MODEL_NAME}))?")
_MIN_HOOK_SECRET = {"standard": 24, "github": 16, "mlflow": 16}
"""Shortest secrets, in bytes; 24 is the bound of the Standard Webhooks specification."""


def _hook_key(convention: str, number: int, entry: str) -> HookKey:
    # Messages never repeat the value: it may contain a secret.
    where = f"entry {number} of PERENNIAL_HOOKS_{convention.upper()}"
    name, equals, text = entry.partition("=")
    found = _HOOK_SENDER.fullmatch(name)
    if not equals or found is None:
        raise ValueError(f"{where} is not sender=secret or sender/model=secret")
    secret_ = _standard_secret(text, where) if convention == "standard" else text.encode()
    least = _MIN_HOOK_SECRET[convention]
    if len(secret_) < least:
        raise ValueError(f"the secret in {where} has less than {least} bytes; 'perennial hooks secret' generates one")
    return HookKey(convention, found.group(1), found.group(2) or "", secret_)


def _standard_secret(text: str, where: str) -> bytes:
    encoded = text.removeprefix("whsec_").rstrip("=")
    try:
        return b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except (binascii.Error, ValueError):
        message = f"the secret in {where} is not whsec_ and base64; 'perennial hooks secret' generates one"
        # Without the cause, which may contain a part of the secret.
        raise ValueError(message) from None


class AlertSettings(BaseSettings):
    """Where alerts are sent. Every field is an environment variable ``PERENNIAL_ALERTS_<FIELD>``."""

    model_config = SettingsConfigDict(env_prefix="PERENNIAL_ALERTS_", frozen=True, extra="ignore")

    urls: SecretStr = Field(
        default=SecretStr(""),
        description="destinations as Apprise URLs, separated by spaces or commas; empty: no alerts",
    )
    allow: str = Field(
        default="", description="non-public hosts and networks that may be reached, separated by spaces or commas"
    )
    quiet_hours: float = Field(
        default=24,
        ge=0,
        le=8760,
        description="hours after an alert in which alerts with the same key are counted and not sent",
    )
    timeout_seconds: float = Field(default=20, gt=0, le=300, description="time limit for a destination's response")

    @property
    def destinations(self) -> tuple[str, ...]:
        """The URLs; a comma inside one (two recipients of an e-mail) does not separate URLs."""
        parts = re.split(r"\s+|,(?=\s*[A-Za-z0-9]+://)", self.urls.get_secret_value())
        return tuple(part.strip(",") for part in parts if part.strip(","))

    @property
    def allowed(self) -> tuple[str, ...]:
        """The hosts and networks."""
        return _parts(self.allow)


def _parts(text: str) -> tuple[str, ...]:
    return tuple(part for part in re.split(r"[\s,]+", text) if part)


class RetentionSettings(BaseSettings):
    """What ``perennial prune`` keeps. Every field is an environment variable ``PERENNIAL_RETENTION_<FIELD>``."""

    model_config = SettingsConfigDict(env_prefix="PERENNIAL_RETENTION_", frozen=True, extra="ignore")

    labels_days: float = Field(default=730, ge=1, le=36_500, description="age in days after which labels are deleted")
    scored_days: float = Field(
        default=730,
        ge=7,
        le=36_500,
        description="age in days after which records of batch scorings are deleted; outputs stay, and labels no longer "
        "reach them",
    )
    scoring_days: float = Field(
        default=7,
        ge=1,
        le=36_500,
        description="age in days after which the parts of a batch scoring that was killed and not run again are "
        "deleted from var/scoring",
    )
    triggers_days: float = Field(
        default=400,
        ge=30,
        le=36_500,
        description="age in days after which answered triggers are deleted; a replayed delivery is known until then",
    )
    events_days: float = Field(
        default=90, ge=7, le=36_500, description="age in days after which events are deleted, also those never sent"
    )
    alerts_days: float = Field(
        default=90, ge=7, le=36_500, description="age in days after which delivered and given up alerts are deleted"
    )
    drift_days: float = Field(
        default=365, ge=30, le=36_500, description="age in days after which a drift decision keeps its reasons only"
    )
    decisions_days: float = Field(
        default=90, ge=7, le=36_500, description="age in days after which MLflow's runs of drift decisions are deleted"
    )
    reports_days: float = Field(
        default=90, ge=1, le=36_500, description="age in days after which local reports are deleted"
    )
    reports: int = Field(default=10, ge=1, le=10_000, description="newest local reports of each kind that are kept")
    quarantine_days: float = Field(
        default=90,
        ge=1,
        le=36_500,
        description="age in days after which rows set aside by the validation, or by scorings of tables, are deleted",
    )
    versions: int = Field(
        default=10,
        ge=2,
        le=10_000,
        description="newest versions of a model whose files are kept, besides those in use: champion, challenger and "
        "what rollbacks return to",
    )
    rollbacks: int = Field(
        default=3,
        ge=1,
        le=100,
        description="number of rollbacks in a row that stay possible: the champions before the present one whose files "
        "are kept",
    )
    snapshots: int = Field(default=3, ge=1, le=100, description="newest snapshots of a model that are kept")
    bundles: int = Field(default=5, ge=1, le=5, description="newest private copies of a model's bundles that are kept")
    cache_days: float = Field(
        default=30,
        ge=1,
        le=36_500,
        description="age in days after which objects of DVC's cache that the remote has and no kept version needs are "
        "deleted",
    )
    prefect_days: float = Field(
        default=30, ge=1, le=36_500, description="age in days after which ended flow runs are deleted from Prefect"
    )
    log_mb: float = Field(
        default=10, gt=0, le=10_000, description="size at which a log that no process rotates is cut, MiB"
    )


class MeshSettings(BaseSettings):
    """How the mesh of a release is reached. Every field is an environment variable ``PERENNIAL_MESH_<FIELD>``."""

    model_config = SettingsConfigDict(
        env_prefix="PERENNIAL_MESH_", frozen=True, extra="ignore", hide_input_in_errors=True
    )

    api_url: str = Field(
        default="https://kubernetes.default.svc",
        pattern=r"^https?://[^\s@]+$",
        description="address of the Kubernetes API; default: that of the cluster of a pod",
    )
    token: SecretStr | None = Field(
        default=None, description="bearer token of the Kubernetes API; default: the content of token_file"
    )
    token_file: Path = Field(
        default=_SERVICE_ACCOUNT / "token",
        description="file with the token, read for each request because Kubernetes replaces it",
    )
    ca_file: Path = Field(
        default=_SERVICE_ACCOUNT / "ca.crt",
        description="certificate authorities of the Kubernetes API; without this file, the usual ones",
    )
    prometheus_url: str | None = Field(
        default=None, pattern=r"^https?://[^\s@]+$", description="address of the Prometheus API"
    )
    prometheus_token: SecretStr | None = Field(default=None, description="bearer token of the Prometheus API")
    prometheus_ca_file: Path | None = Field(
        default=None, description="certificate authorities of the Prometheus API; default: the usual ones"
    )
    timeout_seconds: float = Field(default=5, gt=0, le=60, description="time limit of a request to either")


def is_loopback_host(host: str) -> bool:
    """Whether only this machine can reach a host: ``localhost`` or an address of 127.0.0.0/8 or ::1."""
    try:
        address = ip_address(host)
    except ValueError:
        return host.lower() == "localhost"
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return (mapped or address).is_loopback


_Section = TypeVar("_Section", bound=BaseSettings)


def load_section(section: type[_Section], **given: Any) -> _Section:
    """Read a section of the settings from the environment; given options that are not None take precedence.

    Raises
    ------
    ConfigError
        A value is malformed. The message names the variable and no value, which may be a secret.
    """
    try:
        return section(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        found = error.errors(include_input=False, include_context=False, include_url=False)
        problems = "; ".join(f"{_variable(section, item['loc'])}{item['msg']}" for item in found)
        # Without the cause: its traceback would show the values.
        raise ConfigError(f"the settings are not valid: {problems}") from None


def _variable(section: type[BaseSettings], place: tuple[int | str, ...]) -> str:
    """Name the variable that an error is about; empty where several are."""
    if not place:
        return ""
    name = str(place[0])
    prefix = section.model_config.get("env_prefix", "")
    return f"{name if name.isupper() else f'{prefix}{name}'.upper()}: "


def secret(variable: str) -> str | None:
    """Value of an environment variable that a model file names instead of containing the secret."""
    return os.environ.get(variable)


def load_settings() -> Settings:
    """Read the environment, with defaults from the project's folder and from the platform that runs there.

    Raises
    ------
    ConfigError
        The working directory is in no project, or a variable is malformed.
    """
    given = load_section(Settings)
    root = given.root.resolve() if "root" in given.model_fields_set else _project_above(Path.cwd())
    var = given.var.resolve() if "var" in given.model_fields_set else root / "var"
    platform = read_platform(var)
    # Until the whole platform is ready, commands that need no server work without it.
    served = platform if platform is not None and platform.ready else None
    usual_database = platform.database_url if platform else f"sqlite:///{var / 'perennial.db'}"
    return given.model_copy(
        update={
            "root": root,
            "var": var,
            "database_url": given.database_url or usual_database,
            "mlflow_uri": given.mlflow_uri or (served.mlflow_uri if served else f"sqlite:///{var / 'mlflow.db'}"),
            "prefect_api_url": given.prefect_api_url or (served.prefect_api_url if served else None),
        }
    )


def _project_above(start: Path) -> Path:
    if (project := project_above(start)) is not None:
        return project
    raise ConfigError(
        f"{start} is not in a Perennial project (no config/models above it); "
        "change into the project's folder or set PERENNIAL_ROOT"
    )
