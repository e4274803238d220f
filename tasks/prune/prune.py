"""Remove what retention lets go: of each model, then of the project.

What is removed is recorded as an event first, so nothing is removed without a record. A pruning that was killed is
completed by the next one, which finds what is left and records it again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Engine

from config.load import model_names
from config.settings import RetentionSettings, Settings
from core.errors import RunInProgressError, StorageError
from core.operate.events import retention_pruned
from core.retention.items import expired
from core.retention.outcome import PruneOutcome, Skipped, merged, removals
from core.retention.versions import VersionsInUse
from store.champions import judged_models, predecessors, standing
from store.database import open_database, writing
from store.events import record_event
from store.retention.rows import models_with_rows, open_trigger_runs
from tasks.prune import folders, rows
from tasks.prune.cache import Needs, old_objects
from tasks.prune.flow_runs import ended_runs
from tasks.prune.found import Findings, Found
from tasks.prune.logs import growing_logs
from tasks.prune.registry import open_registry
from tasks.runs.lock import hold_model
from tasks.versions.leases import removing

_log = logging.getLogger("perennial.prune")

Look = Callable[[], Sequence[Findings]]


@dataclass(frozen=True)
class Pruning:
    """How one pruning is done.

    Parameters
    ----------
    settings, retention
        Settings of the project and of retention.
    quiet_hours
        Hours in which an alert silences later ones of its key.
    dry_run
        Remove nothing.
    wait_seconds
        Maximum time to wait for a run that holds a model.
    """

    settings: Settings
    retention: RetentionSettings
    quiet_hours: float
    dry_run: bool = False
    wait_seconds: float = 0.0


def known_models(settings: Settings) -> list[str]:
    """Return the names of all models that have anything to prune, also those whose model file is gone."""
    engine = open_database(settings.database_url)
    found = {*model_names(settings.root), *judged_models(engine), *models_with_rows(engine)}
    return sorted((found | folders.models_on_disk(settings)) - {""})


def prune_model(model: str, pruning: Pruning) -> PruneOutcome:
    """Remove what retention lets go of a model; if a run holds the model, nothing is looked at.

    Raises
    ------
    StorageError
        The operational database or a disk failed.
    """
    settings, retention, now = pruning.settings, pruning.retention, datetime.now(UTC)
    engine = open_database(settings.database_url)
    looks: dict[str, Look] = {
        "database": lambda: rows.of_model(model, engine, retention, now),
        "files": lambda: folders.of_model(model, settings, retention),
        "registry": lambda: _registered(model, engine, pruning),
    }
    with _alone([model], f"model {model}", pruning) as in_use:
        return in_use or _carried_out(model, looks, pruning, now)


def prune_project(models: Sequence[str], pruning: Pruning) -> PruneOutcome:
    """Remove what retention lets go and belongs to no model: alerts, logs, leftovers, Prefect's runs, DVC's cache.

    Raises
    ------
    StorageError
        The operational database or a disk failed.
    """
    settings, retention, now = pruning.settings, pruning.retention, datetime.now(UTC)
    engine = open_database(settings.database_url)
    runs = open_trigger_runs(engine)[""]
    looks: dict[str, Look] = {
        "database": lambda: rows.of_project(engine, retention, pruning.quiet_hours, now),
        "files": lambda: [
            growing_logs(settings, retention),
            folders.leftovers(settings, set(models)),
            folders.unfinished_scorings(settings, retention),
        ],
        "prefect": lambda: [ended_runs(settings, retention, runs)],
    }
    found = _carried_out("", looks, pruning, now)
    return merged([found, _prune_cache(models, engine, pruning)])


def _prune_cache(models: Sequence[str], engine: Engine, pruning: Pruning) -> PruneOutcome:
    """Hold every model, because their data versions share the cache."""

    def look() -> list[Findings]:
        needed = frozenset[str]()
        if (registry := open_registry(pruning.settings, pruning.retention)) is not None:
            in_use = {model: _to_keep(model, engine, pruning.retention) for model in models}
            needed = needed.union(*(registry.data_versions(model, in_use[model]) for model in models))
        return [old_objects(Needs(needed, tuple(models)), pruning.settings, engine, pruning.retention)]

    with _alone(models, "cache", pruning) as in_use:
        return in_use or _carried_out("", {"cache": look}, pruning, datetime.now(UTC))


def _to_keep(model: str, engine: Engine, retention: RetentionSettings) -> set[int]:
    """Return champion, challenger and what the next rollbacks return to, by the operational database."""
    now, previous = standing(engine, model), predecessors(engine, model, retention.rollbacks)
    numbers = (now.champion, now.challenger, *(entry.version for entry in previous))
    return {number for number in numbers if number is not None}


def _registered(model: str, engine: Engine, pruning: Pruning) -> Sequence[Findings]:
    registry = open_registry(pruning.settings, pruning.retention)
    if registry is None:
        return ()
    now, previous = standing(engine, model), predecessors(engine, model, pruning.retention.rollbacks)
    in_use = VersionsInUse(
        champion=now.champion,
        challenger=now.challenger,
        previous=[entry.version for entry in previous],
        open_triggers=open_trigger_runs(engine).get(model, set()),
        aliased=registry.aliased(model),
    )
    return registry.of_model(model, in_use)


@contextmanager
def _alone(models: Sequence[str], what: str, pruning: Pruning) -> Iterator[PruneOutcome | None]:
    """Hold models and keep their readers out; yield the outcome if one is in use. A dry run only looks."""
    in_use = None
    with ExitStack() as stack:
        try:
            for model in () if pruning.dry_run else models:
                stack.enter_context(hold_model(model, pruning.settings, pruning.wait_seconds))
                stack.enter_context(removing(model, pruning.settings))
        except RunInProgressError as error:
            in_use = PruneOutcome(pruning.dry_run, (), (Skipped(what, str(error)),))
        yield in_use


def _carried_out(model: str, looks: dict[str, Look], pruning: Pruning, now: datetime) -> PruneOutcome:
    chosen, skipped = _chosen(looks, now)
    told = removals(found.item for found in chosen)
    if chosen and not pruning.dry_run:
        event = retention_pruned(model, [removal.to_dict() for removal in told], now)
        with writing(open_database(pruning.settings.database_url)) as connection:
            record_event(connection, event)
        skipped += _removed(chosen)
    for removal in told:
        _log.info(
            "%s %s%s: %d",
            "would remove" if pruning.dry_run else "removed",
            model and f"{model} ",
            removal.kind,
            removal.n,
        )
    return PruneOutcome(pruning.dry_run, told, tuple(skipped))


def _chosen(looks: dict[str, Look], now: datetime) -> tuple[list[Found], list[Skipped]]:
    """Look everywhere, and choose by each kind's rule; what is away is skipped."""
    chosen: list[Found] = []
    skipped: list[Skipped] = []
    for what, look in looks.items():
        try:
            for findings in look():
                gone = set(expired((found.item for found in findings.found), findings.rule, now))
                chosen += [found for found in findings.found if found.item in gone]
        except (StorageError, OSError) as error:
            if what == "database":
                raise
            skipped.append(Skipped(what, str(error)))
    return chosen, skipped


def _removed(chosen: Sequence[Found]) -> list[Skipped]:
    skipped: dict[str, Skipped] = {}
    for found in chosen:
        try:
            found.remove()
        except (StorageError, OSError) as error:
            skipped.setdefault(found.item.kind, Skipped(found.item.kind, str(error)))
    return list(skipped.values())
