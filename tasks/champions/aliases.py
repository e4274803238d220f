"""MLflow's aliases and tags: a projection of the operational database."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sqlalchemy import Engine

from config.load import model_names
from config.settings import Settings
from core.errors import StaleChampionError, StorageError
from store.champions import (
    Standing,
    forget_projection,
    is_projected,
    judged_models,
    record_projection,
    standing,
    start_tenure,
)
from store.database import open_database
from tasks.registry.client import aliases_in_mlflow, is_empty, mlflow_client, mlflow_failures
from tasks.registry.contents import registry_contents
from tasks.registry.records import CHAMPION, champion_before_history
from tasks.registry.register import CHALLENGER, PREVIOUS
from tasks.runs.actor import actor

if TYPE_CHECKING:
    from mlflow import MlflowClient

logger = logging.getLogger("perennial.champions")

WATCH_SECONDS = 60.0
"""Between two looks of the relay."""


def project(model: str, settings: Settings) -> Standing:
    """Set MLflow's aliases ``champion``, ``previous`` and ``challenger`` to the versions in the database.

    A repeat writes nothing that is already right. The database is read again after writing; if the champion changed in
    the meantime, the aliases are written again, so the last writer leaves the newest state. Before writing, the
    projection is marked as unknown, so a killed process leaves no false record. Other aliases are not touched; a
    version that MLflow no longer has is skipped with a warning.

    Raises
    ------
    StorageError
        MLflow or the database failed; the next command retries.
    """
    engine, client = open_database(settings.database_url), mlflow_client(settings)
    with _alone(model, settings):
        while True:
            wanted = standing(engine, model)
            forget_projection(engine, model)
            with mlflow_failures(settings):
                _set_aliases(client, model, wanted)
            if standing(engine, model) == wanted:
                record_projection(engine, model, wanted, datetime.now(UTC))
                return wanted


def repair(model: str, settings: Settings, *, thorough: bool = False) -> bool:
    """Complete an update of MLflow that a killed command left unfinished; return whether there was something to do.

    Commands that write call this first. Commands that read take the versions from the database instead.

    A registry from before the gate has its champion in MLflow alone: that version is adopted, if it had the alias when
    the model's versions were first recorded. If the database records that MLflow is up to date, MLflow is not even
    imported; nor is it for a thorough look at a database of its own whose aliases are right.

    Parameters
    ----------
    model
        Name of the model.
    settings
        Names the database and the registry.
    thorough
        Check MLflow's aliases in any case: a person may have moved them.
    """
    if is_empty(settings):
        return False
    engine = open_database(settings.database_url)
    wanted = standing(engine, model)
    if not wanted.sequence and model not in model_names(settings.root):
        return False  # in a shared registry, aliases of other projects must not be changed
    if is_projected(engine, model, wanted) and not (thorough and _were_moved(model, wanted, settings)):
        return False
    if not wanted.sequence:
        _adopt(engine, model, settings)
    project(model, settings)
    return True


def repair_all(settings: Settings) -> int:
    """Repair every model that the gate has judged, see :func:`repair`; return how many there were to repair."""
    return sum(repair(model, settings) for model in judged_models(open_database(settings.database_url)))


class AliasWatch:
    """Completes once a minute what killed commands left unfinished, so that MLflow's users see the champion too.

    Parameters
    ----------
    settings
        Names the database and the registry.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._next_look = 0.0

    def look(self) -> int:
        """Repair all models; return how many there were to repair.

        Raises
        ------
        StorageError
            MLflow or the database failed.
        """
        if time.monotonic() < self._next_look:
            return 0
        repaired = repair_all(self._settings)
        self._next_look = time.monotonic() + WATCH_SECONDS
        return repaired


def _were_moved(model: str, wanted: Standing, settings: Settings) -> bool:
    held = registry_contents(settings).aliases(model)
    return any(held.get(alias) != version for alias, version in _ours(wanted).items())


def _ours(wanted: Standing) -> dict[str, int | None]:
    return {CHAMPION: wanted.champion, PREVIOUS: wanted.previous, CHALLENGER: wanted.challenger}


def _set_aliases(client: MlflowClient, model: str, wanted: Standing) -> None:
    held = aliases_in_mlflow(client, model)
    for alias, version in _ours(wanted).items():
        if version == held.get(alias) or (version is not None and _set_alias(client, model, alias, version)):
            continue
        if alias in held:
            client.delete_registered_model_alias(model, alias)


def _set_alias(client: MlflowClient, model: str, alias: str, version: int) -> bool:
    from mlflow.exceptions import MlflowException

    try:
        client.set_registered_model_alias(model, alias, str(version))
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        logger.warning(
            "%s of %s is version %d, which MLflow no longer has: its alias is not set", alias, model, version
        )
        return False
    return True


def _adopt(engine: Engine, model: str, settings: Settings) -> None:
    held = champion_before_history(model, settings)
    if held is None:
        return
    with suppress(StaleChampionError):  # another command adopted or promoted first
        start_tenure(
            engine,
            model,
            held,
            expected_sequence=0,
            kind="adopted",
            reason=f"version {held} had MLflow's alias champion when this history began",
            actor=actor(),
            at=datetime.now(UTC),
        )


@contextmanager
def _alone(model: str, settings: Settings) -> Iterator[None]:
    """Lock the model's aliases against other processes on this machine; the lock ends with the process."""
    from filelock import FileLock

    path = settings.var / "locks" / f"{model}.aliases.lock"
    lock = FileLock(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except OSError as error:
        raise StorageError(f"the lock {path} cannot be acquired: {error.strerror or error}") from error
    try:
        yield
    finally:
        lock.release()
