"""MLflow's registry as its database's tables say, read without importing MLflow.

The import takes two to four seconds, and what a listing needs are some rows. Only a schema that is known is read, and
nothing is written: for every other schema, and for a registry behind a server, MLflow's client is asked.
"""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import (
    Boolean,
    ColumnElement,
    Engine,
    Integer,
    RowMapping,
    Select,
    TableClause,
    and_,
    column,
    create_engine,
    select,
    table,
    true,
)
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from config.platform import read_platform
from config.settings import Settings
from tasks.registry.client import SQLITE, close_to_others, is_ours, local_path, mlflow_failures

SCHEMA = "dc11669786a5"
"""Revision of the tables that the statements below were written for: that of MLflow 3.17."""

BUSY_SECONDS = 30.0
MANY = 500
"""Number of versions from which the tags of all are read, rather than of these."""

_DELETED = "Deleted_Internal"
_PROMPT = "mlflow.prompt.is_prompt"

_DEFAULT = "default"
"""The workspace of a registry without workspaces."""

_models = table("registered_models", column("workspace"), column("name"))
_model_tags = table("registered_model_tags", column("workspace"), column("name"), column("key"), column("value"))
_versions = table(
    "model_versions",
    column("workspace"),
    column("name"),
    column("version", Integer),
    column("run_id"),
    column("source"),
    column("creation_time"),
    column("current_stage"),
)
_tags = table(
    "model_version_tags",
    column("workspace"),
    column("name"),
    column("version", Integer),
    column("key"),
    column("value"),
)
_aliases = table(
    "registered_model_aliases", column("workspace"), column("name"), column("alias"), column("version", Integer)
)
_runs = table("runs", column("run_uuid"), column("status"), column("artifact_uri"))
_metrics = table("latest_metrics", column("run_uuid"), column("key"), column("value"), column("is_nan", Boolean))
_params = table("params", column("run_uuid"), column("key"), column("value"))
_logged_models = table("logged_models", column("model_id"), column("artifact_location"), column("lifecycle_stage"))
_revision = table("alembic_version", column("version_num"))


@dataclass(frozen=True)
class StoredVersion:
    """A version as MLflow has it; nothing in it is to be trusted.

    Parameters
    ----------
    name, version
        Name of the model, and number.
    run_id
        The run that made it.
    source
        Address of its files.
    creation_timestamp
        Milliseconds since the epoch.
    tags, aliases
        As MLflow has them.
    """

    name: str
    version: int
    run_id: str
    source: str
    creation_timestamp: int
    tags: Mapping[str, str]
    aliases: tuple[str, ...]


@dataclass(frozen=True)
class StoredRun:
    """A run as MLflow has it.

    Parameters
    ----------
    run_id, status
        Its id, and ``RUNNING``, ``FINISHED`` and so on.
    artifact_uri
        Address of its files.
    metrics, params
        The last value of each metric, and the parameters.
    """

    run_id: str
    status: str
    artifact_uri: str
    metrics: Mapping[str, float]
    params: Mapping[str, str]


