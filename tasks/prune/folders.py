"""Files in ``var``: reports, rows set aside, snapshots, copies of bundles, unfinished scorings, leftovers."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from functools import partial
from pathlib import Path

from config.names import is_model_name
from config.settings import RetentionSettings, Settings
from core.errors import RunInProgressError
from core.retention.items import Item, Kind, Rule
from tasks.prune.found import (
    Findings,
    Found,
    folders,
    half_removed,
    owner_reason,
    remove_files,
    remove_folder,
    tree_facts,
)
from tasks.score.staging import held_staging
from tasks.score.staging import remove as remove_staging
from tasks.validation.results import RESULT
from tasks.validation.validate import QUARANTINE
from tasks.versions.snapshots import snapshot_folders
from tasks.versions.working_copy import batch_paths, data_folder

LEFT_AFTER = timedelta(days=1)
"""Age after which a temporary folder belongs to a process that was killed."""

FETCHED_BEFORE = timedelta(hours=1)
"""Age after which a private copy has been published, or never will be."""

_SHORT_ID = re.compile(r"[0-9a-f]{12}")
_HASH = re.compile(r"[0-9a-f]{64}")


def of_model(model: str, settings: Settings, retention: RetentionSettings) -> list[Findings]:
    """Return all files of a model that retention looks at. The caller holds the model."""
    reports = settings.var / "reports" / model
    kept = Rule(retention.reports, timedelta(days=retention.reports_days))
    copies = settings.var / "serving" / "bundles" / model
    parents = (reports, reports / "drift", settings.var / "snapshots" / model, copies)
    halves = [path for parent in parents for path in half_removed(parent)]
    return [
        Findings(Rule(), _trees("leftovers", model, halves)),
        Findings(kept, _trees("training reports", model, _named(reports, _SHORT_ID))),
        Findings(kept, _trees("drift reports", model, _named(reports / "drift", _SHORT_ID))),
        Findings(kept, tuple(_validations(model, reports / "validation", settings))),
        Findings(Rule(age=timedelta(days=retention.quarantine_days)), tuple(_quarantined(model, reports))),
        Findings(Rule(retention.snapshots), _trees("snapshots", model, snapshot_folders(model, settings))),
        Findings(Rule(retention.bundles, FETCHED_BEFORE), tuple(_copies(model, copies, settings))),
        Findings(Rule(age=LEFT_AFTER), _trees("leftovers", model, _work_of(settings.var, model))),
    ]


def models_on_disk(settings: Settings) -> set[str]:
    """Return the names of models that have files in ``var``."""
    parents = ("reports", "snapshots", "serving/bundles")
    names = {path.name for parent in parents for path in folders(settings.var / parent)}
    return {name for name in names if is_model_name(name)}


def leftovers(settings: Settings, models: set[str]) -> Findings:
    """Return temporary folders that belong to no model; a killed process left them if they are older than a day."""
    parents = (settings.var / "work", settings.var / "tmp")
    paths = [path for parent in parents if parent.is_dir() for path in sorted(parent.iterdir())]
    free = [path for path in paths if not any(path in _work_of(settings.var, model) for model in models)]
    return Findings(Rule(age=LEFT_AFTER), _trees("leftovers", "", free))


def unfinished_scorings(settings: Settings, retention: RetentionSettings) -> Findings:
    """Return what killed batch scorings left in ``var/scoring``; one that runs is needed."""
    found = (_unfinished(folder, settings) for folder in folders(settings.var / "scoring"))
    return Findings(Rule(age=timedelta(days=retention.scoring_days)), tuple(found))


def _unfinished(folder: Path, settings: Settings) -> Found:
    at, size = tree_facts(folder)
    item = Item(
        "unfinished scorings", "", folder.name, at, size, needed=owner_reason(folder) or _running(folder, settings)
    )
    return Found(item, partial(_remove_unfinished, folder, settings))


def _running(folder: Path, settings: Settings) -> str:
    try:
        with held_staging(folder, settings):
            return ""
    except RunInProgressError:
        return "a scoring runs"


def _remove_unfinished(folder: Path, settings: Settings) -> None:
    # It may have been run again since it was found.
    with suppress(RunInProgressError), held_staging(folder, settings):
        remove_staging(folder)


def _named(parent: Path, pattern: re.Pattern[str]) -> list[Path]:
    return [path for path in folders(parent) if pattern.fullmatch(path.name)]


def _work_of(var: Path, model: str) -> list[Path]:
    return [path for path in (var / "work" / model, var / "tmp" / f"{model}-batch") if path.exists()]


def _trees(kind: Kind, model: str, paths: list[Path]) -> tuple[Found, ...]:
    return tuple(_tree(kind, model, path) for path in paths)


def _tree(kind: Kind, model: str, path: Path, needed: str = "") -> Found:
    at, size = tree_facts(path)
    item = Item(kind, model, path.name, at, size, needed=needed or owner_reason(path))
    return Found(item, partial(remove_folder, path))


def _validations(model: str, parent: Path, settings: Settings) -> Iterator[Found]:
    """Yield the pages of validations; the result of a batch that is still here stays, for later model cards."""
    batches = {path.stem.rpartition("-")[2] for path in batch_paths(data_folder(model, settings))}
    for folder in _named(parent, _SHORT_ID):
        kept = {QUARANTINE} | ({RESULT} if folder.name in batches else set())
        files = [path for path in sorted(folder.iterdir()) if path.name not in kept]
        if files:
            facts = [tree_facts(path) for path in files]
            item = Item(
                "validation reports",
                model,
                folder.name,
                max(at for at, _ in facts),
                sum(n for _, n in facts),
                needed=owner_reason(folder),
            )
            yield Found(item, partial(remove_files, files))


def _quarantined(model: str, reports: Path) -> Iterator[Found]:
    for folder in _named(reports / "validation", _SHORT_ID):
        path = folder / QUARANTINE
        if path.is_file():
            at, size = tree_facts(path)
            yield Found(Item("quarantined rows", model, folder.name, at, size), partial(remove_files, [path]))
    for path in sorted((reports / "scored").glob("*.set-aside.*")):
        at, size = tree_facts(path)
        yield Found(Item("quarantined rows", model, path.name, at, size), partial(remove_files, [path]))


def _copies(model: str, parent: Path, settings: Settings) -> Iterator[Found]:
    served = _served(settings)
    for folder in _named(parent, _HASH):
        # The follower marks a copy as used by the folder's own time; the files keep those of the registry.
        yield _tree("bundle copies", model, folder, "a service answers with it" if folder.name in served else "")


def _served(settings: Settings) -> set[str]:
    """Return the manifests of all bundles that a state of a service names, whether or not the service runs."""
    found: set[str] = set()
    for path in (settings.var / "serving").glob("*/state.json"):
        try:
            models = json.loads(path.read_bytes())["models"]
            found |= {str(model["manifest"]) for model in models}
        except (OSError, ValueError, KeyError, TypeError):  # a service of another release; its copies may be fetched
            continue
    return found
