"""A reference to one measurement of drift: the rows, what they are compared with, and the rules."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from config.schema import ModelConfig

CHAMPION = "champion"


@dataclass(frozen=True)
class MonitoredWindow:
    """Rows of some batches that are compared with a champion's.

    Parameters
    ----------
    config
        The model file with its overrides.
    champion, manifest
        The champion's version and the SHA-256 of its bundle's manifest.
    against
        What the rows are compared with: ``champion`` for the rows that it was trained on, or a data version.
    paths
        Files of the batches.
    since, until
        Range of the model's time column, ``until`` exclusive; None for no bound.
    known
        Whether the champion may have been trained on some of these rows.
    exact
        Whether to compute distances of the values themselves in addition to those of the bins.
    notes
        Sentences about the choice of the batches.
    id
        Id of the decision, 64 hex digits: equal for the same rows, reference and rules.
    folder
        Folder of the report.
    before
        Files of the newest batches before the window that the champion was not trained on.
    """

    config: ModelConfig
    champion: int
    manifest: str
    against: str
    paths: tuple[Path, ...]
    since: datetime | None
    until: datetime | None
    known: bool
    exact: bool
    notes: tuple[str, ...]
    id: str
    folder: Path
    before: tuple[Path, ...] = ()