class RegistryTables:
    """The registry's tables in a database whose schema is known.

    Parameters
    ----------
    engine
        Of MLflow's database.
    settings
        Name MLflow and the folder of its artifacts.
    """

    def __init__(self, engine: Engine, settings: Settings) -> None:
        self._engine, self._settings = engine, settings

    def models(self) -> list[str]:
        """Return the names of all registered models, sorted; MLflow's prompts are none."""
        prompts = select(_model_tags.c.name).where(
            _model_tags.c.workspace == _DEFAULT, _model_tags.c.key == _PROMPT, _model_tags.c.value == "true"
        )
        named = select(_models.c.name).where(_models.c.workspace == _DEFAULT, _models.c.name.not_in(prompts))
        return [row["name"] for row in self._rows(named.order_by(_models.c.name))]

    def versions(self, model: str) -> list[StoredVersion]:
        """Return all versions of a model, ascending."""
        return self._versions(model)

    def tagged(self, model: str, key: str, value: str) -> list[StoredVersion]:
        """Return the versions of a model whose tag has a value, ascending."""
        chosen = select(_tags.c.version).where(_of(_tags, model), _tags.c.key == key, _tags.c.value == value)
        return self._versions(model, _versions.c.version.in_(chosen))

    def version(self, model: str, number: int) -> StoredVersion | None:
        """Return a version; None if there is no such version."""
        return next(iter(self._versions(model, _versions.c.version == number)), None)

    def aliases(self, model: str) -> dict[str, int]:
        """Return the versions that a model's aliases name."""
        rows = self._rows(select(_aliases.c.alias, _aliases.c.version).where(_of(_aliases, model)))
        return {row["alias"]: int(row["version"]) for row in rows}

    def run(self, run_id: str) -> StoredRun | None:
        """Return a run; None if someone removed it."""
        found = self._rows(select(_runs).where(_runs.c.run_uuid == run_id))
        if not found:
            return None
        metrics = self._rows(select(_metrics).where(_metrics.c.run_uuid == run_id))
        params = self._rows(select(_params).where(_params.c.run_uuid == run_id))
        return StoredRun(
            run_id=found[0]["run_uuid"],
            status=found[0]["status"],
            artifact_uri=found[0]["artifact_uri"],
            metrics={row["key"]: math.nan if row["is_nan"] else float(row["value"]) for row in metrics},
            params={row["key"]: row["value"] for row in params},
        )

    def files(self, model_id: str) -> list[str] | None:
        """Return the names of a logged model's files; None if they are not in the folder of artifacts."""
        chosen = (_logged_models.c.model_id == model_id, _logged_models.c.lifecycle_stage != "deleted")
        rows = self._rows(select(_logged_models.c.artifact_location).where(*chosen))
        location = str(rows[0]["artifact_location"]) if rows else ""
        folder = local_path(location)
        if not location or folder is None or not is_ours(location, self._settings):
            return None
        with mlflow_failures(self._settings):
            return sorted(path.relative_to(folder).as_posix() for path in Path(folder).rglob("*") if path.is_file())

    def _versions(self, model: str, *conditions: ColumnElement[bool]) -> list[StoredVersion]:
        chosen = select(_versions).where(_of(_versions, model), _versions.c.current_stage != _DELETED, *conditions)
        rows = self._rows(chosen.order_by(_versions.c.version))
        numbers = [row["version"] for row in rows]
        held, tags = self.aliases(model), {number: dict[str, str]() for number in numbers}
        of_these = _tags.c.version.in_(numbers) if len(numbers) < MANY else true()
        for row in self._rows(select(_tags).where(_of(_tags, model), of_these)):
            if row["version"] in tags:
                tags[row["version"]][row["key"]] = row["value"]
        return [_version(row, tags[row["version"]], held) for row in rows]

    def _rows(self, statement: Select[Any]) -> list[RowMapping]:
        with mlflow_failures(self._settings), self._engine.connect() as connection:
            return list(connection.execute(statement).mappings())


def open_tables(settings: Settings) -> RegistryTables | None:
    """Return the tables of MLflow's registry; None if MLflow itself must be asked.

    That is so for a registry behind a server that ``perennial up`` did not start, for a database that cannot be opened,
    whose driver is not installed, or whose schema is not that of the pinned MLflow: MLflow says what is wrong there.
    """
    engine = _engine(_database(settings))
    return RegistryTables(engine, settings) if engine is not None and _has_known_schema(engine) else None


def _database(settings: Settings) -> str:
    """Return the database of the registry: the platform's own MLflow server only stands before one."""
    if not settings.mlflow_uri.startswith("http"):
        return settings.mlflow_uri
    platform = read_platform(settings.var)
    return platform.mlflow_store if platform and platform.mlflow_uri == settings.mlflow_uri else ""


def _engine(address: str) -> Engine | None:
    try:
        url = make_url(address)
        if url.get_backend_name() == "sqlite":
            return _sqlite_engine(address)
        return create_engine(url, poolclass=NullPool)
    except (ArgumentError, NoSuchModuleError, ModuleNotFoundError, ValueError):
        return None


def _sqlite_engine(address: str) -> Engine | None:
    path = Path(address.removeprefix(SQLITE))
    if not address.startswith(SQLITE) or not path.is_file():
        return None
    close_to_others(path)
    reading = f"{path.absolute().as_uri()}?mode=ro"
    connect: Any = partial(sqlite3.connect, reading, uri=True, timeout=BUSY_SECONDS)
    return create_engine("sqlite://", poolclass=NullPool, creator=connect)


def _has_known_schema(engine: Engine) -> bool:
    try:
        with engine.connect() as connection:
            return connection.scalars(select(_revision.c.version_num)).all() == [SCHEMA]
    except SQLAlchemyError:
        return False


def _of(table_: TableClause, model: str) -> ColumnElement[bool]:
    return and_(table_.c.workspace == _DEFAULT, table_.c.name == model)


def _version(row: RowMapping, tags: Mapping[str, str], held: Mapping[str, int]) -> StoredVersion:
    number = int(row["version"])
    return StoredVersion(
        name=row["name"],
        version=number,
        run_id=str(row["run_id"]),
        source=str(row["source"]),
        creation_timestamp=int(row["creation_time"]),
        tags=tags,
        aliases=tuple(alias for alias, version in held.items() if version == number),
    )
