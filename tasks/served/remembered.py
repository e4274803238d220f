"""The labels whose served rows are in batches already, so that a training without new ones reads no log.

What is remembered only ever says that there is nothing to do.
"""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from config.schema import ModelConfig
from config.settings import Settings
from core.data.columns import column_types
from store.database import open_database
from store.log.labels import label_state
from tasks.versions.working_copy import batch_facts, batch_paths, data_folder


def are_known(config: ModelConfig, settings: Settings) -> bool:
    """Return whether the labels are those of the last batch of served rows, so that there is nothing to read."""
    with suppress(OSError):
        return _remembered(config, settings).read_text(encoding="utf-8") == label_key(config, settings)
    return False


def remember_labels(config: ModelConfig, settings: Settings, state: str) -> None:
    """Keep the state of the labels whose rows are in batches now."""
    path = _remembered(config, settings)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    temporary.write_text(state, encoding="utf-8")
    temporary.replace(path)


def label_key(config: ModelConfig, settings: Settings, as_of: datetime | None = None) -> str:
    """Return a hash of the labels of a model and of all of its model file by which rows are chosen from the log.

    Parameters
    ----------
    as_of
        Labels that were known by this time count, with time zone; None for now.
    """
    labels = label_state(open_database(settings.database_url), config.model, as_of or datetime.now(UTC))
    # Only with a unique key do batches of other sources decide which rows are taken.
    batches = [path.name for path in other_batches(config, settings)] if config.replaces_rows else []
    own = {"labels": config.labels.model_dump(mode="json"), "key": config.replaces_rows, "task": config.task}
    parts = [*map(str, labels), column_types(config), own, batches]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _remembered(config: ModelConfig, settings: Settings) -> Path:
    return settings.var / "sources" / f"{config.model}-labels.txt"


def other_batches(config: ModelConfig, settings: Settings) -> list[Path]:
    """Return the batches of the working copy whose rows are of another source than the log, in order."""
    paths = batch_paths(data_folder(config.model, settings))
    return [path for path in paths if not batch_facts(path).is_served]
